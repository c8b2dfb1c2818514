"""Digits of which one class has lost most of its images."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from sklearn.datasets import load_digits

import phalanx


@phalanx.dataset
def thinned_digits(
    *, rare: Annotated[int, phalanx.Range(ge=0, le=9)] = 8, keep: Annotated[int, phalanx.Range(ge=5)] = 20
) -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's digits with the first `keep` images of the class `rare`, which has about 180, and all others."""
    x, y = load_digits(return_X_y=True)
    places = np.flatnonzero(y == rare)[keep:]
    return np.delete(x, places, axis=0).astype(np.float32), np.delete(y, places)
