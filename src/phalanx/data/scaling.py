"""How a column of numbers becomes inputs: `data.scaling`. Axes: N training rows, U values, K outputs, Q points.

A scaling is a name and the points that training rows gave it; `standard` has none, since its mean and standard
deviation are those of the column. Every scaling maps a value by itself, so one row is encoded as it is among many.
"""

from __future__ import annotations

import numpy as np

from phalanx.core.errors import Fault

SCALINGS = ("standard", "robust", "quantile", "piecewise_linear")
ARRAY_SCALINGS = SCALINGS[:3]  # those with one output a column: an array has as many columns as the network inputs
CLIP = 3.0  # the bound that robust scaling approaches
N_QUANTILES = 1000  # at most; of fewer training rows, one a row
N_BINS = 16  # of piecewise-linear encoding, at most
_SMALLEST = 1e-7  # the probability at which the tails of the normal distribution are cut, as scikit-learn's


def scaling_faults(scaling: str, normalize: str) -> list[Fault | str]:
    """A fault if the numbers are to be scaled and left as they are, or scaled column by column and all alike."""
    if scaling not in SCALINGS[1:] or normalize == "feature":
        return []
    return [Fault("data.normalize", normalize, f"feature with data.scaling={scaling}", "data.normalize=feature")]


def scaling_points(scaling: str, values_N: np.ndarray) -> tuple[float, ...]:
    """What a scaling keeps of the training values of one column.

    Args:
        scaling: One of `SCALINGS`, apart from `standard`.
        values_N: The values, float64, without NaN. At least three are different.

    Returns:
        Of `robust` the median and the spread: the range of the two middle quarters, or, where that is 0, half of the
        whole range (Holzmüller, Grinsztajn and Steinwart, "Better by default", 2024). Of `quantile` up to
        `N_QUANTILES` quantiles at equal distances, of `piecewise_linear` the ends of up to `N_BINS` bins of equally
        many rows.
    """
    if scaling == "robust":
        low, middle, high = np.quantile(values_N, (0.25, 0.5, 0.75))
        spread = high - low or np.ptp(values_N) / 2
        return float(middle), float(spread)
    n = min(N_QUANTILES, len(values_N)) if scaling == "quantile" else N_BINS + 1
    points_Q = np.maximum.accumulate(np.quantile(values_N, np.linspace(0, 1, n)))  # rounding may turn neighbours round
    return tuple((points_Q if scaling == "quantile" else np.unique(points_Q)).tolist())


def n_outputs(scaling: str, points: tuple[float, ...]) -> int:
    """K."""
    return len(points) - 1 if scaling == "piecewise_linear" else 1


def scaled(scaling: str, points: tuple[float, ...], value_U: np.ndarray) -> np.ndarray:
    """The inputs (U, K), float64, of values.

    Args:
        scaling: One of `SCALINGS`, apart from `standard`.
        points: As `scaling_points` gave them.
        value_U: The values, float64, without NaN.
    """
    points_Q = np.asarray(points)
    if scaling == "robust":
        middle, spread = points
        ratio_U = (value_U - middle) / spread
        return (ratio_U / np.hypot(1.0, ratio_U / CLIP))[:, None]
    if scaling == "quantile":
        return _normal(points_Q, value_U)[:, None]
    return _part_of_bins(points_Q, value_U)


def _normal(points_Q: np.ndarray, value_U: np.ndarray) -> np.ndarray:
    """The normal quantile of a value's rank; the middle rank of a value that occurs often."""
    from scipy.special import ndtri

    rank_Q = np.linspace(0, 1, len(points_Q))
    from_below_U = np.interp(value_U, points_Q, rank_Q)
    from_above_U = 1 - np.interp(-value_U, -points_Q[::-1], rank_Q)
    rank_U = (from_below_U + from_above_U) / 2
    rank_U = np.where(value_U <= points_Q[0], 0, np.where(value_U >= points_Q[-1], 1, rank_U))
    low = ndtri(_SMALLEST - np.spacing(1))
    normal_U: np.ndarray = np.clip(ndtri(rank_U), low, -low)
    return normal_U


def _part_of_bins(edges_Q: np.ndarray, value_U: np.ndarray) -> np.ndarray:
    """How much of each bin lies below a value, from 0 to 1; the first and the last bin have no end outwards.

    Gorishniy, Rubachev and Babenko, "On embeddings for numerical features in tabular deep learning", 2022, equation 1.
    """
    part_UK = (value_U[:, None] - edges_Q[:-1]) / np.diff(edges_Q)
    low_K, high_K = np.zeros(len(edges_Q) - 1), np.ones(len(edges_Q) - 1)
    low_K[0], high_K[-1] = -np.inf, np.inf
    clipped_UK: np.ndarray = np.clip(part_UK, low_K, high_K)
    return clipped_UK
