"""Numbers for comparing configurations that were trained with the same seeds: intervals, paired t-tests.

Values are plain numbers in any unit, by seed; means, spreads and bounds come back in that unit. Values of runs on
several splits or folds are given by (split, seed): each split is then one repeat, and its value the mean over its
seeds, because seeds on one split share what that split does to a configuration. Values of folds are correlated, since
folds have rows in common: see `paired`. Nothing is ever NaN: what cannot be computed is None.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import NamedTuple, TypeAlias

from phalanx.analysis.student import (
    Limits,
    checked,
    checked_correlation,
    checked_level,
    effect_size,
    interval,
    minus,
    moments,
    p_value,
    t_quantile,
    with_correlation,
    with_step,
)

Place: TypeAlias = int | tuple[int, ...]  # a seed, a split's seed, a fold, or several such as (split seed, fold)
Repeat: TypeAlias = int | tuple[Place, Place]  # a seed, or (split or fold, seed), or (place, (seed, fold inside it))
Values: TypeAlias = (
    Mapping[Repeat, float] | Mapping[int, float] | Mapping[tuple[int, int], float] | Mapping[tuple[int, Place], float]
)

# Shared repeats below which no verdict is given: two leave an interval of 9 standard deviations to each side.
FEWEST = 3
UNLIMITED: Limits = (-math.inf, math.inf)
SEEDS, SPLITS, FOLDS = "seeds", "splits", "folds"  # what the repeats are


@dataclass(frozen=True)
class Summary:
    """Mean, standard deviation (n - 1) and interval of the mean; with one value all but the mean are None."""

    n: int
    mean: float
    std: float | None
    low: float | None
    high: float | None


class Probabilities(NamedTuple):
    """That one group is better by more than a size, that neither is, and that the other one is; they sum to one."""

    a: float
    neither: float
    b: float


@dataclass(frozen=True)
class Difference:
    """The paired difference a - b over the repeats that both groups have.

    `mean`, `std` and the interval `low` to `high` are in the unit of the values. `p` is for this pair alone. The
    interval, `p_adjusted` and `p_equivalent` are for all `pairs` of the comparison at once, by the same (Bonferroni's)
    correction, so zero lies outside the interval where `p_adjusted` is below 1 - `level`. `effect` has no unit.
    """

    a: str
    b: str
    n: int
    mean: float | None
    low: float | None
    high: float | None
    p: float | None
    p_adjusted: float | None
    effect: float | None
    std: float | None = None
    direction: str = "maximize"
    level: float = 0.95
    step: float = 0.0  # the metric's resolution, see `paired`
    largest: float = math.inf  # the size that no difference can exceed
    repeats: str = SEEDS  # what `n` counts
    pairs: int = 1  # pairs with a p-value in the comparison
    relevant: float | None = None  # the size that matters, see `phalanx.analysis.equivalence`
    p_equivalent: float | None = None  # of the tests that the difference is smaller than `relevant`
    correlation: float = 0.0  # of two repeats, see `paired`
    probabilities: Probabilities | None = None  # see `phalanx.analysis.posterior`

    @property
    def spread(self) -> float | None:
        """The standard deviation with that of rounding to `step` added."""
        return with_step(self.std, self.step)

    @property
    def corrected(self) -> float | None:
        """The spread that intervals and tests use: as that of independent repeats whose mean varies as much."""
        return with_correlation(self.spread, self.n, self.correlation)

    @property
    def better(self) -> str | None:
        """The group with the better mean, significant or not; None if the means are equal or no repeat is shared."""
        if not self.mean:
            return None
        return self.a if self.mean * _sign(self.direction) > 0 else self.b

    @property
    def shown(self) -> bool:
        """Whether the difference is significant at `level`, adjusted for all comparisons."""
        return self.n >= FEWEST and self.p_adjusted is not None and self.p_adjusted < 1 - self.level

    @property
    def equivalent(self) -> bool:
        """Whether the difference is shown to be smaller than `relevant`, adjusted for all comparisons. For a single
        pair: whether its interval lies within ± `relevant`."""
        return self.n >= FEWEST and self.p_equivalent is not None and self.p_equivalent < (1 - self.level) / 2

    def at(self, level: float) -> Difference:
        """The same difference, with the interval and the verdicts at another level, which holds for all `pairs`."""
        each = 1 - (1 - checked_level(level)) / self.pairs
        low, high = interval(self.mean, self.corrected, self.n, each, (-self.largest, self.largest))
        return replace(self, low=low, high=high, level=level)


def repeat_means(values: Values) -> dict[Place, float]:
    """The values of the repeats: those of the seeds, or of each split or fold the mean over its seeds."""
    found: dict[Place, list[float]] = defaultdict(list)
    for repeat, value in values.items():
        found[repeat[0] if isinstance(repeat, tuple) else repeat].append(value)
    return {repeat: v[0] if len(v) == 1 else math.fsum(v) / len(v) for repeat, v in found.items()}


def summarise(
    values: Values | Iterable[float], level: float = 0.95, name: str = "values", limits: Limits = UNLIMITED,
    correlation: float = 0.0,
) -> Summary:  # fmt: skip
    """Computes mean, standard deviation and Student's t interval.

    The true mean lies within `limits`, so cutting the interval there does not change how often it covers the mean
    (benchmarks/README.md, "Error rates"). Values that are all equal give an interval of no width.

    Args:
        values: By seed, by (split, seed), or a plain list.
        level: The level of the interval.
        name: What the values are, for messages.
        limits: The range of the metric.
        correlation: Of two repeats, as in `paired`.

    Raises:
        ValueError: There is no value, or one is not finite.
    """
    numbers = list(repeat_means(_checked(values, name)).values())
    if not numbers:
        raise ValueError(f"{name} has no value")
    (mean, std), n = moments(numbers, max(map(abs, numbers))), len(numbers)
    corrected = with_correlation(std, n, checked_correlation(correlation))
    return Summary(n, mean, std, *interval(mean, corrected, n, checked_level(level), limits))


def lower_bound(
    values: Values | Iterable[float],
    direction: str,
    level: float = 0.95,
    name: str = "values",
    correlation: float = 0.0,
) -> float:
    """The one-sided t bound of the mean: below the mean to maximize, above it to minimize.

    Args:
        values: By seed, by (split or fold, seed), or a plain list; two repeats or more.
        direction: `maximize` or `minimize`.
        level: The share of experiments in which the true mean is at least this good.
        name: What the values are, for messages.
        correlation: Of two repeats, as in `paired`.

    Raises:
        ValueError: There are fewer than two values, or one is not finite.
    """
    found = summarise(values, name=name)
    if found.std is None:
        raise ValueError(f"{name} needs two values or more for a bound, got {found.n}")
    std = with_correlation(found.std, found.n, checked_correlation(correlation)) or 0.0
    margin = t_quantile(found.n - 1, 1 - checked_level(level)) * std / math.sqrt(found.n)
    return found.mean - _sign(direction) * margin


def paired(
    a: Values, b: Values, names: tuple[str, str] = ("a", "b"), direction: str = "maximize", level: float = 0.95,
    step: float = 0.0, limits: Limits = UNLIMITED, correlation: float = 0.0,
) -> Difference:  # fmt: skip
    """Student's paired t-test of `a` - `b` over the repeats that both have, as the only pair: `p_adjusted` is `p`.

    Over seeds it holds on the same data and split, over splits for other splits of the same rows. With `correlation` it
    is the corrected resampled t-test, which speaks of other rows; see `with_correlation`. With fewer than two shared
    repeats there is no p-value and no interval. Differences that are all zero give p = 1; all equal and not zero, p =
    0, the limit of the t statistic. `effect` is Cohen's d_z times Hedges' exact correction (Hedges 1981, Journal of
    Educational Statistics 6), without which it is too large by 77 % with three seeds and 25 % with five.

    Args:
        a: Values by seed, or by (split or fold, seed).
        b: As `a`.
        names: The names of the two groups.
        direction: `maximize` or `minimize`.
        level: The level of the interval.
        step: The smallest difference that the metric can have, such as 1 / samples for an accuracy. The variance of
            rounding, step² / 12 (Sheppard 1898), is added to that of the differences; without it a coarse metric
            gives false alarms (benchmarks/README.md, "Error rates").
        limits: The range of the metric: no difference exceeds its width, so the interval is cut there.
        correlation: Of the values of two folds, from 0 to below 1; above 0 the repeats are folds.

    Raises:
        ValueError: A value is not finite, shared or not; the message names its group and seed.
    """
    _sign(direction)
    x, y = _checked(a, names[0]), _checked(b, names[1])
    shared = [repeat for repeat in x if repeat in y]
    away = list(repeat_means({repeat: minus(x[repeat], y[repeat]) for repeat in shared}).values())
    size = max((max(abs(x[repeat]), abs(y[repeat])) for repeat in shared), default=0.0)
    mean, std = moments(away, size) if away else (None, None)
    found = Difference(
        *names, len(away), mean, None, None, None, None, None, std, direction, checked_level(level), step,
        limits[1] - limits[0], _kind(x, checked_correlation(correlation)), correlation=correlation,
    )  # fmt: skip
    if mean is None:
        return found
    p = p_value(mean, found.corrected, found.n)
    return replace(found, p=p, p_adjusted=p, effect=effect_size(mean, found.spread, found.n)).at(level)


def bonferroni(p_values: Sequence[float | None]) -> list[float | None]:
    """The p-values times their number, at most 1, in the order given.

    Calling significant what lies below 0.05 keeps the chance of even one false alarm at 5 % or less, however the
    tests depend on each other. Holm's steps find more, but no intervals around the differences say the same as they
    do. None stays None and is not counted. ValueError outside 0 to 1.
    """
    known = [p for p in p_values if p is not None]
    if wrong := [p for p in known if not 0 <= p <= 1]:
        raise ValueError(f"a p-value lies between 0 and 1, got {wrong[0]!r}")
    return [None if p is None else min(1.0, len(known) * p) for p in p_values]


def compare(
    groups: Mapping[str, Values], direction: str, baseline: str | None = None, level: float = 0.95,
    step: float = 0.0, limits: Limits = UNLIMITED, correlation: float = 0.0,
) -> list[Difference]:  # fmt: skip
    """Compares all pairs of groups, or all groups with a baseline. Intervals and p-values hold for all of them at once.

    Args:
        groups: Values by seed, or by (split or fold, seed), by the group's name.
        direction: `maximize` or `minimize`.
        baseline: A group that was chosen before its values were seen: compared with the best one, false alarms are
            up to twice as frequent.
        level: The share of comparisons in which every interval holds the true difference, or more.
        step: As in `paired`.
        limits: As in `paired`.
        correlation: As in `paired`.

    Raises:
        ValueError: The baseline is not a group, or as in `paired`.
    """
    if baseline is not None and baseline not in groups:
        raise ValueError(f"the baseline {baseline!r} is not one of {', '.join(map(str, groups))}")
    pairs = combinations(groups, 2) if baseline is None else ((name, baseline) for name in groups if name != baseline)
    found = [paired(groups[a], groups[b], (a, b), direction, level, step, limits, correlation) for a, b in pairs]
    adjusted = bonferroni([difference.p for difference in found])
    n_pairs = max(1, sum(p is not None for p in adjusted))
    return [
        replace(difference, p_adjusted=p, pairs=n_pairs).at(level)
        for difference, p in zip(found, adjusted, strict=True)
    ]


def _checked(values: Values | Iterable[float], name: str) -> dict[Repeat, float]:
    """The values as floats. Raises `ValueError` for one that is not a finite number."""
    if not isinstance(values, Mapping):
        listed = dict(enumerate(values))
        checked(listed, name, "value")
        return {place: float(value) for place, value in listed.items()}
    checked(values, name, "(split, seed)" if any(isinstance(repeat, tuple) for repeat in values) else "seed")
    return {repeat: float(value) for repeat, value in values.items()}


def _kind(values: Mapping[Repeat, float], correlation: float) -> str:
    """What the repeats are."""
    return FOLDS if correlation else SPLITS if any(isinstance(repeat, tuple) for repeat in values) else SEEDS


def _sign(direction: str) -> int:
    if direction not in ("maximize", "minimize"):
        raise ValueError(f"a direction is maximize or minimize, got {direction!r}")
    return 1 if direction == "maximize" else -1
