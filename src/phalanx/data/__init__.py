"""Data sources: one file each. `DATASETS` lists them by the name used in `data=<name>`."""

from phalanx.data.base import Dataset, DataSpec, Split
from phalanx.data.loading import load_dataset
from phalanx.registry import options

DATASETS = options(DataSpec, __name__, __path__)

__all__ = ["DATASETS", "DataSpec", "Dataset", "Split", "load_dataset"]
