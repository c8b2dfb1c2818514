"""Text that a message advises to type: overrides quoted for Hydra, and words quoted for the shell that gets them first.

Every message takes what it advises from here, so that names with spaces, quotes, `$` or line breaks can be pasted.
"""

import re
from collections.abc import Iterable

from phalanx.core.errors import pasted

_PLAIN = re.compile(r"[A-Za-z_/][\w./:@-]*", re.ASCII)  # what Hydra reads as a text without quotes
_NO_TEXT = {"null", "true", "false", "nan", "inf"}  # words that Hydra does not parse as text
_NOT_IN_DOUBLE_QUOTES = set('"$`\\!')  # which a shell would replace there


def command(*words: object) -> str:
    """Writes a command line, or a part of one, as it is typed in a shell.

    Examples:
        >>> from phalanx.core.advice import command
        >>> command("phalanx", "sync", "my runs/$1")
        "phalanx sync 'my runs/$1'"
    """
    return " ".join(pasted(str(word)) for word in words)


def folder_option(key: str, folder: object) -> str:
    """Writes `resume=` or `from_run=` as it is typed in a shell; what follows is no value of Hydra's grammar.

    Examples:
        >>> from phalanx.core.advice import folder_option
        >>> folder_option("resume", "outputs/my run")
        "'resume=outputs/my run'"
    """
    return pasted(f"{key}={folder}")


def override(key: str, value: object) -> str:
    """Writes an override as it is typed in a shell; the arguments are those of `argument`.

    Examples:
        >>> from phalanx.core.advice import override
        >>> override("data.drop", ["id", "name"]), override("data.drop", ["the id"])
        ("'data.drop=[id,name]'", '"data.drop=[\'the id\']"')
        >>> override("data.missing_markers", ["#DIV/0!"])
        '\'data.missing_markers=["#DIV/0!"]\''
    """
    return pasted(argument(key, value))


def argument(key: str, value: object) -> str:
    """Writes an override as Hydra reads it.

    Args:
        key: The key, such as `data.drop`.
        value: A text, a list of texts, or anything else that is written by `str`.
    """
    if isinstance(value, str):
        items, form = [value], "{}"
    elif isinstance(value, Iterable):
        items, form = list(map(str, value)), "[{}]"
    else:
        return f"{key}={'null' if value is None else str(value).lower() if isinstance(value, bool) else value}"
    if not all(_PLAIN.fullmatch(item) and item.lower() not in _NO_TEXT for item in items):
        mark = "'" if _NOT_IN_DOUBLE_QUOTES.isdisjoint("".join(items)) else '"'
        items = [_quoted(item, mark) for item in items]
    return f"{key}={form.format(','.join(items))}"


def _quoted(text: str, mark: str) -> str:
    r"""A quoted value of Hydra: quotation marks, and backslashes before one, are escaped, and `${` is plain text."""
    plain = re.sub(r"(\\*)\$\{", lambda found: 2 * found[1] + r"\${", text)
    escaped = re.sub(rf"(\\*)({mark}|\Z)", lambda found: 2 * found[1] + (f"\\{mark}" if found[2] else ""), plain)
    return f"{mark}{escaped}{mark}"
