"""Data sources: one file each. `DATASETS` lists them by the name used in `data=<name>`."""

from phalanx.core.registry import options
from phalanx.data.base import Dataset, DataSpec, Split
from phalanx.data.loading import load_dataset

DATASETS = options(DataSpec, __name__, __path__)

__all__ = ["DATASETS", "DataSpec", "Dataset", "Split", "load_dataset"]
