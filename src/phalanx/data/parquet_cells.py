"""Reads the cells of a Parquet file: as text, like those of a text file, with what each column holds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from phalanx.core.advice import override
from phalanx.core.errors import DataError, listed
from phalanx.core.reading import MAX_DATA
from phalanx.data.cell_values import Kind
from phalanx.data.plain_table import categories
from phalanx.data.table_cells import Cells
from phalanx.data.table_layout import Layout
from phalanx.data.table_text import PARQUET, content_of

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_UNNAMED = "__index_level_"  # how pandas calls an index without a name


def parquet_cells(
    path: str, source: str, needed: Collection[str] = (), named: Collection[str] = (), dropped: Collection[str] = ()
) -> Cells:
    """Reads the columns of a Parquet file; an index of pandas is left out.

    Args:
        path: The file; `~` is expanded.
        source: What messages call it, e.g. `data.path=iris.parquet`.
        needed: The columns whose cells are read; all if empty.
        named: Columns that are kept even if they are an index.
        dropped: Columns whose cells are not looked at.

    Raises:
        DataError: The file is missing, damaged or no Parquet file, has no rows, or has columns that hold no cells.
    """
    import pandas as pd

    table = _table(path, source)
    wanted = {*needed, *named, *dropped}
    index = [name for name in _index(table.schema) if name not in wanted]
    names = [name for name in table.column_names if name not in index]
    kinds = {name: _kind(table.schema.field(name).type) for name in names}
    kinds |= dict.fromkeys(_categorical(table.schema) & kinds.keys(), Kind.TEXT)
    used = [name for name in names if name not in dropped and (not needed or name in needed)]
    odd = [name for name in used if kinds[name] is None]
    if odd:
        types = listed([f"{name!r} {table.schema.field(name).type}" for name in odd])
        advice = "" if needed else f"; type {override('data.drop', (*dropped, *odd))}"
        raise DataError(f"{source}: columns whose cells are no numbers, texts or truth values: {types}{advice}")
    nothing = categories(np.zeros(table.num_rows, int), [""])
    columns = [_column(table.column(name)) if name in used else nothing for name in names]
    frame = pd.DataFrame(dict(enumerate(columns)), index=range(table.num_rows))
    frame.columns = pd.Index(names, dtype=object)
    own = [name for name in index if not name.startswith(_UNNAMED)]
    about = (f"index left out: {listed(own)}",) if own else ()
    held = {name: Kind.TEXT if kind is None else kind for name, kind in kinds.items()}
    return Cells(source, frame, np.arange(1, 1 + table.num_rows), Layout(), kinds=held, about=about)


def _table(path: str, source: str) -> pa.Table:
    """The table of a file, with rows and with a name for each column."""
    import pyarrow as pa
    from pyarrow import parquet

    content = content_of(path, source, "a Parquet file")
    if not content.startswith(PARQUET):
        raise DataError(f"{source} is not a Parquet file; if it is a text file with a table, type data=csv")
    try:
        file = parquet.ParquetFile(pa.BufferReader(content))
        groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
        if (size := sum(group.total_byte_size for group in groups)) > MAX_DATA:
            raise DataError(f"{source} has {size:,} bytes when it is unpacked, and at most {MAX_DATA:,} are read")
        table = file.read()
    except DataError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{source} is damaged, or of a kind that cannot be read: {error}") from error
    if twice := [name for name, n in Counter(table.column_names).items() if n > 1]:
        raise DataError(f"{source}: column names that occur more than once: {listed(twice)}; rename them")
    if not table.num_rows:
        raise DataError(f"{source} has no rows; its columns are {listed(table.column_names)}")
    return table


def _index(schema: pa.Schema) -> list[str]:
    """The columns that were the index of a pandas table."""
    about = schema.pandas_metadata or {}
    return [name for name in about.get("index_columns", []) if isinstance(name, str)]


def _categorical(schema: pa.Schema) -> set[str]:
    """The columns that were categories of a pandas table, which the file's own types tell of texts alone."""
    columns = (schema.pandas_metadata or {}).get("columns", [])
    return {str(column.get("field_name")) for column in columns if column.get("pandas_type") == "categorical"}


def _kind(kind: pa.DataType) -> Kind | None:
    """What a column of a type holds; None if its cells are lists, structures or bytes."""
    from pyarrow import types

    if types.is_dictionary(kind):
        return None if _kind(kind.value_type) is None else Kind.TEXT
    if types.is_boolean(kind):
        return Kind.TRUTH
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind) or types.is_null(kind):
        return Kind.NUMBER
    is_text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    return Kind.TEXT if is_text or types.is_temporal(kind) else None


def _column(column: pa.ChunkedArray) -> pd.Categorical:
    """A column as categories of text; an empty one for null and NaN, in which text files have missing values too."""
    import pyarrow as pa
    from pyarrow import types

    kind = column.type.value_type if types.is_dictionary(column.type) else column.type
    if types.is_null(kind):
        return categories(np.zeros(len(column), int), [""])
    if types.is_string(kind) or types.is_string_view(kind):
        kind = pa.large_string()  # whose chunks can be one, whatever their size
    kind = pa.float32() if types.is_float16(kind) else kind
    whole = column.cast(kind).combine_chunks()
    encoded = (whole.combine_chunks() if isinstance(whole, pa.ChunkedArray) else whole).dictionary_encode()
    code_N = encoded.indices.fill_null(len(encoded.dictionary)).to_numpy(zero_copy_only=False)
    places: dict[str, int] = {}
    values = [*encoded.dictionary.to_pylist(), *([None] if encoded.null_count else [])]
    place_U = np.array([places.setdefault(_text(value), len(places)) for value in values], int)
    return categories(place_U[code_N], list(places))


def _text(value: Any) -> str:
    """A cell as a text file has it."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return format(value, "f") if isinstance(value, Decimal) else str(value).strip()
