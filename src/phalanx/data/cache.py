"""The data sets that this process has loaded."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

from phalanx.data import Dataset, load_dataset
from phalanx.data.base import DataSpec


@dataclass(frozen=True)
class _Source:
    spec: DataSpec
    load: Callable[[], Dataset] = field(compare=False)


@lru_cache(maxsize=2)
def _loaded(source: _Source) -> Dataset:
    return source.load()


def dataset_of(spec: DataSpec, load: Callable[[], Dataset] | None = None) -> Dataset:
    """The data on the CPU, loaded once for all trials of a sweep that share it.

    `load` replaces reading the source, for data that came from another process.
    """
    return _loaded(_Source(spec, load or (lambda: load_dataset(spec))))
