"""Values of config keys: when two of them are the same, and texts that tell different ones apart."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from phalanx.runs.config_file import parse_value

ABSENT = ""  # the identity where a run has no such key
ABSENT_TEXT = "–"
UNCLEAR = ("", ABSENT_TEXT)  # texts that do not look like values
SHORT, WHOLE = 60, 200  # longest texts that are shown uncut: of a value as such, and of one that looks like another


def identity(value: Any) -> str:
    """Text that two values share only if they are the same. It is JSON, so `1` and `"1"` differ; `1` and `1.0`, the
    same number, do not."""
    return json.dumps(_plain(value), sort_keys=True, default=repr)


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return list(map(_plain, value))
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


def typed(text: str) -> Any:
    """A value as it was typed or logged. Unlike YAML's, a number needs no point: `1e-05`."""
    return _with_numbers(parse_value(text))


def _with_numbers(value: Any) -> Any:
    if isinstance(value, list):
        return list(map(_with_numbers, value))
    if isinstance(value, str) and value[:1] in tuple("+-.0123456789"):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def texts_of(values: Mapping[str, Any], short: bool = True) -> dict[str, str]:
    """A text for each value, as a person would type it; more exact where two would look alike.

    Args:
        values: Different values by identity.
        short: Whether to round numbers and to cut long texts.
    """
    texts = {same: _short(value) if short else one_line(value) for same, value in values.items()}
    for way in (_whole, _exact):
        alike = {text for text, count in Counter(texts.values()).items() if count > 1 or text in UNCLEAR}
        texts = {same: way(same, values[same], short) if text in alike else text for same, text in texts.items()}
    return texts if len(set(texts.values())) == len(texts) else {same: _exact(same, None, short) for same in values}


def _short(value: Any) -> str:
    text = one_line(value, "g")
    return text if len(text) <= SHORT else text[: SHORT - 1] + "…"


def _whole(same: str, value: Any, short: bool) -> str:
    return _cut(one_line(value), same, short)


def _exact(same: str, value: Any, short: bool) -> str:
    return _cut(same, same, short)


def one_line(value: Any, form: str = "") -> str:
    """A value as a person types it, on one line; `form` is that of a float."""
    if isinstance(value, (list, tuple)):
        text = "[" + ",".join(one_line(inner, form) for inner in value) + "]"
    elif value is None or isinstance(value, bool):
        text = json.dumps(value)
    else:
        text = format(value, form) if isinstance(value, float) else str(value)
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _cut(text: str, same: str, short: bool) -> str:
    """The text; one that is too long to be shown is cut, and ends with a digest of the value."""
    if not short or len(text) <= WHOLE:
        return text
    return f"{text[:SHORT]}…{hashlib.sha256(same.encode()).hexdigest()[:12]}"
