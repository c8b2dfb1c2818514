"""scikit-learn's embedded tables, read from its folder, since importing scikit-learn takes seconds."""

import importlib.util
from pathlib import Path

import numpy as np


def read_embedded(name: str, loader: str, header: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Reads a table whose last column is the class: features (N, D) and classes (N,).

    Args:
        name: The file in scikit-learn's folder.
        loader: The function of `sklearn.datasets` to call if there is no such file.
        header: The number of header lines.
    """
    package = importlib.util.find_spec("sklearn")
    for folder in (package and package.submodule_search_locations) or ():
        file = Path(folder, "datasets", "data", name)
        if file.is_file():
            table = np.loadtxt(file, delimiter=",", skiprows=header)
            return table[:, :-1], table[:, -1]
    import sklearn.datasets

    x_ND, y_N = getattr(sklearn.datasets, loader)(return_X_y=True)
    return x_ND, y_N
