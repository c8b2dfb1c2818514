"""Groups over several data sets, by ranks: Friedman's test with Nemenyi's, or Wilcoxon's with Holm's correction.

Values of different data sets have different scales and spreads, so what counts is the order of the groups on each data
set (Demšar 2006, Journal of Machine Learning Research 7). Each data set is one repeat, whatever was trained on it.
"""

import functools
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

Table = Mapping[str, Sequence[float]]  # the values by group, in the order of the data sets

LEVEL = 0.95
FEWEST_FRIEDMAN = 3  # data sets, as of repeats elsewhere
FEWEST_WILCOXON = 6  # with five, even if all say the same, p is 2 / 2^5 > 0.05
FRIEDMAN, WILCOXON = "Friedman's and Nemenyi's tests", "Wilcoxon's signed-rank test"
DIGITS = 12  # significant ones by which values are ranked: what differs by rounding only is equal


@dataclass(frozen=True)
class RankDifference:
    """Two groups over the data sets. `better` is the one with the better mean rank, None if these are equal."""

    a: str
    b: str
    ranks: tuple[float, float]  # the mean rank of each, 1 for the best
    wins: tuple[int, int]  # data sets on which each is better
    median: float  # of the differences a - b, in the unit of the values
    p: float | None  # None with too few data sets
    p_adjusted: float | None  # for all pairs of the comparison
    shown: bool

    @property
    def better(self) -> str | None:
        if self.ranks[0] == self.ranks[1]:
            return None
        return self.a if self.ranks[0] < self.ranks[1] else self.b


@dataclass(frozen=True)
class RankComparison:
    """What ranks say of the groups."""

    n: int  # data sets
    test: str
    mean_ranks: Mapping[str, float]  # by group
    differences: tuple[RankDifference, ...]
    p: float | None = None  # of Friedman's test that no group differs; None where it is not made
    critical_difference: float | None = None  # of two mean ranks, by Nemenyi

    @property
    def too_few(self) -> int:
        """How many data sets the test needs, if there are fewer, else 0."""
        fewest = FEWEST_FRIEDMAN if self.test == FRIEDMAN else FEWEST_WILCOXON
        return fewest if self.n < fewest else 0


def compare_ranks(values: Table, direction: str, baseline: str | None = None) -> RankComparison:
    """Tests all pairs by Friedman and Nemenyi; two groups, or all groups with a baseline, by Wilcoxon and Holm.

    Nemenyi's difference of two mean ranks is shown where it exceeds the critical one and Friedman's test finds that the
    groups differ at all, which is the order in which Demšar makes the two.

    Args:
        values: The values by group, as many for each, in the same order of the data sets. Two groups or more.
        direction: `maximize` or `minimize`.
        baseline: A group that was chosen before its values were seen.
    """
    from scipy.stats import rankdata

    sign = 1 if direction == "minimize" else -1
    signed = {name: [sign * float(f"{v:.{DIGITS}g}") for v in row] for name, row in values.items()}
    n = len(next(iter(signed.values())))
    ranks_GD = rankdata(list(signed.values()), axis=0)
    mean_ranks = dict(zip(signed, ranks_GD.mean(1).tolist(), strict=True))
    if baseline is None and len(values) > 2:
        return _by_friedman(values, signed, mean_ranks, n)
    others = [(name, baseline) for name in values if name != baseline] if baseline is not None else None
    pairs = list(combinations(values, 2)) if others is None else others
    p_values = [_wilcoxon(signed[a], signed[b]) if n >= FEWEST_WILCOXON else None for a, b in pairs]
    found = tuple(
        _difference(a, b, values, signed, mean_ranks, p, adjusted, adjusted is not None and adjusted < 1 - LEVEL)
        for (a, b), p, adjusted in zip(pairs, p_values, holm(p_values), strict=True)
    )
    return RankComparison(n, WILCOXON, mean_ranks, found)


def _by_friedman(values: Table, signed: Table, mean_ranks: Mapping[str, float], n: int) -> RankComparison:
    from scipy.stats import friedmanchisquare, studentized_range

    k = len(values)
    pairs = list(combinations(values, 2))
    if n < FEWEST_FRIEDMAN:
        found = tuple(_difference(a, b, values, signed, mean_ranks, None, None, False) for a, b in pairs)
        return RankComparison(n, FRIEDMAN, mean_ranks, found)
    differ = any(len(set(column)) > 1 for column in zip(*signed.values(), strict=True))
    p_all = float(friedmanchisquare(*signed.values()).pvalue) if differ else 1.0
    error = math.sqrt(k * (k + 1) / (6 * n))  # √2 times this is the standard error of two mean ranks' difference
    sizes = [math.sqrt(2) * abs(mean_ranks[a] - mean_ranks[b]) / error for a, b in pairs]
    p_values = studentized_range.sf(sizes, k, math.inf).tolist()
    critical = critical_difference(k, n)
    found = tuple(
        _difference(a, b, values, signed, mean_ranks, p, p, p < 1 - LEVEL and p_all < 1 - LEVEL)
        for (a, b), p in zip(pairs, p_values, strict=True)
    )
    return RankComparison(n, FRIEDMAN, mean_ranks, found, p_all, critical)


@functools.cache
def critical_difference(n_groups: int, n_data: int) -> float:
    """The difference of two mean ranks that chance exceeds in 5 % of comparisons of all pairs (Nemenyi 1963).

    Args:
        n_groups: Groups that are compared.
        n_data: Data sets.
    """
    from scipy.stats import studentized_range

    q = float(studentized_range.ppf(LEVEL, n_groups, math.inf)) / math.sqrt(2)
    return q * math.sqrt(n_groups * (n_groups + 1) / (6 * n_data))


def _difference(
    a: str, b: str, values: Table, signed: Table, mean_ranks: Mapping[str, float], p: float | None,
    adjusted: float | None, shown: bool,
) -> RankDifference:  # fmt: skip
    wins = [sum(x < y for x, y in zip(signed[one], signed[other], strict=True)) for one, other in ((a, b), (b, a))]
    median = statistics.median(x - y for x, y in zip(values[a], values[b], strict=True))
    return RankDifference(a, b, (mean_ranks[a], mean_ranks[b]), (wins[0], wins[1]), median, p, adjusted, shown)


def _wilcoxon(x: Sequence[float], y: Sequence[float]) -> float:
    """The two-sided p-value; exact up to 50 data sets, or up to 13 where differences are equal or zero."""
    from scipy.stats import wilcoxon

    away = [float(f"{a - b:.{DIGITS - 3}g}") for a, b in zip(x, y, strict=True)]
    return float(wilcoxon(away).pvalue) if any(away) else 1.0


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down correction (1979): the smallest p-value times their number, the next one times one less, …, each
    at least the one before, at most 1. None stays None and is not counted."""
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    found: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for step, (p, place) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - step) * p))
        found[place] = largest
    return found


def cliques(found: RankComparison) -> Iterator[tuple[float, float]]:
    """The bars of a critical-difference figure, each as the mean ranks of its ends.

    A bar is a longest run of groups, in the order of their ranks, among which no pair is shown to differ; where not all
    pairs were tested, a tested pair that is not shown to differ.
    """
    ranks, names = found.mean_ranks, sorted(found.mean_ranks, key=lambda name: found.mean_ranks[name])
    alike = {frozenset((d.a, d.b)) for d in found.differences if not d.shown}
    if len(found.differences) < math.comb(len(names), 2):
        yield from (tuple(sorted(d.ranks)) for d in found.differences if not d.shown)  # type: ignore[misc]
        return
    last = 0
    for first, name in enumerate(names):
        end = first
        while end + 1 < len(names) and all(frozenset((n, names[end + 1])) in alike for n in names[first : end + 1]):
            end += 1
        if end > max(first, last):
            yield ranks[name], ranks[names[end]]
        last = max(last, end)
