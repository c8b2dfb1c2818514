"""Finds and masks secrets in URLs and texts, so that none is shown or stored."""

import re
from urllib.parse import unquote

_NAME = r"(?:pass|pwd|token|secret|api_?key)"  # in the name of a query parameter whose value is a secret
_SECRET = re.compile(rf"(?i){_NAME}")
_USERINFO = re.compile(r'://(?:[^:/\s@"]*:[^\s"]*|[^/?#\s"]*)@')  # a password may contain / and @
_QUERY = re.compile(rf"(?i)([?&]\w*{_NAME}\w*=)[^&\s'\"]+")
_LITERAL = re.compile(  # user:password@ but not host:port/path@; a value that begins with $ is an interpolation
    rf"""(?ix) ://[^/@:\s]*:(?!\d*/)[^\s$]+@ | ://[^\s'"]*[?&]\w*{_NAME}\w*=(?!\$)[^&\s'"]+"""
)
_ASSIGNMENT = re.compile(  # to a quoted text, or to a word of letters and digits
    r"""(?ix)(\b[\w-]*(?:passw(?:or)?d|passphrase|secret|api_?key|access_?key|private_?key|token)\w*["']?\s*[:=]\s*)
    (?:["'][^"'\s$]{6,}["'] | (?=[^\s"']*\d)(?=[^\s"']*[a-z])[^\s"'$,;()]{8,}+(?!\())"""
)


def has_password(text: str) -> bool:
    """Whether a URL in `text` contains a literal password; an interpolation such as `${oc.env:NAME}` is none."""
    return _LITERAL.search(text) is not None


def redact_source(text: str) -> str:
    """Returns source code or configuration without secrets in URLs and in values of names such as `api_key`."""
    return _ASSIGNMENT.sub(r"\1***", redact(text))


def redact(text: str, url: str = "") -> str:
    """Returns `text` without the user names and passwords of the URLs in it.

    The password of `url` is masked wherever it occurs, in pieces too: a driver that misreads a badly quoted URL quotes
    only a piece of it in its error message.
    """
    text = _QUERY.sub(r"\1***", _USERINFO.sub("://***@", text))
    secrets = [url.partition("//")[2].rpartition("@")[0].partition(":")[2]]
    secrets += [p.partition("=")[2] for p in url.partition("?")[2].split("&") if _SECRET.search(unquote(p))]
    pieces = {piece for s in secrets for piece in (s, unquote(s), *re.split(r"[/@:?#]", s)) if len(piece) > 3}
    for piece in sorted(pieces, key=len, reverse=True):
        text = text.replace(piece, "***")
    return text


def shown(url: str | None) -> str:
    """Returns the URL without user name and password, even if it cannot be parsed; "in memory" for None."""
    if url is None:
        return "in memory"
    scheme, colon, rest = url.partition(":")
    if not rest.startswith("///"):  # three slashes: a file, whose name may contain @
        user, at, place = rest.rpartition("@")
        if "?" in user:  # the @ may belong to a password in the query
            return f"{scheme}://***"
        rest = f"//***@{place}" if at else rest
    place, mark, query = rest.partition("?")
    parts = [f"{p.partition('=')[0]}=***" if _SECRET.search(unquote(p)) else p for p in query.split("&")]
    return scheme + colon + place + mark + "&".join(parts)
