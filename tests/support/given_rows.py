"""Data sources whose rows a test gives, and their folds."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from phalanx import TrialSpec, load_dataset
from phalanx.data import Dataset
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


def table(n: int = 66, n_features: int = 3, **options: Any) -> Rows:
    """Rows of three overlapping classes. A fifth of them is the test split."""
    stream = np.random.default_rng(n)
    y = np.arange(n) % 3
    x = stream.normal(size=(n, n_features)) + y[:, None] * np.arange(1, n_features + 1)
    return spec_of(y.tolist(), x, **options)


def folds(n: int = 66, n_folds: int = 5, **options: Any) -> list[Rows]:
    return [table(n, resampling="kfold", folds=n_folds, fold=fold, **options) for fold in range(n_folds)]


def with_data(specs: list[TrialSpec], data: list[Rows], **trainer: Any) -> tuple[list[TrialSpec], list[Dataset]]:
    """Each trial with one of the splits, and its data."""
    own = [
        dataclasses.replace(spec, data=one, trainer=dataclasses.replace(spec.trainer, **trainer))
        for spec, one in zip(specs, data, strict=False)
    ]  # fmt: skip
    return own, [load_dataset(one) for one, _ in zip(data, specs, strict=False)]
