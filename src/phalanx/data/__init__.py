"""Data sources: one file each. `DATASETS` maps the name used in `data=<name>` to its class.

Examples:
    >>> from phalanx import DATASETS, load_dataset
    >>> "digits" in DATASETS
    True
    >>> load_dataset(DATASETS["thresholds"](n_train=20, n_val=10, n_test=10)).classes
    ('below 3', '3 to 6', '6 and above')
"""

from phalanx.core.registry import options
from phalanx.data.base import Dataset, DataSpec, Split
from phalanx.data.loading import load_dataset

DATASETS = options(DataSpec, __name__, __path__)

__all__ = ["DATASETS", "DataSpec", "Dataset", "Split", "load_dataset"]
