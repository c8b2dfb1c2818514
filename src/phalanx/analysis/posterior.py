"""How probable it is that one of two groups is better by more than a size that matters, or that neither is."""

import math
from collections.abc import Sequence
from dataclasses import replace

from phalanx.analysis.equivalence import checked_size
from phalanx.analysis.statistics import Difference, Probabilities


def with_probabilities(differences: Sequence[Difference], relevant: float) -> list[Difference]:
    """Adds to each difference the probabilities that it is above, within and below ± `relevant`.

    The posterior of the true difference, without prior knowledge of it and of the spread, is Student's t around the
    mean with n - 1 degrees of freedom and the scale s √(1 / n + ρ / (1 - ρ)): the Bayesian correlated t-test (Corani
    and Benavoli 2015, Machine Learning 100; Benavoli et al. 2017, Journal of Machine Learning Research 18), and for
    seeds and splits, where ρ is 0, the usual one. They are for each pair alone, with no correction for their number.

    Args:
        differences: As `phalanx.analysis.statistics.compare` returns them.
        relevant: The size of difference that matters, above 0, in the unit of the values.

    Raises:
        ValueError: `relevant` is not above 0.
    """
    return [replace(d, relevant=checked_size(relevant), probabilities=_probabilities(d, relevant)) for d in differences]


def _probabilities(difference: Difference, relevant: float) -> Probabilities | None:
    """None without a spread."""
    mean, spread, n = difference.mean, difference.corrected, difference.n
    if mean is None or spread is None:
        return None
    above, below = (_beyond(sign * mean - relevant, spread, n) for sign in (1, -1))
    a, b = (above, below) if difference.direction == "maximize" else (below, above)
    return Probabilities(a, max(0.0, 1 - a - b), b)


def _beyond(distance: float, spread: float, n: int) -> float:
    """The probability of a true mean above zero, where the observed one is `distance`."""
    from scipy.special import stdtr

    if spread == 0:
        return float(distance > 0)
    return float(stdtr(n - 1, distance / spread * math.sqrt(n)))
