"""Reads the text of a table's file; says what a file is that holds none."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path

from phalanx.core.advice import command
from phalanx.core.errors import DataError, UnreadableFile
from phalanx.core.reading import MAX_DATA, opened, parse_json, read_bytes

UTF_8 = "utf-8"
PARQUET = b"PAR1"  # with which such a file begins
_TABLES = (".csv", ".tsv", ".txt", ".parquet")
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_FORMATS: dict[bytes, str] = {
    b"PK\x03\x04": "a zip archive or an Excel workbook; unpack it, or save the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "an Excel workbook (.xls); save the sheet as CSV",
    b"\x1f\x8b": "a gzip archive; unpack it",
    b"BZh": "a bzip2 archive; unpack it",
    b"\xfd7zXZ": "an xz archive; unpack it",
    b"\x28\xb5\x2f\xfd": "a zstd archive; unpack it",
    PARQUET: "Apache Parquet; type data=parquet",
    b"ARROW1": "an Arrow or Feather file; {convert}",
    b"\x93NUMPY": "an array of numpy; {convert}",
    b"\x89HDF": "an HDF5 file; save its table as CSV",
    b"SQLite format 3": "a SQLite database; save its table as CSV",
    b"%PDF": "a PDF document; save its table as CSV",
}
_READERS = {b"ARROW1": "read_feather({})"}
_HTML = re.compile(r"\s*(<!--.*?-->\s*)?<(!doctype\s+html|html|head|body|table|div|\?xml)\b", re.IGNORECASE | re.DOTALL)


def table_text(path: str, source: str, encoding: str = UTF_8, *, may_type: bool = True) -> str:
    """Reads a file as text.

    Args:
        path: The file; `~` is expanded.
        source: What messages call it, e.g. `data.path=iris.csv`.
        encoding: One of Python's names; a byte order mark in a file of UTF-8 does not count as text.
        may_type: Whether messages may advise options of `data=csv`.

    Raises:
        DataError: The file is missing, unreadable, of another format or encoding, or empty.
    """
    file = Path(os.path.expanduser(path))
    content = content_of(path, source)
    for magic, what in _FORMATS.items():
        if content.startswith(magic):
            convert = _converted(file, _READERS[magic]) if magic in _READERS else "save it as CSV"
            raise DataError(f"{source} is not a text file but {what.format(convert=convert)}")
    text = _decoded(content, source, encoding, may_type)
    if "\0" in text:
        raise DataError(f"{source} is not a text file: it holds zero bytes; save it as CSV with the encoding UTF-8")
    if not text.strip():
        raise DataError(f"{source} is empty: it must have a header line and a line for each sample")
    _refuse_markup(file, text, source)
    return text


def is_parquet(path: str) -> bool:
    """Whether a file begins as Parquet files do; of what cannot be read it does not."""
    file = Path(os.path.expanduser(path))
    try:
        with opened(file.resolve()) as content:
            return content.read(len(PARQUET)) == PARQUET
    except (OSError, RuntimeError, ValueError):  # `UnreadableFile` for a pipe; links in a circle; a NUL in the name
        return False


def content_of(path: str, source: str, what: str = "a CSV file") -> bytes:
    """The content of a table's file; `~` is expanded.

    Args:
        path: The file.
        source: What messages call it.
        what: What is looked for.

    Raises:
        DataError: The file is missing or cannot be read.
    """
    return _content(Path(os.path.expanduser(path)), source, what)


def _content(path: Path, source: str, what: str) -> bytes:
    try:
        if path.is_dir():
            inside = ", ".join(n for n in _names_in(path) if n.endswith(_TABLES)) or "none"
            raise DataError(f"{source} is a folder; give one file (tables in it: {inside})")
        return read_bytes(path.resolve(), limit=MAX_DATA)
    except FileNotFoundError as error:
        near = difflib.get_close_matches(path.name, _names_in(path.parent), n=1)
        hint = f"did you mean {path.with_name(near[0])}?" if near else f"give the path of {what}"
        raise DataError(f"{source}: there is no file {path.absolute()}; {hint}") from error
    except UnreadableFile as error:
        raise DataError(f"{source} {error.fault}") from error
    except (OSError, RuntimeError, ValueError) as error:  # links in a circle; a NUL in the name
        raise DataError(f"{source} cannot be opened: {error}") from error


def _names_in(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except OSError:
        return []


def _decoded(content: bytes, source: str, encoding: str, may_type: bool) -> str:
    own = UTF_8 + "-sig" if encoding.lower().replace("_", "-") in (UTF_8, "utf8") else encoding
    try:
        return content.decode(own).removeprefix("\ufeff")
    except UnicodeError as error:
        if own != UTF_8 + "-sig":
            fault = f"cannot be read as {encoding}: {error}"
            other = "save it with that encoding" if not may_type else "give the encoding that it was saved with"
            raise DataError(f"{source} {fault}; {other}") from error
        if content.startswith(_UTF_16):
            advice = "type data.encoding=utf-16" if may_type else "save it as UTF-8"
            raise DataError(f"{source} is UTF-16 text; {advice}") from error
        start = error.start if isinstance(error, UnicodeDecodeError) else 0
        line = content.count(b"\n", 0, start) + 1
        found = f"byte 0x{content[start]:02x} in line {line}"
        likely = _likely(content)
        advice = f"; or, if it was saved on Windows, type data.encoding={likely}" if may_type else ""
        raise DataError(f"{source} is not UTF-8 text ({found}); save it with the encoding UTF-8{advice}") from error


def _likely(content: bytes) -> str:
    """The encoding that Western European Windows uses, or the one that takes every byte."""
    try:
        content.decode("cp1252")
        return "cp1252"
    except UnicodeDecodeError:
        return "latin1"


def _refuse_markup(path: Path, text: str, source: str) -> None:
    """Raises `DataError` for HTML and JSON, whose first lines would be read as a table."""
    if _HTML.match(text):
        raise DataError(
            f"{source} is not a table but a web page (HTML); download the file itself (on GitHub by the button Raw), "
            "or save the table as CSV"
        )
    start = text.lstrip()[:1]
    if start in ("{", "["):
        lines = _is_json(text.strip().split("\n", 1)[0])
        if lines or _is_json(text):
            by_line = start == "{" and lines and text.strip().count("\n") > 0
            reader = "read_json({}, lines=True)" if by_line else "read_json({})"
            raise DataError(f"{source} is not a table but JSON; {_converted(path, reader)}")


def _is_json(text: str) -> bool:
    try:
        return isinstance(parse_json(text, "the file"), (dict, list))
    except UnreadableFile:
        return False


def _converted(path: Path, reader: str) -> str:
    """The command that writes a file as CSV."""
    target = path.with_suffix(".csv") if path.suffix != ".csv" else path.with_name(f"{path.stem}-table.csv")
    code = f"import pandas; pandas.{reader.format(repr(str(path)))}.to_csv({str(target)!r}, index=False)"
    return f"type {command('python', '-c', code)}"
