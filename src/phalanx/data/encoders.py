"""Encoders from a source's rows to float32 feature vectors.

An encoder is fitted on the training rows, stored in the model file as JSON, and encodes the rows given to
`phalanx predict` exactly as the training rows. Axes: N samples, D features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Protocol

import numpy as np

from phalanx.core.errors import DataError
from phalanx.data.narrow import NARROW, narrow_statistics, refuse_overflow
from phalanx.data.value_scale import COLUMNS, PIXELS, scale_notes

Rows = Any  # an array (N, D) or a pandas table

IN_FLOAT32 = 1e6  # the mean, in standard deviations, from which float32 loses what distinguishes the values


class Features(Protocol):
    """The interface of an encoder. `fit` returns a fitted copy, which the other methods need.

    `notes` says what training never had in rows that can be encoded, `summary` what was decided of the columns.
    """

    kind: ClassVar[str]

    @property
    def n_features(self) -> int: ...
    def fit(self, rows: Rows) -> Features: ...
    def transform(self, rows: Rows) -> np.ndarray: ...
    def notes(self, rows: Rows) -> list[str]: ...
    def summary(self) -> str: ...
    def to_json(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class ArrayFeatures:
    """Divides numeric rows by `scale`, then standardizes them.

    `normalize` is `global` (one mean and standard deviation for all features), `feature` (one for each) or `none`.
    """

    kind: ClassVar[str] = "array"
    normalize: str = "feature"
    scale: float = 1.0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    n_features: int = 0
    largest: tuple[float, ...] = ()  # magnitude of each column; empty in a model of an earlier version

    def fit(self, rows: np.ndarray) -> ArrayFeatures:
        """A copy with the mean and standard deviation of `rows` (N, D)."""
        fitted = replace(self, mean=(0.0,), std=(1.0,), n_features=rows.shape[1], largest=_largest(rows))
        if self.normalize == "none":
            return fitted
        axis = 0 if self.normalize == "feature" else None
        # Applying the scale to the statistics avoids a float64 copy of all pixels.
        mean = np.atleast_1d(rows.mean(axis=axis, dtype=np.float64)) / self.scale
        std = np.atleast_1d(rows.std(axis=axis, dtype=np.float64)) / self.scale
        for place in np.flatnonzero(std <= NARROW * np.maximum(np.abs(mean), 1.0)):
            values = rows[:, place] if self.normalize == "feature" else rows.reshape(-1)
            center, spread = narrow_statistics(values.astype(np.float64))
            mean[place], std[place] = center / self.scale, spread / self.scale or 1.0  # a constant becomes 0, not NaN
        return replace(fitted, mean=tuple(mean.tolist()), std=tuple(std.tolist()))

    def transform(self, rows: np.ndarray) -> np.ndarray:
        """Float32 features of shape (N, D); `rows` may be (N, h, w) as well."""
        flat = np.asarray(rows).reshape(len(rows), -1)
        if flat.shape[1] != self.n_features:
            raise DataError(f"rows must have {self.n_features} features, got {flat.shape[1]}")
        mean, std = (np.asarray(values, np.float32) * np.float32(self.scale) for values in (self.mean, self.std))
        with np.errstate(over="ignore"):  # refused below
            encoded: np.ndarray = ((flat.astype(np.float32) - mean) / std).astype(np.float32)
            exact_mean, exact_std = np.asarray(self.mean), np.asarray(self.std)
            if (coarse := np.abs(exact_mean) > IN_FLOAT32 * exact_std).any():
                exact = (flat.astype(np.float64) / self.scale - exact_mean) / exact_std
                encoded = np.where(coarse, exact, encoded).astype(np.float32)
        refuse_overflow(encoded, "feature")
        return encoded

    def notes(self, rows: np.ndarray) -> list[str]:
        """A note if the rows are in other units than the training rows, such as pixels from 0 to 1."""
        if not self.largest or not len(rows):
            return []
        found_D, largest_D = np.array(_largest(rows)), np.array(self.largest)
        return scale_notes(found_D, largest_D, PIXELS if self.scale != 1 else COLUMNS)

    def summary(self) -> str:
        """Nothing: all columns are numbers."""
        return ""

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, **asdict(self)}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> ArrayFeatures:
        fields = {k: v for k, v in stored.items() if k != "kind"}
        lists: dict[str, Any] = {key: tuple(fields[key]) for key in ("mean", "std", "largest") if key in fields}
        return cls(**{**fields, **lists})


def _largest(rows: np.ndarray) -> tuple[float, ...]:
    """The largest magnitude of each column."""
    flat_ND = np.asarray(rows).reshape(len(rows), -1)
    return tuple(np.maximum(flat_ND.max(0).astype(np.float64), -flat_ND.min(0).astype(np.float64)).tolist())


def array_features(normalize: str, scaling: str) -> Features:
    """An encoder of numeric rows, not fitted yet, by `data.normalize` and `data.scaling`."""
    from phalanx.data.scaled_arrays import ScaledArrayFeatures

    return ArrayFeatures(normalize) if scaling == "standard" else ScaledArrayFeatures(scaling)


def features_from_json(stored: dict[str, Any]) -> Features:
    """Rebuilds an encoder from `to_json`. Raises `DataError` if its kind is unknown."""
    from phalanx.data.scaled_arrays import ScaledArrayFeatures
    from phalanx.data.table_encoder import TableFeatures

    kinds: dict[str, Callable[[dict[str, Any]], Features]] = {
        ArrayFeatures.kind: ArrayFeatures.from_json,
        ScaledArrayFeatures.kind: ScaledArrayFeatures.from_json,
        TableFeatures.kind: TableFeatures.from_json,
        TableFeatures.scaled_kind: TableFeatures.from_json,
    }
    kind = str(stored.get("kind"))
    if kind not in kinds:
        *first, last = kinds
        raise DataError(f"the stored features must be of kind {', '.join(first)} or {last}, got {kind!r}")
    return kinds[kind](stored)
