"""Bootstrap intervals of the further metrics of one network over the samples of a split.

Axes: N samples, C classes, R resamples, G groups of samples with the same probability of a class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from itertools import islice

import numpy as np

from phalanx.analysis.bootstrap import RESAMPLES, Interval, counted
from phalanx.core.errors import RequestError
from phalanx.nn.metrics.from_counts import FROM_COUNTS, Counts
from phalanx.nn.metrics.from_probabilities import Probabilities, calibration_error
from phalanx.nn.metrics.function_metric import own_metrics

FEWEST = 200  # resamples of a large split
MOST_NUMBERS = 20_000_000  # probabilities in all resamples together, unless these are the fewest
BY_RANKS = ("auroc", "average_precision")


class Resampled:
    """Metrics of the resamples of one split.

    Args:
        given: The probabilities and the classes of the split.
        n_resamples: R; None for `RESAMPLES`, or of many samples and classes fewer, at least `FEWEST`.
    """

    def __init__(self, given: Probabilities, n_resamples: int | None = None) -> None:
        n_samples = len(given.y_N)
        n_most = min(RESAMPLES, max(FEWEST, MOST_NUMBERS // max(given.log_p_NC.size, 1)))
        self.given, self.weights_RN = given, np.stack([*islice(counted(n_samples), n_resamples or n_most)])

    def values(self, name: str) -> np.ndarray:
        """A metric of each resample, float64 (R,); NaN where it is not defined. Raises `RequestError` if one fails."""
        if name in FROM_COUNTS:
            return np.array([FROM_COUNTS[name](counts) for counts in self._counts])
        if name in BY_RANKS:
            return self._by_ranks[name]
        if name == "ece":
            predictions = self.given.predictions
            return np.array([calibration_error(*predictions, weights_N) for weights_N in self.weights_RN])
        return self._one_by_one(own_metrics()[name])

    def _one_by_one(self, metric: Callable[[Probabilities], float]) -> np.ndarray:
        """A metric of any kind, of the first `FEWEST` resamples."""
        places = np.arange(len(self.given.y_N))
        samples = (np.repeat(places, weights_N.astype(np.int64)) for weights_N in self.weights_RN[:FEWEST])
        return np.array([metric(Probabilities(self.given.log_p_NC[at], self.given.y_N[at])) for at in samples])

    @cached_property
    def _counts(self) -> list[Counts]:
        n_classes, class_N, y_N = self.given.log_p_NC.shape[1], self.given.log_p_NC.argmax(1), self.given.y_N
        hit_N = class_N == y_N

        def numbers(of_N: np.ndarray, weights_N: np.ndarray) -> np.ndarray:
            return np.bincount(of_N, weights_N, n_classes)

        return [
            Counts(numbers(y_N, weights_N), numbers(class_N, weights_N), numbers(y_N, weights_N * hit_N))
            for weights_N in self.weights_RN
        ]

    @cached_property
    def _by_ranks(self) -> Mapping[str, np.ndarray]:
        """`auroc` and `average_precision` as the metrics of these names compute them, with weights."""
        sums = np.zeros((2, len(self.weights_RN)))
        with np.errstate(invalid="ignore", divide="ignore"):
            for place, p_N in enumerate(np.ascontiguousarray(self.given.p_NC.T)):
                sums += self._of_class(p_N, self.given.y_N == place)
        return dict(zip(BY_RANKS, sums / self.given.p_NC.shape[1], strict=True))

    def _of_class(self, p_N: np.ndarray, is_own_N: np.ndarray) -> np.ndarray:
        """Area under the ROC curve and average precision of a class against the rest, (2, R)."""
        order_N = np.argsort(p_N, kind="stable")
        starts_G = np.flatnonzero(np.diff(p_N[order_N], prepend=-1.0))
        weights_RN = self.weights_RN[:, order_N]
        every_RG = np.add.reduceat(weights_RN, starts_G, axis=1)
        own_RG = np.add.reduceat(weights_RN * is_own_N[order_N], starts_G, axis=1)
        other_RG = every_RG - own_RG
        n_own_R, n_other_R = own_RG.sum(1), other_RG.sum(1)
        lower_RG = other_RG.cumsum(1) - other_RG / 2  # of equal ones half
        area_R = (own_RG * lower_RG).sum(1) / (n_own_R * n_other_R)
        own_above_RG, above_RG = (of_RG[:, ::-1].cumsum(1)[:, ::-1] for of_RG in (own_RG, every_RG))
        precision_RG = own_above_RG / np.maximum(above_RG, 1)
        return np.stack([area_R, (own_RG * precision_RG).sum(1) / n_own_R])


def bootstrap_intervals(given: Probabilities, names: Sequence[str]) -> dict[str, Interval]:
    """The 95 % interval of each metric over samples, by the percentile bootstrap.

    Args:
        given: The probabilities and the classes of the samples.
        names: Metrics without their split, other than means over samples.

    Returns:
        Intervals by name. A resample in which a metric is not defined, as AUROC without a sample of one class, is left
        out; a metric that is not defined in half of them, or that fails, has no interval.
    """
    resampled, found = Resampled(given), dict[str, Interval]()
    for name in names:
        try:
            values_R = resampled.values(name)
        except RequestError:  # a metric of the user's own, in a resample that it does not expect
            continue
        defined_R = values_R[np.isfinite(values_R)]
        if len(defined_R) * 2 > len(values_R):
            found[name] = Interval.of(defined_R)
    return found
