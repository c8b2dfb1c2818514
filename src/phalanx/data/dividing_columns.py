"""Columns of a table that say how its rows are divided, and are no features: groups, and times."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from phalanx.data.cell_values import Kind
from phalanx.data.table_rows import Column

if TYPE_CHECKING:
    from phalanx.data.table_faults import Refusal


def check_dividing(refusal: Refusal, columns: Mapping[str, Column]) -> None:
    """Adds what keeps such columns from dividing the rows: missing cells, and times that have no order.

    Args:
        refusal: Takes the faults.
        columns: The columns by name.
    """
    for option, column_name in refusal.asked.aside.items():
        name, column = f"data.{option}={column_name}", columns[column_name]
        gaps_N = column.missing_N & column.used_N
        if gaps_N.any():
            refusal.faults.append(
                f"{name} has no value in {int(gaps_N.sum())} of {len(gaps_N)} rows, the first in "
                f"{refusal.cells.place(int(np.argmax(gaps_N)))}; data.missing=drop_rows leaves out such rows"
            )
            refusal.options["data.missing"] = "drop_rows"
        if option == "time":
            _check_times(refusal, name, column)


def _check_times(refusal: Refusal, name: str, column: Column) -> None:
    bad_U = np.isnan(_time_U(column))
    bad_N = bad_U[column.place_N] & column.given_N
    if bad_N.any():
        row = int(np.argmax(bad_N))
        refusal.faults.append(
            f"{name} must hold numbers, or dates with the year first such as 2026-01-31 or 2026-01-31 18:30, "
            f"which have an order; got {column.text(row)!r}, {refusal.cells.place(row)}"
        )
    elif len(set(_time_U(column)[column.given_V].tolist())) == 1:
        refusal.faults.append(f"{name} has the value {column.texts_V[0]!r} in every row, which gives them no order")


def group_codes(column: Column) -> np.ndarray:
    """The group of each row that is used, as whole numbers in the order of the cells' numbers or texts."""
    value_U = column.number_U if column.kind is Kind.NUMBER else column.text_U.astype(str)
    codes_N: np.ndarray = np.unique(value_U[column.place_N[column.used_N]], return_inverse=True)[1]
    return codes_N


def times(column: Column) -> np.ndarray:
    """The time of each row that is used, float64 of numbers, and of dates int64 in nanoseconds since 1970, UTC."""
    times_N: np.ndarray = _times_of(column)[column.place_N[column.used_N]]
    return times_N


def _times_of(column: Column) -> np.ndarray:
    """The time of each text: whole numbers or float64; NaN, or the least whole number, where it is none."""
    import pandas as pd

    if column.kind is Kind.NUMBER:
        return column.number_U
    texts = pd.Series(np.where(column.missing_U, "", column.text_U), dtype=object)
    found = pd.to_datetime(texts, format="ISO8601", errors="coerce", utc=True)
    nanoseconds_U: np.ndarray = found.astype("datetime64[ns, UTC]").astype("int64").to_numpy()
    return nanoseconds_U


def _time_U(column: Column) -> np.ndarray:
    """The times of the texts as float64, NaN for what is none."""
    found_U = _times_of(column)
    if column.kind is Kind.NUMBER:
        return found_U.astype(np.float64)
    return np.where(found_U == np.iinfo(np.int64).min, np.nan, found_U.astype(np.float64))
