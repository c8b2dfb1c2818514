"""Divides the text of a regular table into cells by Arrow, which takes a tenth of the time of the csv module.

A text is regular if Arrow and the csv module are certain to divide it alike: each line is a record, and all have as
many cells. `plain_columns` finds that out, and leaves every other text to the csv module.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_LARGEST = 2**31 - 2  # bytes of a block of Arrow, which here is the whole text
_BYTE_ORDER_MARK = "\ufeff"  # Arrow leaves out one at the beginning, and the csv module does not


def plain_columns(text: str, first_line: int, delimiter: str, width: int) -> list[pd.Categorical] | None:
    """The columns of the records from a line on, as categories of stripped text in the order of their first rows.

    Args:
        text: The text of the file.
        first_line: The line, from 1, on which the first record begins.
        delimiter: One character.
        width: How many cells each record must have.

    Returns:
        None if a record is not one line, has another number of cells or only empty ones, or where a quotation mark or a
        line end is used in a way that only the csv module knows.
    """
    if delimiter == " " or not delimiter.isascii() or width < 2 or text.count("\r") != text.count("\r\n"):
        return None
    rows = text[begin_of_line(text, first_line) :].rstrip("\r\n")
    if not rows or rows.startswith(_BYTE_ORDER_MARK) or ('"' in rows and _has_odd_quotes(rows, delimiter)):
        return None
    table = _arrow_table(rows, delimiter, width)
    if table is None or table.num_rows != rows.count("\n") + 1:
        return None
    columns = [_stripped(column.chunk(0)) for column in table.columns]
    return None if _has_empty_row(columns) else columns


def categories(codes_N: np.ndarray, texts_U: Collection[str]) -> pd.Categorical:
    """A column of text.

    Args:
        codes_N: The place of each row's text in `texts_U`; -1 for none.
        texts_U: The different texts.
    """
    import pandas as pd

    index = pd.Index(np.array(texts_U, dtype=object), dtype=object)
    column: pd.Categorical = pd.Categorical.from_codes(codes_N, categories=index, validate=False)
    return column


def begin_of_line(text: str, number: int) -> int:
    """The place in a text at which a line begins, counted from 1."""
    place = 0
    for _ in range(number - 1):
        place = text.index("\n", place) + 1
    return place


def _has_odd_quotes(rows: str, delimiter: str) -> bool:
    """Whether only the csv module may quote a cell, or the last one is never closed, which Arrow accepts."""
    if ' "' in rows and re.search(rf'(?:\A|[\n{re.escape(delimiter)}]) +"', rows):
        return True
    last = rows[rows.rfind("\n") + 1 :]
    return len(list(csv.reader([last, "another line"], delimiter=delimiter))) == 1


def _arrow_table(rows: str, delimiter: str, width: int) -> pa.Table | None:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    try:
        content = rows.encode()
    except UnicodeEncodeError:  # half a pair of UTF-16
        return None
    if len(content) > _LARGEST:
        return None
    names = [str(i) for i in range(width)]
    types = dict.fromkeys(names, pa.dictionary(pa.int32(), pa.string()))
    try:
        return arrow_csv.read_csv(
            pa.BufferReader(content),
            arrow_csv.ReadOptions(column_names=names, block_size=len(content) + 1),
            arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values='"' in rows, ignore_empty_lines=False),
            arrow_csv.ConvertOptions(column_types=types, check_utf8=False, strings_can_be_null=False, null_values=[]),
        )
    except pa.ArrowInvalid:
        return None


def _stripped(column: pa.DictionaryArray) -> pd.Categorical:
    """A column whose different texts are stripped, and are one where they are then equal."""
    codes_N = column.indices.to_numpy()
    places: dict[str, int] = {}
    place_U = [places.setdefault(text.strip(), len(places)) for text in column.dictionary.to_pylist()]
    if len(places) < len(place_U):
        codes_N = np.array(place_U)[codes_N]
    return categories(codes_N, list(places))


def _has_empty_row(columns: list[pd.Categorical]) -> bool:
    """Whether all cells of a row are empty: a blank line, or one of those below the table of a spreadsheet."""
    empty_N = np.ones(len(columns[0]), bool)
    for column in columns:
        empty_N &= column.codes == column.categories.get_indexer([""])[0]  # which is -1 where no cell is empty
        if not empty_N.any():
            return False
    return True
