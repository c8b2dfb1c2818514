"""Whether differences are smaller than a size that matters: two one-sided t-tests, adjusted for all pairs."""

from collections.abc import Sequence
from dataclasses import replace

from phalanx.analysis.statistics import Difference, bonferroni, checked_size
from phalanx.analysis.student import below_zero


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
    if difference.mean is None or difference.spread is None:
        return None
    if relevant > difference.largest:
        return 0.0
    return below_zero(abs(difference.mean) - relevant, difference.spread, difference.n)
