"""Reads a delimited text file as a pandas table, and finds the line of each row for error messages."""

from __future__ import annotations

import csv
import difflib
import io
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from phalanx.core.errors import DataError, UnreadableFile
from phalanx.core.reading import MAX_DATA, read_bytes

if TYPE_CHECKING:
    import pandas as pd

_DELIMITERS = ",;\t|"
_OTHER_FORMATS = {
    b"PK\x03\x04": "a zip archive or an Excel workbook; save the sheet as CSV",
    b"\x1f\x8b": "a gzip archive; unpack it",
    b"\xff\xfe": "UTF-16 text; save it as UTF-8",
    b"\xfe\xff": "UTF-16 text; save it as UTF-8",
}


@dataclass(frozen=True)
class TableFile:
    """A table file. `source` names it in messages, e.g. `data.path=iris.csv`."""

    source: str
    text: str
    delimiter: str
    frame: pd.DataFrame

    def line(self, row: int) -> int:
        """The line of the file, from 1, on which row `row` (from 0) of `frame` begins."""
        records = enumerate(_records(self.text, self.delimiter), start=-1)  # the header is record -1
        one_line_a_row = row + 2
        try:
            return next((number for i, (number, _) in records if i == row), one_line_a_row)
        except csv.Error:  # a cell longer than the csv module takes
            return one_line_a_row

    def refuse(self, faults: list[str]) -> None:
        """Raises one `DataError` with all `faults`, if there are any."""
        if len(faults) == 1:
            raise DataError(f"{self.source}: {faults[0]}")
        if faults:
            raise DataError("\n  - ".join([f"{self.source} has {len(faults)} faults:", *faults]))


def read_table(path: str, key: str, delimiter: str | None = None, text_columns: Collection[str] = ()) -> TableFile:
    """Reads a table with a header line.

    Args:
        path: The file; `~` is expanded.
        key: The option that names the file, for messages.
        delimiter: One character; None to detect it.
        text_columns: Columns to read as text even if they look like numbers.

    Raises:
        DataError: The file is missing, unreadable, not UTF-8, empty or not rectangular.
    """
    import pandas as pd

    source = f"{key}={path}"
    text = _text(Path(os.path.expanduser(path)), source)
    if not text.strip():
        raise DataError(f"{source} is empty: it must have a header line and a line for each sample")
    delimiter = delimiter or _detect(text[:16_384])
    names = _header(text, delimiter, source)
    dtype = {name: str for name in names if name in text_columns}
    try:
        layout = {"sep": delimiter, "header": 0, "names": names, "skipinitialspace": True}
        frame = pd.read_csv(io.StringIO(text), **layout, dtype=dtype, low_memory=False)
    except (pd.errors.ParserError, ValueError) as error:
        raise DataError(
            f"{source} is not a table separated by {delimiter!r}: {' '.join(str(error).split())}"
        ) from error
    return TableFile(source, text, delimiter, frame)


def _text(path: Path, source: str) -> str:
    try:
        if path.is_dir():
            inside = ", ".join(n for n in _names_in(path) if n.endswith((".csv", ".tsv", ".txt"))) or "none"
            raise DataError(f"{source} is a folder; give one file (tables in it: {inside})")
        content = read_bytes(path.resolve(), limit=MAX_DATA)
    except FileNotFoundError as error:
        near = difflib.get_close_matches(path.name, _names_in(path.parent), n=1)
        hint = f"did you mean {path.with_name(near[0])}?" if near else "give the path of a CSV file"
        raise DataError(f"{source}: there is no file {path.absolute()}; {hint}") from error
    except UnreadableFile as error:
        raise DataError(f"{source} {error.fault}") from error
    except (OSError, RuntimeError) as error:  # links in a circle
        raise DataError(f"{source} cannot be opened: {error}") from error
    for magic, meaning in _OTHER_FORMATS.items():
        if content.startswith(magic):
            raise DataError(f"{source} is not a text file but {meaning}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        found = f"byte 0x{error.object[error.start]:02x} in line {line}"
        raise DataError(f"{source} is not UTF-8 text ({found}); save it with the encoding UTF-8") from error
    if "\0" in text:
        raise DataError(f"{source} is not a text file: it holds zero bytes; save it as CSV with the encoding UTF-8")
    return text


def _names_in(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except OSError:
        return []


def _detect(head: str) -> str:
    """The only delimiter in the header line; of several, the choice of `csv.Sniffer`; else a comma."""
    header = head.strip().splitlines()[0]
    candidates = [d for d in _DELIMITERS if d in header]
    if len(candidates) < 2:
        return candidates[0] if candidates else ","
    try:
        return csv.Sniffer().sniff(head, delimiters="".join(candidates)).delimiter
    except csv.Error:
        return ","


def _records(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yields the line on which each record begins and its cells, without blank lines, as pandas reads them."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    begin = 1
    for record in reader:
        if any(cell.strip() for cell in record) or len(record) > 1:
            yield begin, record
        begin = reader.line_num + 1


def _header(text: str, delimiter: str, source: str) -> list[str]:
    """The stripped column names; `Unnamed: <i>` for an empty one. Raises `DataError` if they are not unique."""
    records = _records(text, delimiter)
    try:
        line, header = next(records)
        _, first = next(records, (0, []))
    except csv.Error as error:
        raise DataError(f"{source} is not a table separated by {delimiter!r}: {error}") from error
    names = [cell.strip() or f"Unnamed: {i}" for i, cell in enumerate(header)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{source} has column names that occur more than once: {', '.join(twice)}; rename them")
    if not first:
        raise DataError(f"{source} has only a header ({', '.join(names)}) and no samples below it")
    if len(first) > len(names):
        raise DataError(f"{source}: the header in line {line} has {len(names)} columns, the line below {len(first)}")
    return names
