"""The data sets that this process has loaded."""

import threading
from collections.abc import Callable, Iterable

from phalanx.data import Dataset, load_dataset
from phalanx.data.base import DataSpec

FEWEST = 2  # that are kept whatever their size
LARGEST_BYTES = 256 << 20  # of all that are kept beyond these, such as the folds of a small table

_loaded: dict[DataSpec, Dataset] = {}  # the latest last
_lock = threading.Lock()


def dataset_of(spec: DataSpec, load: Callable[[], Dataset] | None = None) -> Dataset:
    """The data on the CPU, loaded once for all trials of a sweep that share it.

    `load` replaces reading the source, for data that came from another process.
    """
    with _lock:
        dataset = _loaded.get(spec)
    if dataset is None:
        dataset = load_dataset(spec) if load is None else load()
    with _lock:
        _loaded.pop(spec, None)
        _loaded[spec] = dataset
        while len(_loaded) > FEWEST and _n_bytes(_loaded.values()) > LARGEST_BYTES:
            del _loaded[next(iter(_loaded))]
    return dataset


def _n_bytes(datasets: Iterable[Dataset]) -> int:
    """Of their features; what several hold together counts once."""
    splits = [split for dataset in datasets for split in (dataset.train, dataset.val, dataset.test)]
    return sum({id(tensor): tensor.nbytes for split in splits for tensor in split.held}.values())
