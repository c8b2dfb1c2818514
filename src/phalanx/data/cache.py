"""The data sets that this process has loaded."""

from __future__ import annotations

from functools import lru_cache

from phalanx.data import Dataset, load_dataset
from phalanx.data.base import DataSpec


@lru_cache(maxsize=2)
def dataset_of(spec: DataSpec) -> Dataset:
    """The data on the CPU, read once for all trials of a sweep that share it."""
    return _offered.pop(spec, None) or load_dataset(spec)


_offered: dict[DataSpec, Dataset] = {}


def offer(spec: DataSpec, dataset: Dataset) -> None:
    """Has `dataset_of` give this, which came from another process, where it has not read the data itself."""
    _offered[spec] = dataset
    dataset_of(spec)
    _offered.clear()
