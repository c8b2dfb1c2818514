"""From a source's rows to float32 feature vectors, with statistics of the training split only.

An encoder is fitted once, travels inside the saved model as plain JSON, and prepares the rows given to
`phalanx predict` exactly as it prepared the training rows. N samples, D features.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Protocol

import numpy as np

from phalanx.core.errors import DataError


class Features(Protocol):
    """The interface of an encoder. `fit` returns a fitted copy; `transform` needs one."""

    kind: ClassVar[str]

    @property
    def n_features(self) -> int: ...
    def fit(self, rows: Any) -> Features: ...
    def transform(self, rows: Any) -> np.ndarray: ...
    def to_json(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class ArrayFeatures:
    """Numeric rows: divided by `scale`, then standardised as `normalize` says.

    `global` uses one mean and standard deviation for all features (pixels), `feature` one for each, `none` neither.
    """

    kind: ClassVar[str] = "array"
    normalize: str = "feature"
    scale: float = 1.0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    n_features: int = 0

    def fit(self, rows: np.ndarray) -> ArrayFeatures:
        """A copy with the mean and standard deviation of `rows` (N, D)."""
        n_features = rows.shape[1]
        if self.normalize == "none":
            return replace(self, mean=(0.0,), std=(1.0,), n_features=n_features)
        axis = 0 if self.normalize == "feature" else None
        # The scale is applied to the statistics, which saves a float64 copy of all pixels.
        mean = np.atleast_1d(rows.mean(axis=axis, dtype=np.float64)) / self.scale
        std = np.atleast_1d(rows.std(axis=axis, dtype=np.float64)) / self.scale
        std = np.where(std < 1e-12, 1.0, std)  # a constant feature carries nothing: it becomes 0, not NaN
        return replace(self, mean=tuple(mean.tolist()), std=tuple(std.tolist()), n_features=n_features)

    def transform(self, rows: np.ndarray) -> np.ndarray:
        """Float32 features of shape (N, D); `rows` may be (N, h, w) as well."""
        flat = np.asarray(rows).reshape(len(rows), -1)
        if flat.shape[1] != self.n_features:
            raise DataError(f"rows must have {self.n_features} features, got {flat.shape[1]}")
        std = np.asarray(self.std, np.float32) * np.float32(self.scale)
        return ((flat.astype(np.float32) - np.asarray(self.mean, np.float32) * np.float32(self.scale)) / std).astype(
            np.float32
        )

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, **asdict(self)}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> ArrayFeatures:
        fields = {k: v for k, v in stored.items() if k != "kind"}
        return cls(**{**fields, "mean": tuple(fields["mean"]), "std": tuple(fields["std"])})


def features_from_json(stored: dict[str, Any]) -> Features:
    """The encoder that `to_json` described, whichever kind it is."""
    from phalanx.data.table_encoder import TableFeatures

    kinds: dict[str, Any] = {cls.kind: cls for cls in (ArrayFeatures, TableFeatures)}
    kind = stored.get("kind")
    if kind not in kinds:
        raise DataError(f"the stored features must be of kind {' or '.join(kinds)}, got {kind!r}")
    return kinds[kind].from_json(stored)
