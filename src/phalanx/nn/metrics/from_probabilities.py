"""Metrics of one trial that need the probability of every class for every sample. Axes: N samples, C classes.

They are computed in NumPy, whose sums do not depend on the number of threads.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

N_BINS = 15  # of confidence, each as wide, in the expected calibration error
TOP = 5


@dataclass(frozen=True)
class Probabilities:
    """Log-probabilities of the classes, float32 (N, C), and the true classes, int64 (N,)."""

    log_p_NC: np.ndarray
    y_N: np.ndarray

    @functools.cached_property
    def p_NC(self) -> np.ndarray:
        """The probabilities, float32."""
        p_NC: np.ndarray = np.exp(self.log_p_NC)
        return p_NC

    @functools.cached_property
    def predictions(self) -> tuple[np.ndarray, np.ndarray]:
        """The probability of the predicted class of each sample, float64 (N,), and whether it is the true one."""
        class_N = self.log_p_NC.argmax(1)
        confidence_N = np.take_along_axis(self.p_NC, class_N[:, None], 1)[:, 0].astype(np.float64)
        return confidence_N, class_N == self.y_N

    @functools.cached_property
    def ranks(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each class, its samples from the lowest to the highest probability of the class: how many samples, and
        how many of its own, have a lower one, and how many have a lower or the same one. int64, (2, samples) each."""
        found = []
        for c, p_N in enumerate(np.ascontiguousarray(self.p_NC.T)):
            own = np.sort(p_N[self.y_N == c])
            found.append((_places(own, np.sort(p_N)), _places(own, own)))
        return found


def _places(values: np.ndarray, among: np.ndarray) -> np.ndarray:
    """How many of `among`, sorted, are lower than each value, and how many are lower or the same."""
    found = np.empty((2, len(values)), np.int64)
    found[0], found[1] = among.searchsorted(values, "left"), among.searchsorted(values, "right")
    return found


def top5_accuracy(given: Probabilities) -> float:
    """The share of samples whose class is among the five most probable; of equal ones the first are taken."""
    own_N1 = np.take_along_axis(given.log_p_NC, given.y_N[:, None], 1)
    before_NC = np.arange(given.log_p_NC.shape[1]) < given.y_N[:, None]
    n_before_N = (np.where(before_NC, given.log_p_NC >= own_N1, given.log_p_NC > own_N1)).sum(1)
    return float((n_before_N < TOP).mean())


def auroc(given: Probabilities) -> float:
    """The area under the ROC curve of each class against the rest, its mean over classes; NaN if a class is absent.

    That is the probability that a sample of the class has a higher probability of it than another sample, where equal
    ones count half.
    """
    areas, n_all = [], len(given.y_N)
    for everyone, own in given.ranks:
        n_own = own.shape[1]
        if not 0 < n_own < n_all:
            return math.nan
        lower_or_half = int((everyone - own).sum())  # twice, since lower ones are in both rows
        areas.append(lower_or_half / (2 * n_own * (n_all - n_own)))
    return math.fsum(areas) / len(areas)


def average_precision(given: Probabilities) -> float:
    """The mean over the samples of a class of the precision at their probability, its mean over classes; NaN if a class
    is absent."""
    found, n_all = [], len(given.y_N)
    for everyone, own in given.ranks:
        n_own = own.shape[1]
        if not n_own:
            return math.nan
        found.append(float(((n_own - own[0]) / (n_all - everyone[0])).sum()) / n_own)
    return math.fsum(found) / len(found)


def brier(given: Probabilities) -> float:
    """The mean over samples of the sum over classes of (p - 1 for the true class, else p)², from 0 to 2."""
    return float(_squared_errors(given.p_NC, given.y_N).sum()) / len(given.y_N)


def sample_brier(p_NC: np.ndarray, y_N: np.ndarray) -> np.ndarray:
    """The part of each sample in the Brier score, float64 (N,), from 0 to 2.

    Args:
        p_NC: Class probabilities.
        y_N: The true classes.
    """
    parts_N: np.ndarray = _squared_errors(p_NC, y_N).sum(1)
    return parts_N


def _squared_errors(p_NC: np.ndarray, y_N: np.ndarray) -> np.ndarray:
    off_NC = p_NC.astype(np.float64)
    off_NC[np.arange(len(y_N)), y_N] -= 1
    return np.square(off_NC)


def ece(given: Probabilities) -> float:
    """The expected calibration error of the predicted classes; see `calibration_error`."""
    return calibration_error(*given.predictions)


def confidence_bins(confidence_N: np.ndarray) -> np.ndarray:
    """The bin of each confidence, from 0: `N_BINS` bins of equal width, each with its upper edge; int64 (N,)."""
    bin_N: np.ndarray = np.digitize(confidence_N, np.linspace(0, 1, N_BINS + 1)[1:-1], right=True)
    return bin_N


def calibration_error(confidence_N: np.ndarray, right_N: np.ndarray, weights_N: np.ndarray | None = None) -> float:
    """The expected calibration error: the mean over samples of |share of hits - mean confidence| of their bin.

    Args:
        confidence_N: The probability of the predicted class, float64 (N,).
        right_N: Whether it is the true class.
        weights_N: How often each sample counts; None for once.
    """
    off_N = right_N - confidence_N
    off_K = np.bincount(confidence_bins(confidence_N), off_N if weights_N is None else weights_N * off_N, N_BINS)
    return _ratio(float(np.abs(off_K).sum()), len(off_N) if weights_N is None else float(weights_N.sum()))


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


FROM_PROBABILITIES: dict[str, Callable[[Probabilities], float]] = {
    function.__name__: function for function in (top5_accuracy, auroc, average_precision, brier, ece)
}
