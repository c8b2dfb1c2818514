"""A data source whose rows a test gives."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from phalanx.data.base import DataSpec, Raw
from phalanx.data.encoders import ArrayFeatures


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rows(DataSpec):
    """Rows given by a test. Not in `DATASETS`, which was listed before."""

    def read(self) -> Raw:
        return self.raw  # type: ignore[attr-defined]

    def features(self) -> ArrayFeatures:
        return ArrayFeatures(normalize="feature")


def spec_of(
    y: list[int], x: np.ndarray | None = None, official: tuple[Any, Any] = (None, None), **options: Any
) -> Rows:
    """The source of these classes, with features `x`, else one that is the row's number, and an official test split."""
    spec = Rows(**options)
    x = np.arange(len(y), dtype=np.float64)[:, None] if x is None else x
    classes = tuple(f"class {i}" for i in range(max(y) + 1))
    object.__setattr__(spec, "raw", Raw(x, np.array(y), classes, official[0], official[1]))
    return spec
