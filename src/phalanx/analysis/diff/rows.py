"""The rows of a diff: what differs, with the texts of both values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from phalanx.analysis.compare.values import ABSENT, ABSENT_TEXT, identity, one_line, texts_of
from phalanx.core.quantities import number
from phalanx.core.redaction import redact_source


@dataclass(frozen=True)
class Row:
    """One key whose values differ, as text; `change` is b - a where both are numbers that were measured."""

    section: str
    key: str
    a: str
    b: str
    change: float | None = None


def differing(section: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[Row]:
    """The keys with different values: `1` and `"1"` differ, `1` and `1.0` do not.

    Args:
        section: Where the rows belong.
        a: The values of A by key.
        b: Those of B.
    """
    for key in dict.fromkeys([*a, *b]):
        there = [ABSENT if key not in side else identity(side[key]) for side in (a, b)]
        if there[0] != there[1]:
            values = {same: side[key] for same, side in zip(there, (a, b), strict=True) if same != ABSENT}
            texts = {ABSENT: ABSENT_TEXT, **texts_of(values, short=False)}
            yield Row(section, plain(key), plain(texts[there[0]]), plain(texts[there[1]]))


def measured(section: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[Row]:
    """As `differing`, for numbers that were measured: six digits, and their difference."""
    for key in dict.fromkeys([*a, *b]):
        one, two = a.get(key), b.get(key)
        if not all(isinstance(value, (int, float, type(None))) for value in (one, two)):
            yield from differing(section, {key: one}, {key: two})
        elif identity(one) != identity(two):
            change = None if one is None or two is None else two - one
            texts = number(one), number(two)
            a_text, b_text = texts if texts[0] != texts[1] else (repr(one), repr(two))
            yield Row(section, plain(key), a_text, b_text, change)


def plain(text: object) -> str:
    """A text on one line, without control characters and secrets."""
    return redact_source(one_line(str(text)))
