"""scikit-learn's embedded tables, read from its folder: importing it takes longer than a sweep of small networks."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np


def read_embedded(name: str, loader: str, header: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features (N, D) and classes (N,) of the CSV file `name`, whose last column is the class.

    Where scikit-learn keeps no such file, its function `loader` is asked instead.
    """
    package = importlib.util.find_spec("sklearn")
    for folder in (package and package.submodule_search_locations) or ():
        file = Path(folder, "datasets", "data", name)
        if file.is_file():
            table = np.loadtxt(file, delimiter=",", skiprows=header)
            return table[:, :-1], table[:, -1]
    import sklearn.datasets

    return getattr(sklearn.datasets, loader)(return_X_y=True)
