"""The one check of rows that a saved model is asked to predict, whichever way they come: a file, Python, or HTTP.

Axes: N rows, D features, h × w pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from phalanx.core.errors import DataError
from phalanx.data.cell_values import PLAIN_NUMBER
from phalanx.data.table_encoder import DecodedTable, TableFeatures

if TYPE_CHECKING:
    import pandas as pd

TARGETS = ("label", "target", "class")  # columns that are left out of a table for a model trained on plain arrays

_LARGEST = float(np.finfo(np.float32).max)
_MAX_FAULTS = 5  # faults listed in one message


def array_rows(
    rows: Any, n_features: int, image_shape: tuple[int, int] | None = None, source: str = "the input"
) -> np.ndarray:
    """Returns rows as an array (N, D) of finite numbers.

    Args:
        rows: An array (N, D) or (N, h, w) of any real type, a torch tensor, nested lists, or a table whose columns are
            taken in their order, without those named label, target or class.
        n_features: D, the numbers that the model takes.
        image_shape: (h, w) of a model of images.
        source: What the message calls the rows.

    Raises:
        DataError: They have another shape, or hold something that is not a finite number in float32; the message names
            the row, counted from 1, and the column.
    """
    names: Sequence[str] = ()
    if hasattr(rows, "columns"):
        rows, names = _columns(rows, n_features, source)
    values = _array(rows, source)
    shapes = [(n_features,)] + ([image_shape, (1, *image_shape)] if image_shape else [])
    if values.shape[1:] not in shapes or values.ndim < 2:
        listed = [f"(N, {', '.join(map(str, shape))})" for shape in shapes[:2]]
        raise DataError(f"{source} must have the shape {' or '.join(listed)}, got {values.shape}")
    if not len(values):
        raise DataError(f"{source} is empty: it has no rows")
    flat_ND = values.reshape(len(values), -1)
    numbers_ND = flat_ND if flat_ND.dtype.kind in "bui" else _floats(flat_ND)
    # abs(NaN) > x is false, so the comparison is turned round.
    bad = np.argwhere(~(np.abs(numbers_ND) <= _LARGEST)) if numbers_ND.dtype.kind == "f" else np.empty((0, 2), int)
    if len(bad):
        listed = [f"{_shown(flat_ND[row, place])} in row {row + 1}, column {_name(place, names)}"
                  for row, place in bad[:_MAX_FAULTS]]  # fmt: skip
        hidden = f"; and {len(bad) - _MAX_FAULTS:,} more" if len(bad) > _MAX_FAULTS else ""
        raise DataError(f"{source} must hold finite numbers, got {'; '.join(listed)}{hidden}")
    return np.ascontiguousarray(numbers_ND)  # products of another layout in memory are rounded differently


def table_rows(rows: Any, features: TableFeatures) -> DecodedTable:
    """Returns rows decoded as a table, whose values are checked when it is encoded.

    Args:
        rows: A table, a list with a mapping for each row, a mapping from columns to their values, or what this function
            returned.
        features: The fitted encoder.

    Raises:
        DataError: A column is absent, or there is no row.
    """
    if isinstance(rows, DecodedTable):
        return rows
    decoded = features.decode(_table(rows, features.names))
    if not len(decoded.rows):
        raise DataError("the table is empty: it has no rows")
    return decoded


def _array(rows: Any, source: str) -> np.ndarray:
    if isinstance(rows, torch.Tensor):
        kept = rows.detach().cpu()
        return (kept.float() if kept.dtype in (torch.bfloat16, torch.float16) else kept).numpy()
    try:
        values = np.asarray(rows)
    except ValueError as error:  # rows of different lengths
        widths = [len(row) if isinstance(row, Sequence) else 1 for row in rows]
        odd = next((place for place, width in enumerate(widths) if width != widths[0]), 0)
        raise DataError(
            f"{source} must have rows of one length, got {widths[0]} numbers in row 1, {widths[odd]} in row {odd + 1}"
        ) from error
    if values.dtype.kind not in "buifOUS":
        raise DataError(f"{source} must hold real numbers, got the type {values.dtype}")
    return values


def _floats(values_ND: np.ndarray) -> np.ndarray:
    """The numbers; NaN for what is not one. Text counts as a number where it is written as one."""
    if values_ND.dtype.kind == "f":
        return values_ND.astype(np.float32) if values_ND.itemsize < 4 else values_ND
    flat = [_float(value) for value in values_ND.reshape(-1).tolist()]
    return np.array(flat, np.float64).reshape(values_ND.shape)


def _float(value: Any) -> float:
    if isinstance(value, str):
        return float(value) if PLAIN_NUMBER.fullmatch(value) else float("nan")
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return float("nan")


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, str):
        return f"text ({str(value) if len(value) <= 40 else value[:39] + '…'!r})"
    return str(value)


def _name(place: int, names: Sequence[str]) -> str:
    return repr(names[place]) if names else str(place + 1)


def _columns(table: pd.DataFrame, n_features: int, source: str) -> tuple[np.ndarray, list[str]]:
    """The values and the names of a table's columns, without those that may hold the class."""
    texts = [name for name in table.columns if isinstance(name, str)]
    if len(texts) == table.shape[1] and _is_row(texts):
        raise DataError(
            f"{source} has no header: its first line begins with the numbers {', '.join(texts[:3])}; "
            "add a line of names"
        )
    kept = [name for name in table.columns if str(name).strip().lower() not in TARGETS]
    if len(kept) != n_features:
        raise DataError(
            f"{source} must have {n_features} columns beside {', '.join(TARGETS)}, got {len(kept)}"
        )  # fmt: skip
    return table[kept].to_numpy(), [str(name) for name in kept]


def _is_row(names: Sequence[str]) -> bool:
    """Whether a table's names are the numbers of a row that was taken for names, and do not count the columns."""
    if not names or not all(PLAIN_NUMBER.fullmatch(name) for name in names):
        return False
    return [float(name) for name in names] not in ([*range(len(names))], [*range(1, len(names) + 1)])


def _table(rows: Any, names: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    if hasattr(rows, "columns"):
        frame = pd.DataFrame(rows)
    elif isinstance(rows, Mapping) and rows:
        columns = {key: _cells(value) for key, value in rows.items()}
        if len({len(value) for value in columns.values()}) > 1:
            counts = ", ".join(f"{len(value)} of {key!r}" for key, value in columns.items())
            raise DataError(f"the columns must have equally many values, got {counts}")
        frame = pd.DataFrame(columns)
    elif (records := _listed(rows)) and all(isinstance(row, Mapping) for row in records):
        frame = pd.DataFrame([{key: _scalar(value) for key, value in row.items()} for row in records])
    else:
        listed = ", ".join(names)
        raise DataError(f"rows must be a table with the columns {listed}, got {type(rows).__name__}")
    if not frame.columns.is_unique:
        raise DataError(f"a column occurs twice: {', '.join(map(repr, frame.columns[frame.columns.duplicated()]))}")
    return frame


def _listed(rows: Any) -> list[Any]:
    try:
        return list(rows)
    except TypeError:  # None, a number
        return []


def _cells(values: Any) -> np.ndarray:
    """The values of a column, which MLflow wraps one by one where they are large whole numbers."""
    given = np.atleast_1d(np.array(values, object))
    cells = np.empty(len(given), object)
    for row, value in enumerate(given):
        cells[row] = value.tolist() if isinstance(value, np.ndarray) else value  # a list in a cell is no number
    return cells


def _scalar(value: Any) -> Any:
    return value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value
