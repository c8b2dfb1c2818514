"""Whether differences are smaller than a size that matters: two one-sided t-tests, adjusted for all pairs; and how many
seeds tell it."""

import math
from collections.abc import Sequence
from dataclasses import replace

from phalanx.analysis.statistics import FEWEST, Difference, bonferroni
from phalanx.analysis.student import below_zero, checked_level, t_quantile


def equivalence(differences: Sequence[Difference], relevant: float) -> list[Difference]:
    """Tests each difference of a comparison for being smaller than `relevant`.

    Each of the two one-sided tests (TOST; Schuirmann 1987, Journal of Pharmacokinetics and Biopharmaceutics 15) has
    the p-value of a true difference of ± `relevant` or more; the larger one counts. Bonferroni's correction over all
    pairs keeps the chance of even one false "any difference is smaller" at 2.5 %, half of that for differences,
    because then each verdict agrees with the pair's interval: it lies within ± `relevant`.

    Args:
        differences: All pairs of one comparison, as `phalanx.analysis.statistics.compare` returns them.
        relevant: The size of difference that matters, above 0.

    Returns:
        The same differences with `relevant` and `p_equivalent`.

    Raises:
        ValueError: `relevant` is not above 0.
    """
    adjusted = bonferroni([_p_value(difference, checked_size(relevant)) for difference in differences])
    return [replace(d, relevant=relevant, p_equivalent=p) for d, p in zip(differences, adjusted, strict=True)]


def _p_value(difference: Difference, relevant: float) -> float | None:
    if difference.mean is None or difference.corrected is None:
        return None
    if relevant > difference.largest:
        return 0.0
    return below_zero(abs(difference.mean) - relevant, difference.corrected, difference.n)


def seeds_needed(std: float, relevant: float, level: float = 0.95) -> int:
    """The fewest seeds whose interval cannot hold both zero and a relevant difference.

    Args:
        std: The standard deviation of the paired differences.
        relevant: The size of a relevant difference, above 0, which the interval's width must not exceed.
        level: The level of the interval.

    Raises:
        ValueError: `relevant` is not above 0.
    """
    tail = (1 - checked_level(level)) / 2
    n = max(FEWEST, math.ceil((2 * t_quantile(math.inf, tail) * std / checked_size(relevant)) ** 2))
    while n < 10**6 and 2 * t_quantile(n - 1, tail) * std > relevant * math.sqrt(n):
        n += 1  # from a million on, t is normal
    return n


def checked_size(relevant: float) -> float:
    """The size itself. Raises `ValueError` for one that is not a number above zero."""
    if not 0 < relevant < math.inf:
        raise ValueError(f"a relevant difference is a number above zero, got {relevant!r}")
    return relevant
