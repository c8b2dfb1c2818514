"""Encodes the columns of an array by another `data.scaling` than `standard`. Axes: N samples, D columns."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

import numpy as np

from phalanx.core.errors import DataError
from phalanx.data.cell_values import Decoded
from phalanx.data.narrow import refuse_overflow
from phalanx.data.table_columns import NumericColumn, column_from_json, fit_number
from phalanx.data.value_scale import COLUMNS, scale_notes


@dataclass(frozen=True)
class ScaledArrayFeatures:
    """Scales each column of numeric rows by itself, into one output; see `phalanx.data.scaling`."""

    kind: ClassVar[str] = "scaled_array"
    scaling: str
    columns: tuple[NumericColumn, ...] = ()

    @property
    def n_features(self) -> int:
        """D."""
        return len(self.columns)

    def fit(self, rows: np.ndarray) -> ScaledArrayFeatures:
        """A copy with the statistics of `rows` (N, D)."""
        flat_ND = np.asarray(rows).reshape(len(rows), -1)
        columns = (
            fit_number(str(place), _decoded(values_N), "feature", self.scaling)
            for place, values_N in enumerate(flat_ND.T, 1)
        )
        return replace(self, columns=tuple(columns))

    def transform(self, rows: np.ndarray) -> np.ndarray:
        """Float32 features of shape (N, D); `rows` may be (N, h, w) as well."""
        flat_ND = np.asarray(rows).reshape(len(rows), -1)
        if flat_ND.shape[1] != len(self.columns):
            raise DataError(f"rows must have {len(self.columns)} features, got {flat_ND.shape[1]}")
        with np.errstate(over="ignore"):  # refused below
            parts = [
                column.encode(_decoded(values_N)).astype(np.float32)
                for column, values_N in zip(self.columns, flat_ND.T, strict=True)
            ]
        encoded_ND = np.concatenate(parts, axis=1)
        refuse_overflow(encoded_ND, "feature")
        return encoded_ND

    def notes(self, rows: np.ndarray) -> list[str]:
        """A note if the rows are in other units than the training rows."""
        if not len(rows):
            return []
        found_D = np.abs(np.asarray(rows).reshape(len(rows), -1).astype(np.float64)).max(0)
        return scale_notes(found_D, np.array([column.largest for column in self.columns]), COLUMNS)

    def summary(self) -> str:
        """Nothing: all columns are numbers."""
        return ""

    def to_json(self) -> dict[str, Any]:
        columns = [{"kind": column.kind, **asdict(column)} for column in self.columns]
        return {"kind": self.kind, "scaling": self.scaling, "columns": columns}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> ScaledArrayFeatures:
        columns = [column_from_json(column) for column in stored["columns"]]
        return cls(stored["scaling"], tuple(column for column in columns if isinstance(column, NumericColumn)))


def _decoded(values_N: np.ndarray) -> Decoded:
    """Numbers as the cells of a column."""
    nothing_N = np.zeros(len(values_N), bool)
    return Decoded(values_N.astype(np.float64), nothing_N, nothing_N, nothing_N)
