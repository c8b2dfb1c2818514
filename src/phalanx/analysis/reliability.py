"""Reliability: how often predictions are right, by their probability. Axes: N samples, C classes, M bins.

Without torch, for the processes that draw figures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from phalanx.nn.metrics.from_probabilities import N_BINS, calibration_error, confidence_bins


@dataclass(frozen=True)
class Reliability:
    """The predictions of one split by the probability of the predicted class, in `N_BINS` bins of equal width."""

    counts_M: np.ndarray
    confidence_M: np.ndarray  # mean probability of the predicted class; NaN in an empty bin
    accuracy_M: np.ndarray  # share of right predictions; NaN in an empty bin
    ece: float  # the expected calibration error, as the metric `ece`


def reliability(p_NC: np.ndarray, y_N: np.ndarray) -> Reliability:
    """Bins the predictions by confidence; each bin has its upper edge, as in the metric `ece`.

    Args:
        p_NC: Class probabilities.
        y_N: The true classes.
    """
    confidence_N, right_N = confidences(p_NC, y_N)
    bin_N = confidence_bins(confidence_N)
    counts_M = np.bincount(bin_N, minlength=N_BINS)
    sums = (np.bincount(bin_N, values_N, N_BINS) for values_N in (confidence_N, right_N))
    confidence_M, accuracy_M = (np.divide(s, counts_M, out=np.full(N_BINS, np.nan), where=counts_M > 0) for s in sums)
    return Reliability(counts_M, confidence_M, accuracy_M, calibration_error(confidence_N, right_N))


def confidences(p_NC: np.ndarray, y_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The probability of the predicted class of each sample, and whether it is the true one."""
    return p_NC.max(1).astype(np.float64), p_NC.argmax(1) == y_N
