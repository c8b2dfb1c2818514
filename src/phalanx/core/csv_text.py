"""Text of CSV files whose cells a spreadsheet shows as they are, and does not run as formulas."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

_FORMULA = re.compile(r"'*[=+\-@\t\r\n]")  # what a spreadsheet computes, and what looks like a protected cell


def csv_text(rows: Iterable[Sequence[Any]]) -> str:
    """Lines of comma-separated cells. Numbers stay as they are; text that would be a formula begins with an apostrophe.

    `cell_value` gives the original text back.
    """
    lines = []
    for row in rows:
        line = io.StringIO()
        # A writer quotes a cell with a character of its line end; with "\n" alone "\r" would end the line for readers.
        csv.writer(line, lineterminator="\r\n").writerow([protected(cell) for cell in row])
        lines.append(line.getvalue().removesuffix("\r\n") + "\n")
    return "".join(lines)


def override_columns(keys: Iterable[str], results: Sequence[str]) -> list[str]:
    """Names for the columns of overrides in a table of results: the key, or `override.<key>` where a result has it.

    Args:
        keys: Of the overrides, each once.
        results: The names of the other columns.
    """
    return [f"override.{key}" if key in results else key for key in keys]


def protected(cell: Any) -> Any:
    """The cell, with an apostrophe before it if it is text that a spreadsheet would take for a formula."""
    return f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) and not _is_number(cell) else cell


def cell_value(cell: str) -> str:
    """The text that `csv_text` wrote to this cell.

    Examples:
        >>> from phalanx.core.csv_text import cell_value, protected
        >>> protected("=1+1"), cell_value("'=1+1"), protected("-0.5")
        ("'=1+1", '=1+1', '-0.5')
    """
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text == text.strip()
