"""Encodes a pandas table as feature vectors: numbers are scaled, text is one-hot encoded.

All statistics and categories come from the rows given to `fit`. Axes: N rows, D outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from phalanx.core.advice import override
from phalanx.core.errors import DataError, listed
from phalanx.data.cell_values import Decoded, Kind, decode
from phalanx.data.narrow import refuse_overflow
from phalanx.data.table_columns import (
    NumericColumn,
    ScaledColumn,
    TextColumn,
    bad_number,
    column_from_json,
    counted,
    fit_number,
    unseen,
)
from phalanx.data.table_reader import TableReader
from phalanx.data.value_scale import COLUMNS, scale_notes

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class TableFeatures:
    """Encodes the rows of a table. The columns in `numeric`, and those that pandas has as numbers, must be numbers.

    A missing value raises `DataError`, unless `missing` is `impute`: then it is replaced by the mean of the training
    rows, or by the category "missing". `reader` is how the training file was read, `scaling` what `data.scaling` is.
    """

    kind: ClassVar[str] = "table"
    scaled_kind: ClassVar[str] = "scaled_table"  # in model files, so that an earlier version refuses them
    normalize: str = "feature"
    missing: str = "error"
    numeric: tuple[str, ...] = ()
    columns: tuple[NumericColumn | TextColumn, ...] = ()
    reader: TableReader = field(default_factory=TableReader)
    scaling: str = "standard"

    @property
    def n_features(self) -> int:
        """D, the number of outputs."""
        return len(self.column_names)

    @property
    def column_names(self) -> tuple[str, ...]:
        """The names of the D outputs, e.g. `age`, `colour=red`."""
        return tuple(name for column in self.columns for name in column.outputs)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns of a table that are needed."""
        return tuple(column.name for column in self.columns)

    def fit(self, rows: pd.DataFrame) -> TableFeatures:
        """A copy with the statistics and categories of `rows`. All of its columns become inputs."""
        kinds = {name: self._kind(rows[name]) for name in rows.columns}
        decoded = {name: decode(rows[name], kind, self.reader.notation) for name, kind in kinds.items()}
        DecodedTable(self, rows, decoded).refuse()
        empty = [name for name, kind in kinds.items() if kind is not Kind.TEXT and decoded[name].missing_N.all()]
        if empty:
            advice = override("data.drop", (*self.reader.dropped, *empty))
            raise DataError(f"no value in the training rows: {listed(list(map(repr, empty)))}; type {advice}")
        columns = [
            TextColumn.fit(name, decoded[name])
            if kind is Kind.TEXT
            else fit_number(name, decoded[name], self.normalize, self.scaling, truth=kind is Kind.TRUTH)
            for name, kind in kinds.items()
        ]
        return replace(self, columns=tuple(columns))

    def _kind(self, series: pd.Series) -> Kind:
        import pandas as pd

        if _is_truth(series):
            return Kind.TRUTH
        is_number = series.name in self.numeric or pd.api.types.is_numeric_dtype(series)
        return Kind.NUMBER if is_number else Kind.TEXT

    def absent(self, rows: pd.DataFrame) -> list[str]:
        """The columns that `rows` lacks."""
        return [name for name in self.names if name not in rows.columns]

    def decode(self, rows: pd.DataFrame) -> DecodedTable:
        """Finds out what the cells of rows mean. The order of columns and additional ones do not matter.

        A column that is absent is a missing value in each row if `missing` is `impute`, unless all are.

        Raises:
            DataError: A column is absent, or `rows` is no table.
        """
        import pandas as pd

        if not hasattr(rows, "columns"):
            raise DataError(f"rows must be a table with the columns {', '.join(self.names)}, got {type(rows).__name__}")
        absent = self.absent(rows)
        if absent and (self.missing != "impute" or len(absent) == len(self.columns)):
            found = ", ".join(map(str, rows.columns))
            raise DataError(f"the table lacks the columns {', '.join(map(repr, absent))}; it has {found}")
        nothing = pd.Series(None, index=rows.index, dtype=object)
        decoded = {
            column.name: decode(
                nothing if column.name in absent else rows[column.name],
                column.cells,
                self.reader.notation,
                column.categories if isinstance(column, TextColumn) else (),
            )
            for column in self.columns
        }
        return DecodedTable(self, rows, decoded)

    def transform(self, rows: pd.DataFrame) -> np.ndarray:
        """Float32 features (N, D). Raises `DataError` for rows that cannot be encoded."""
        return self.decode(rows).encoded()

    def notes(self, rows: pd.DataFrame) -> list[str]:
        """What training never had in rows that can be encoded: texts, in how many rows, and the nearest known ones."""
        return self.decode(rows).notes()

    def summary(self) -> str:
        """The columns and what they hold, in one line."""
        text = [
            f"{c.name}: {counted(len(c.categories), 'category', 'categories')}"
            for c in self.columns
            if isinstance(c, TextColumn)
        ]
        n_numbers = len(self.columns) - len(text)
        n_scaled = sum(isinstance(column, ScaledColumn) for column in self.columns)
        how = f" ({n_scaled} by {self.scaling} scaling)" if n_scaled else ""
        parts = [f"{n_numbers} numeric{how}"] * bool(n_numbers)
        parts += [f"{len(text)} text ({listed(text)})"] * bool(text)
        parts += [f"left out: {listed(self.reader.dropped)}"] * bool(self.reader.dropped)
        constant = [column.name for column in self.columns if column.constant]
        without = [f"constant in training and so without effect: {listed(constant)}"] * bool(constant)
        return "; ".join([", ".join(parts), *without])

    def to_json(self) -> dict[str, Any]:
        columns = [{"kind": column.kind, **asdict(column)} for column in self.columns]
        own = {"normalize": self.normalize, "missing": self.missing, "numeric": self.numeric}
        about = {"kind": self.kind, **own, "columns": columns, "reader": self.reader.to_json()}
        return about if self.scaling == "standard" else {**about, "kind": self.scaled_kind, "scaling": self.scaling}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> TableFeatures:
        """Models of earlier versions have no `reader`: their tables are read as data=csv reads without options."""
        columns = tuple(column_from_json(column) for column in stored["columns"])
        reader = TableReader.from_json(stored["reader"]) if "reader" in stored else TableReader()
        how = (stored["normalize"], stored["missing"], tuple(stored["numeric"]))
        return cls(*how, columns, reader, stored.get("scaling", "standard"))


@dataclass(frozen=True)
class DecodedTable:
    """Rows whose cells were decoded once, for what cannot be encoded, what training never had, and the features."""

    features: TableFeatures
    rows: pd.DataFrame
    columns: dict[str, Decoded]

    def faults(self, place: Callable[[int], str]) -> list[str]:
        """Every reason why the rows cannot be encoded; `place` says where a row (from 0) is, in words."""
        faults = [fault for name, found in self.columns.items() for fault in bad_number(name, self.rows, found, place)]
        if self.features.missing != "impute":
            faults += [
                f"column {name!r} has {int(n)} missing values, the first in {place(int(np.argmax(found.missing_N)))}"
                for name, found in self.columns.items()
                if (n := found.missing_N.sum())
            ]
        return faults

    def refuse(self) -> None:
        """Raises `DataError` with all faults, if there are any."""
        if faults := self.faults(lambda row: f"row {row + 1}"):
            raise DataError("the table cannot be encoded: " + "; ".join(faults))

    def notes(self) -> list[str]:
        """What training never had: texts, and numbers in other units."""
        notes = [
            note
            for column in self.features.columns
            if isinstance(column, TextColumn) and not column.constant
            for note in unseen(column, self.columns[column.name])
        ]
        numbers = [column for column in self.features.columns if isinstance(column, NumericColumn)]
        found_D = np.array([self.columns[column.name].largest for column in numbers])
        return notes + scale_notes(found_D, np.array([column.largest for column in numbers]), COLUMNS)

    def encoded(self) -> np.ndarray:
        """Float32 features (N, D). Raises `DataError` for rows that cannot be encoded."""
        self.refuse()
        with np.errstate(over="ignore"):  # refused below
            encoded = [column.encode(self.columns[column.name]).astype(np.float32) for column in self.features.columns]
        encoded_ND = np.concatenate(encoded, axis=1)
        refuse_overflow(encoded_ND, "column", self.features.column_names)
        return encoded_ND


def _is_truth(series: pd.Series) -> bool:
    """Whether a column holds truth values, which pandas keeps as objects if some are missing."""
    import pandas as pd

    if pd.api.types.is_bool_dtype(series.dtype):
        return True
    return series.dtype == object and len(kinds := set(map(type, series.dropna()))) == 1 and bool in kinds
