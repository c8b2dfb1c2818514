"""Removes secrets from URLs and texts before they are shown or stored."""

from __future__ import annotations

import re
from urllib.parse import unquote

_USERINFO = re.compile(r'://(?:[^:/\s@"]*:[^\s"]*|[^/?#\s"]*)@')  # a password may hold / and @
_QUERY = re.compile(r"(?i)([?&](?:\w*pass\w*|pwd|\w*token|\w*secret|api_?key)=)[^&\s'\"]+")
_SECRET = re.compile(r"(?i)pass|pwd|token|secret|api_?key")
_NAMED = re.compile(  # a quoted text, or a word of letters and digits
    r"""(?ix)(\b[\w-]*(?:passw(?:or)?d|passphrase|secret|api_?key|access_?key|private_?key|token)\w*["']?\s*[:=]\s*)
    (?:["'][^"'\s$]{6,}["'] | (?=[^\s"']*\d)(?=[^\s"']*[a-z])[^\s"'$,;()]{8,}+(?!\())"""
)


def redact_source(text: str) -> str:
    """`text`, a piece of program or configuration, without what names of variables tell to be a secret."""
    return _NAMED.sub(r"\1***", redact(text))


def redact(text: str, url: str = "") -> str:
    """`text` without user names and passwords in URLs. What stands for a password in `url` is masked wherever it
    stands, in pieces too: a driver that reads a badly quoted URL in its own way complains about a piece."""
    text = _QUERY.sub(r"\1***", _USERINFO.sub("://***@", text))
    secrets = [url.partition("//")[2].rpartition("@")[0].partition(":")[2]]
    secrets += [p.partition("=")[2] for p in url.partition("?")[2].split("&") if _SECRET.search(unquote(p))]
    pieces = {piece for s in secrets for piece in (s, unquote(s), *re.split(r"[/@:?#]", s)) if len(piece) > 3}
    for piece in sorted(pieces, key=len, reverse=True):
        text = text.replace(piece, "***")
    return text


def shown(url: str | None) -> str:
    """The URL for people to read, without user name and password, also if it cannot be parsed."""
    if url is None:
        return "in memory"
    scheme, colon, rest = url.partition(":")
    if not rest.startswith("///"):  # three slashes: a file, whose name may hold @
        user, at, place = rest.rpartition("@")
        if "?" in user:  # the @ may belong to a password in the query
            return f"{scheme}://***"
        rest = f"//***@{place}" if at else rest
    place, mark, query = rest.partition("?")
    parts = [f"{p.partition('=')[0]}=***" if _SECRET.search(unquote(p)) else p for p in query.split("&")]
    return scheme + colon + place + mark + "&".join(parts)
