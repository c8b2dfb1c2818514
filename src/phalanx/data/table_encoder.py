"""Encodes a pandas table as feature vectors: numbers are standardized, text is one-hot encoded.

All statistics and categories come from the rows given to `fit`. Axes: N rows, D outputs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from phalanx.core.errors import DataError
from phalanx.data.narrow import NARROW, narrow_statistics, refuse_overflow

if TYPE_CHECKING:
    import pandas as pd

MISSING = "missing"  # the category of a missing text
_NO_TEXT = {"null", "true", "false", "nan", "inf"}  # words that Hydra does not parse as text
_TOO_LARGE = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class NumericColumn:
    """One output, (value - mean) / std; `fill` replaces a missing value."""

    kind: ClassVar[str] = "numeric"
    name: str
    mean: float
    std: float
    fill: float

    @property
    def outputs(self) -> tuple[str, ...]:
        return (self.name,)

    @classmethod
    def fit(cls, series: pd.Series, normalize: str) -> NumericColumn:
        values, _ = numbers(series)
        values = values[~np.isnan(values)]
        if not len(values):
            raise DataError(f"column {series.name!r} has no value in the training rows; {typed('drop', [series.name])}")
        fill = float(values.mean())
        if normalize == "none":
            return cls(series.name, 0.0, 1.0, fill)
        std, largest = float(values.std()), float(np.abs(values).max())
        if std <= NARROW * largest:
            mean, std = narrow_statistics(values)
            return cls(series.name, mean, std or max(largest, 1.0), mean if std else fill)  # a constant becomes 0
        return cls(series.name, fill, std, fill)

    def encode(self, series: pd.Series) -> np.ndarray:
        """Shape (N, 1)."""
        values, _ = numbers(series)
        return ((np.where(np.isnan(values), self.fill, values) - self.mean) / self.std)[:, None]


@dataclass(frozen=True)
class TextColumn:
    """One output per category: 1 for a text of that category. All are 0 for a text that training never had."""

    kind: ClassVar[str] = "text"
    name: str
    categories: tuple[str, ...]

    @property
    def outputs(self) -> tuple[str, ...]:
        return tuple(f"{self.name}={category}" for category in self.categories)

    @classmethod
    def fit(cls, series: pd.Series) -> TextColumn:
        return cls(series.name, tuple(sorted(set(texts(series)))))

    def encode(self, series: pd.Series) -> np.ndarray:
        """Shape (N, number of categories)."""
        import pandas as pd

        place_N: np.ndarray = pd.Index(self.categories).get_indexer(texts(series))  # -1 for an unknown text
        is_category_ND: np.ndarray = place_N[:, None] == np.arange(len(self.categories))
        return is_category_ND


@dataclass(frozen=True)
class TableFeatures:
    """Encodes the rows of a table. The columns in `numeric`, and those that pandas reads as numbers, must be numbers.

    A missing value raises `DataError`, unless `missing` is `impute`: then it is replaced by the mean of the training
    rows, or by the category "missing".
    """

    kind: ClassVar[str] = "table"
    normalize: str = "feature"
    missing: str = "error"
    numeric: tuple[str, ...] = ()
    columns: tuple[NumericColumn | TextColumn, ...] = ()

    @property
    def n_features(self) -> int:
        """D, the number of outputs."""
        return len(self.column_names)

    @property
    def column_names(self) -> tuple[str, ...]:
        """The names of the D outputs, e.g. `age`, `colour=red`."""
        return tuple(name for column in self.columns for name in column.outputs)

    @property
    def text_columns(self) -> tuple[str, ...]:
        """The inputs to read as text even if a file has only digits in them."""
        return tuple(column.name for column in self.columns if isinstance(column, TextColumn))

    def fit(self, rows: pd.DataFrame) -> TableFeatures:
        """A copy with the statistics and categories of `rows`. All of its columns become inputs."""
        numeric = {name for name in rows.columns if name in self.numeric or is_numeric(rows[name])}
        self._check(rows, list(rows.columns), numeric)
        return replace(
            self,
            columns=tuple(
                NumericColumn.fit(rows[name], self.normalize) if name in numeric else TextColumn.fit(rows[name])
                for name in rows.columns
            ),
        )

    def transform(self, rows: pd.DataFrame) -> np.ndarray:
        """Float32 features (N, D). Columns are found by name; their order and additional columns do not matter."""
        names = [column.name for column in self.columns]
        if not hasattr(rows, "columns"):
            raise DataError(f"rows must be a table with the columns {', '.join(names)}, got {type(rows).__name__}")
        absent = [name for name in names if name not in rows.columns]
        if absent:
            found = ", ".join(map(str, rows.columns))
            raise DataError(f"the table lacks the columns {', '.join(map(repr, absent))}; it has {found}")
        self._check(rows, names, {column.name for column in self.columns if isinstance(column, NumericColumn)})
        with np.errstate(over="ignore"):  # refused below
            encoded = [column.encode(rows[column.name]).astype(np.float32) for column in self.columns]
        encoded_ND = np.concatenate(encoded, axis=1)
        refuse_overflow(encoded_ND, "column", self.column_names)
        return encoded_ND

    def _check(self, rows: pd.DataFrame, names: list[str], numeric: set[str]) -> None:
        """Raises one `DataError` with every reason why `rows` cannot be encoded."""
        ordered = [name for name in names if name in numeric]
        faults = [f"{fault}, in row {row + 1}" for fault, row in bad_numbers(rows, ordered)]
        if self.missing != "impute":
            faults += [f"column {name!r} has {n} missing values" for name, n in missing_counts(rows, names).items()]
        if faults:
            raise DataError("the table cannot be encoded: " + "; ".join(faults))

    def to_json(self) -> dict[str, Any]:
        columns = [{"kind": column.kind, **asdict(column)} for column in self.columns]
        return {"kind": self.kind, **asdict(self), "columns": columns}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> TableFeatures:
        columns = tuple(_column(column) for column in stored["columns"])
        return cls(stored["normalize"], stored["missing"], tuple(stored["numeric"]), columns)


def _column(stored: dict[str, Any]) -> NumericColumn | TextColumn:
    if stored["kind"] == "text":
        return TextColumn(stored["name"], tuple(stored["categories"]))
    return NumericColumn(stored["name"], stored["mean"], stored["std"], stored["fill"])


def is_numeric(series: pd.Series) -> bool:
    """Whether a column holds numbers or booleans, which pandas keeps as objects if some are missing."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(series):
        return True
    return series.dtype == object and len(kinds := set(map(type, series.dropna()))) == 1 and bool in kinds


def numbers(series: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """The float64 values, NaN where missing or not a number, and a mask of the values that are not numbers."""
    import pandas as pd

    values = pd.to_numeric(series, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    return values, np.isnan(values) & series.notna().to_numpy()


def texts(series: pd.Series) -> list[str]:
    """Each value as stripped text; `MISSING` for a missing one."""
    return [MISSING if gap else str(value).strip() for value, gap in zip(series, series.isna(), strict=True)]


def bad_numbers(rows: pd.DataFrame, names: Iterable[str]) -> list[tuple[str, int]]:
    """For each column with a value that is not a finite float32: the fault, and its first row (from 0)."""
    found = []
    for name in names:
        values, is_text = numbers(rows[name])
        bad = is_text | (np.abs(values) > _TOO_LARGE)
        if bad.any():
            row = int(np.argmax(bad))
            what = "text" if is_text[row] else "an infinite or too large number"
            found.append((f"column {name!r} must hold numbers, got {what} ({str(rows[name].iloc[row])!r})", row))
    return found


def missing_counts(rows: pd.DataFrame, names: Iterable[str]) -> dict[str, int]:
    """The number of missing values of each column that has any."""
    counts = {name: int(rows[name].isna().sum()) for name in names}
    return {name: n for name, n in counts.items() if n}


def typed(option: str, names: Iterable[str]) -> str:
    """The advice to type a list of columns, `type data.drop=[a,b]`, quoted if a name needs it."""
    listed = list(names)
    if all(re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) and name.lower() not in _NO_TEXT for name in listed):
        return f"type data.{option}=[{','.join(listed)}]"
    return f'type "data.{option}=[{",".join(repr(name) for name in listed)}]"'
