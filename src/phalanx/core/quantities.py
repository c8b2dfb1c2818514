"""Numbers and counts as text for people."""

from __future__ import annotations

from collections.abc import Sequence

NOTHING = "-"


def number(value: float | None) -> str:
    """Returns a number with six significant digits, a count with all of them; a dash for None.

    Examples:
        >>> from phalanx.core.quantities import number
        >>> number(0.000123456789), number(0.96875), number(1234.5678), number(26122), number(None)
        ('0.000123457', '0.96875', '1234.57', '26,122', '-')
    """
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) >= 10 else f"{value:.6g}"


def column(name: str, texts: Sequence[str]) -> list[str]:
    """Returns a column's name and its texts, set to the right with their decimal points below each other.

    Examples:
        >>> from phalanx.core.quantities import column
        >>> column("loss", ["0.5", "0.979167", "26,122"])
        ['         loss', '     0.5', '     0.979167', '26,122']
    """
    tails = [len(text) - text.rfind(".") if "." in text else 0 for text in texts]
    most = max(tails, default=0)
    padded = [text + " " * (most - tail) for text, tail in zip(texts, tails, strict=True)]
    width = max(map(len, [name, *padded]))
    return [name.rjust(width), *(text.rjust(width).rstrip() for text in padded)]


def counted(count: int, word: str) -> str:
    """Returns `1 epoch`, `2 epochs`."""
    return f"{count:,} {word}" + ("" if count == 1 else "s")
