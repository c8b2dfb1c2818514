"""Reads the cells of a table's text, all of them once and as text, and tells its header from a title."""

from __future__ import annotations

import bisect
import itertools
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from phalanx.core.errors import DataError
from phalanx.data.cell_values import Kind
from phalanx.data.plain_table import begin_of_line, categories, plain_columns
from phalanx.data.table_error import TableError
from phalanx.data.table_layout import HINT, WHITESPACE, Layout, Record, best_delimiter, records, with_delimiter

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 5  # names or lines that a message lists
_SAMPLE = 100  # records by which a title is told from a header
_COMMENTS = "#%"  # marks of lines that are usually comments
_FEW_COLUMNS = 2  # that may be due to a wrong delimiter


@dataclass(frozen=True)
class Cells:
    """The cells of a file as stripped text, a row each below the header.

    `frame` has one categorical column of text for each name, with the different texts in the order of their first rows;
    `lines[i]` is the line of the file, from 1, on which row i begins, or the number of
    the row in a file without lines.
    """

    source: str
    frame: pd.DataFrame
    lines: np.ndarray
    layout: Layout
    header_line: int = 0  # 0 without a header
    header: tuple[str, ...] = ()  # as it stands in the file
    renamed: tuple[str, ...] = ()  # columns whose name stands in the header more than once, but the first
    hint: str = ""  # a delimiter that makes more columns of a file that comes out as one or two
    kinds: Mapping[str, Kind] = field(default_factory=dict)  # of a file that has types: what its columns hold
    about: tuple[str, ...] = ()  # what was left out, and of which files the rows are
    parts: tuple[tuple[int, str], ...] = ()  # of several files: the first row of each, from 0, and its name

    def place(self, row: int) -> str:
        """Where in the file row `row` (from 0) begins, in words."""
        here = f"{'row' if self.kinds else 'line'} {self.lines[row]}"
        file = self.parts[bisect.bisect(self.parts, row, key=lambda part: part[0]) - 1][1] if self.parts else ""
        return f"{here} of {file}" if file else here

    def refuse(self, faults: list[str]) -> None:
        """Raises one `TableError` with all `faults`, if there are any."""
        if faults:
            raise TableError(self.source, faults)


def read_cells(text: str, layout: Layout, source: str) -> Cells:
    """Divides a text into cells.

    Args:
        text: The file's text.
        layout: How it is divided; the result has the delimiter that was found.
        source: What messages call the file.

    Raises:
        DataError: There are no rows, or rows with more cells than the header.
    """
    import pandas as pd

    layout = with_delimiter(text, layout, source)
    grid = _regular(text, layout, source) or _by_record(text, layout, source)
    names, columns, header_line = grid.names, grid.columns, 0
    shown: tuple[str, ...] = ()
    if (header := grid.header) is not None:
        is_empty = [list(column.categories) == [""] for column in columns]
        kept = [i for i, cell in enumerate(header.cells) if cell or not is_empty[i]]
        columns, names, shown = (
            [columns[i] for i in kept],
            [names[i] for i in kept],
            tuple(header.cells[i] for i in kept),
        )
        header_line = header.line
    frame = pd.DataFrame(dict(enumerate(columns)), index=range(len(grid.lines_N)))
    frame.columns = pd.Index(names, dtype=object)
    hint = best_delimiter(text, layout, source, more_than=len(names)) if len(names) <= _FEW_COLUMNS else ""
    return Cells(source, frame, grid.lines_N, layout, header_line, shown, _renamed(names, shown), hint)


@dataclass(frozen=True)
class _Grid:
    """The columns of a text, and the lines on which its rows begin."""

    header: Record | None
    names: list[str]
    columns: list[pd.Categorical]
    lines_N: np.ndarray


def _regular(text: str, layout: Layout, source: str) -> _Grid | None:
    """The columns of a text of which each line is a record; None where the csv module has to read it."""
    delimiter, comment = layout.delimiter, layout.comment
    if delimiter in (None, WHITESPACE):
        return None
    head = list(itertools.islice(records(text, layout, source), _SAMPLE + 1))
    n_above = int(layout.header)
    if len(head) <= n_above:
        return None
    first, width = head[n_above].line, len(head[0].cells)
    columns = plain_columns(text, first, delimiter, width)
    if columns is None or (comment is not None and _has_comment(text, first, comment)):
        return None
    if layout.header:
        _refuse_title(head[0], head[1:], text, source)
    names = _names(head[0].cells) if layout.header else _numbered(width)
    return _Grid(head[0] if layout.header else None, names, columns, first + np.arange(len(columns[0])))


def _has_comment(text: str, first: int, comment: str) -> bool:
    """Whether a line from the first row on begins with the mark of a comment."""
    begins = re.compile(rf"^[^\S\n]*{re.escape(comment)}", re.MULTILINE)
    return begins.search(text, begin_of_line(text, first)) is not None


def _by_record(text: str, layout: Layout, source: str) -> _Grid:
    """The columns of any text."""
    rows = list(records(text, layout, source))
    while rows and len(rows[-1].cells) > 1 and not any(rows[-1].cells):  # as spreadsheets write them
        del rows[-1]
    if not rows:
        raise DataError(f"{source} has no line below the {layout.skip_lines} that data.skip_lines leaves out")
    header, header_line = None, 0
    if layout.header:
        header, rows = rows[0], rows[1:]
        _refuse_title(header, rows, text, source)
        names, header_line = _names(header.cells), header.line
        if not rows:
            raise DataError(f"{source} has only a header ({', '.join(names)}) and no samples below it")
    else:
        names = _numbered(max(len(row.cells) for row in rows))
    _refuse_long(rows, names, layout, header_line, source)
    if header is not None:
        _refuse_short(header, rows, text, layout, source)
    return _Grid(header, names, _columns(rows, len(names)), np.array([row.line for row in rows]))


def _numbered(width: int) -> list[str]:
    """The names of columns without a header."""
    return [f"column_{i}" for i in range(1, 1 + width)]


def _columns(rows: list[Record], width: int) -> list[pd.Categorical]:
    """The cells of all rows, `width` of each; a row that has fewer gets empty ones."""
    import pandas as pd

    for row in rows:
        row.cells[:] = row.cells[:width] + [""] * (width - len(row.cells))
    cells = np.array([row.cells for row in rows], dtype=object)
    factorized = [pd.factorize(column) for column in cells.T]
    return [categories(codes_N, texts_U.tolist()) for codes_N, texts_U in factorized]


def _names(header: list[str]) -> list[str]:
    """Column names on one line; `Unnamed: <i>` for an empty one; as in pandas, `size.1` for the second `size`."""
    names, known = dict[str, None](), set(header)
    for i, cell in enumerate(header):
        name = own = re.sub(r"\s*[\r\n]+\s*", " ", cell) or f"Unnamed: {i}"
        count = 0
        while name in names or (count and name in known):
            count += 1
            name = f"{own}.{count}"
        names[name] = None
    return list(names)


def _renamed(names: list[str], header: tuple[str, ...]) -> tuple[str, ...]:
    """The names that `_names` gave to columns whose own name another has."""
    return tuple(name for name in names if name not in header and re.sub(r"\.\d+$", "", name) in header)


def _refuse_title(header: Record, rows: list[Record], text: str, source: str) -> None:
    """Raises `TableError` if the line taken for the header is a title above the table."""
    begin = _begins_below(header, rows)
    if begin is not None:
        names, hinted = ", ".join(begin.cells[:SHOWN]), int(HINT.match(text) is not None)
        fault = (
            f"line {header.line} ({', '.join(filter(None, header.cells))[:60]}) looks like a title, and the table "
            f"seems to begin in line {begin.line} ({names}{' …' if len(begin.cells) > SHOWN else ''})"
        )
        options: dict[str, object] = {"data.skip_lines": begin.line - 1 - hinted}
        if (mark := header.cells[0][:1]) and mark in _COMMENTS:
            options = {"data.comment": mark}
        raise TableError(source, [fault], options, by_hand=f"delete what is above line {begin.line}")


def _refuse_long(rows: list[Record], names: list[str], layout: Layout, header_line: int, source: str) -> None:
    """Raises `DataError` for rows with more cells than there are names; empty cells at the end do not count."""
    long = [row for row in rows if len(row.cells) > len(names) and any(row.cells[len(names) :])]
    if not long:
        return
    first = long[0]
    lines = "1 line has" if len(long) == 1 else f"{len(long)} lines have"
    raise DataError(
        f"{source} is not a table separated by {layout.delimiter!r}: {lines} more cells than the header in line "
        f"{header_line}, which has {len(names)} columns; the first is line {first.line} with {len(first.cells)}; put "
        "quotation marks around cells with the separator in them, or give the header a name for each column"
    )


def _refuse_short(header: Record, rows: list[Record], text: str, layout: Layout, source: str) -> None:
    """Raises `TableError` if most rows have fewer cells than the header, and all as many by another delimiter."""
    width = len(header.cells)
    short = [row for row in rows if len(row.cells) < width]
    if len(short) <= len(rows) / 2:
        return
    other = best_delimiter(text, layout, source, more_than=max(len(row.cells) for row in short))
    if not other:
        return
    head = itertools.islice(records(text, replace(layout, delimiter=other), source), _SAMPLE)
    if len({len(record.cells) for record in head}) == 1:
        fault = (
            f"it is not a table separated by {layout.delimiter!r}: {len(short)} lines have fewer cells than the header "
            f"in line {header.line}, which has {width}; the first is line {short[0].line} with {len(short[0].cells)}"
        )
        by_hand = "put one separator between all cells"
        raise TableError(source, [fault], {"data.delimiter": other}, by_hand=by_hand)


def _begins_below(header: Record, rows: list[Record]) -> Record | None:
    """The record below `header` with which the table begins, where `header` is a title; None if it is a header."""
    first = rows[:_SAMPLE]
    if not first:
        return None
    usual, n = Counter(len(row.cells) for row in first).most_common(1)[0]
    width = len(header.cells)
    if width < usual and n > len(first) / 2:
        begin = next(row for row in first if len(row.cells) == usual)
        one_name_less = begin is first[0] and width == usual - 1 > 1  # as R writes it: row names have no name
        return None if one_name_less else begin
    if width > 1 and sum(map(bool, header.cells)) <= width / 2:  # a title in the first cell of a sheet
        return next((row for row in first if len(row.cells) == width and all(row.cells)), None)
    return None
