"""How the text of a table's file is divided into records, by the csv module, and which delimiter divides them."""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from phalanx.core.errors import DataError

WHITESPACE = "whitespace"  # as a delimiter: any number of spaces and tabs
TAB_NAMES = ("\\t", "tab")  # also accepted for a tab
_DELIMITERS = ",;\t|"
FURTHER = (WHITESPACE, ":", "^", "~", "#")  # delimiters that are advised, and not detected
_LONGEST_CELL = 2**31 - 1
_HEAD = 65_536  # characters by which the delimiter is detected
HINT = re.compile(r"sep=(.)(?=[\r\n])")  # Excel's own first line


@dataclass(frozen=True)
class Layout:
    """How a file's text is divided into cells. `delimiter` None detects it in each file."""

    delimiter: str | None = None
    encoding: str = "utf-8"
    comment: str | None = None  # lines that begin with it are left out
    skip_lines: int = 0  # above the header
    header: bool = True  # without one, columns are called column_1, column_2 …

    def __post_init__(self) -> None:
        """Raises `ValueError` or `LookupError` for what no reader can use, since a model file may be anybody's."""
        codecs.lookup(self.encoding)
        if self.delimiter not in (None, WHITESPACE) and (len(self.delimiter) != 1 or self.delimiter in '"\r\n'):
            raise ValueError(f"the delimiter of its table must be one character, got {self.delimiter!r}")
        if self.comment == "" or not isinstance(self.comment, (str, type(None))):
            raise ValueError(f"the mark of comments of its table must be text, got {self.comment!r}")
        if not isinstance(self.skip_lines, int) or not isinstance(self.header, bool):
            raise ValueError("the header of its table must be a number of lines and true or false")


@dataclass(frozen=True)
class Record:
    """The cells of one line, or of several lines where a quoted cell has line breaks."""

    line: int  # on which it begins, from 1
    cells: list[str]  # stripped


class _Lines:
    """The lines of a text for `csv.reader`, without those above the table and without comments between records."""

    def __init__(self, text: str, layout: Layout) -> None:
        self.lines, self.layout = io.StringIO(text, newline=""), layout
        self.number, self.first, self.between = 0, 0, True
        self.is_open = self.is_blank = False
        self.delimiter = layout.delimiter
        if hint := HINT.match(text):
            self.number, self.delimiter = 1, hint[1]
            next(self.lines, None)
        for _ in range(layout.skip_lines):
            self.number += 1
            next(self.lines, None)

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        for line in self.lines:
            self.number += 1
            comment = self.layout.comment
            if self.between and comment is not None and line.lstrip().startswith(comment):
                continue
            if self.between:
                self.first, self.between, self.is_blank = self.number, False, not line.strip()
            return re.sub(r"[ \t]+", " ", line.strip(" \t")) if self.delimiter == WHITESPACE else line
        self.is_open = not self.between  # the reader wants more of a record that has begun
        raise StopIteration


def records(text: str, layout: Layout, source: str) -> Iterator[Record]:
    """Yields the records of a text, without blank lines.

    Args:
        text: The text.
        layout: Its layout; the delimiter must be known.
        source: What messages call the file.

    Raises:
        DataError: A quoted cell has no end.
    """
    lines = _Lines(text, layout)
    delimiter = " " if lines.delimiter == WHITESPACE else lines.delimiter or ","
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_CELL))
    for cells in csv.reader(lines, delimiter=delimiter, skipinitialspace=True):
        if lines.is_open:
            raise DataError(
                f"{source}: the quotation mark that opens a cell in line {lines.first} is never closed; close it, or "
                "delete it"
            )
        lines.between = True
        if not lines.is_blank:
            yield Record(lines.first, [cell.strip() for cell in cells])


def with_delimiter(text: str, layout: Layout, source: str) -> Layout:
    """The layout with the delimiter of a text.

    That is the one that Excel's own first line names; or the one of `layout`; or the one by which most records have as
    many cells as the header, and more than one; else a comma.
    """
    known = _Lines(text[:_HEAD], layout).delimiter
    return replace(layout, delimiter=known or best_delimiter(text, layout, source, _DELIMITERS) or ",")


def best_delimiter(
    text: str, layout: Layout, source: str, delimiters: str | tuple[str, ...] = FURTHER, more_than: int = 1
) -> str:
    """The delimiter by which most records have as many cells as the first, and more than so many; empty if none is.

    Args:
        text: The text.
        layout: Its layout without a delimiter.
        source: What messages call the file.
        delimiters: Those that are tried.
        more_than: The number of cells that a record must exceed.
    """
    head = text[:_HEAD]
    best, best_rank = "", (0.0, 0)
    for delimiter in delimiters:
        try:
            widths = [len(r.cells) for r in records(head, replace(layout, delimiter=delimiter), source)]
        except DataError:  # the head ends inside a quoted cell, or this is not the delimiter
            widths = _widths_before_the_fault(head, replace(layout, delimiter=delimiter), source)
        if len(text) > len(head):
            widths = widths[:-1]
        if not widths:
            continue
        usual, n = Counter(widths).most_common(1)[0]
        header_fits = widths[0] == usual
        rank = (n / len(widths) + header_fits, usual)
        if usual > more_than and rank > best_rank:
            best, best_rank = delimiter, rank
    return best


def _widths_before_the_fault(head: str, layout: Layout, source: str) -> list[int]:
    widths = []
    with contextlib.suppress(DataError):
        for record in records(head, layout, source):
            widths.append(len(record.cells))
    return widths
