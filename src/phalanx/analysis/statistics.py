"""Numbers for comparing configurations that were trained with the same seeds: intervals, paired t-tests, Holm.

Values are plain numbers by seed, in any unit; means, spreads and bounds come back in that unit. Nothing is ever NaN:
what cannot be computed is None.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from numbers import Real

Values = Mapping[int, float] | Iterable[float]
Limits = tuple[float, float]  # the range of a metric

FEWEST = 3  # shared seeds below which no verdict is given: two leave an interval of 9 standard deviations to each side
LARGEST = 1e300  # values above it would overflow in a sum
UNLIMITED: Limits = (-math.inf, math.inf)
ROUNDING = 32 * sys.float_info.epsilon  # relative; a spread or a difference this small is left over from rounding


@dataclass(frozen=True)
class Summary:
    """Mean, standard deviation (n - 1) and interval of the mean; with one value all but the mean are None."""

    n: int
    mean: float
    std: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Difference:
    """The paired difference a - b over the seeds that both groups have.

    `mean`, `std` and the interval `low` to `high` are in the unit of the values. `p` and the interval are for this
    pair alone; `p_holm` is adjusted for all pairs of the comparison. `effect` has no unit.
    """

    a: str
    b: str
    n: int
    mean: float | None
    low: float | None
    high: float | None
    p: float | None
    p_holm: float | None
    effect: float | None
    std: float | None = None
    direction: str = "maximize"
    level: float = 0.95
    step: float = 0.0  # the metric's resolution, see `paired`
    largest: float = math.inf  # the size that no difference can exceed

    @property
    def better(self) -> str | None:
        """The group with the better mean, significant or not; None if the means are equal or no seed is shared."""
        if not self.mean:
            return None
        return self.a if self.mean * _sign(self.direction) > 0 else self.b

    @property
    def shown(self) -> bool:
        """Whether the difference is significant at `level`, adjusted for all comparisons."""
        return self.n >= FEWEST and self.p_holm is not None and self.p_holm < 1 - self.level

    def at(self, level: float) -> Difference:
        """The same difference, with the interval and the verdict at another level."""
        spread = _floored(self.std, self.step)
        low, high = _interval(self.mean, spread, self.n, _checked_level(level), (-self.largest, self.largest))
        return replace(self, low=low, high=high, level=level)


def summarise(values: Values, level: float = 0.95, name: str = "values", limits: Limits = UNLIMITED) -> Summary:
    """Computes mean, standard deviation and Student's t interval.

    The true mean lies within `limits`, so cutting the interval there does not change how often it covers the mean
    (benchmarks/README.md, "Error rates"). Values that are all equal give an interval of no width.

    Args:
        values: By seed, or a plain list.
        level: The level of the interval.
        name: What the values are, for messages.
        limits: The range of the metric.

    Raises:
        ValueError: There is no value, or one is not finite.
    """
    numbers = list(_checked(values, name).values())
    if not numbers:
        raise ValueError(f"{name} has no value")
    mean, std = _moments(numbers, max(map(abs, numbers)))
    return Summary(len(numbers), mean, std, *_interval(mean, std, len(numbers), _checked_level(level), limits))


def lower_bound(values: Values, direction: str, level: float = 0.95, name: str = "values") -> float:
    """The one-sided t bound of the mean: below the mean to maximize, above it to minimize.

    Args:
        values: By seed, or a plain list; two or more.
        direction: `maximize` or `minimize`.
        level: The share of experiments in which the true mean is at least this good.
        name: What the values are, for messages.

    Raises:
        ValueError: There are fewer than two values, or one is not finite.
    """
    found = summarise(values, name=name)
    if found.std is None:
        raise ValueError(f"{name} needs two values or more for a bound, got {found.n}")
    margin = _t_quantile(found.n - 1, 1 - _checked_level(level)) * found.std / math.sqrt(found.n)
    return found.mean - _sign(direction) * margin


def paired(
    a: Mapping[int, float],
    b: Mapping[int, float],
    names: tuple[str, str] = ("a", "b"),
    direction: str = "maximize",
    level: float = 0.95,
    step: float = 0.0,
    limits: Limits = UNLIMITED,
) -> Difference:
    """Student's paired t-test of `a` - `b` over the seeds that both have, as the only comparison (`p_holm` is `p`).

    The test holds for other seeds on the same data and split, not for other data. With fewer than two shared seeds
    there is no p-value and no interval. Differences that are all zero give p = 1; all equal and not zero, p = 0,
    the limit of the t statistic.

    Args:
        a: Values by seed.
        b: Values by seed.
        names: The names of the two groups.
        direction: `maximize` or `minimize`.
        level: The level of the interval.
        step: The smallest difference that the metric can have, such as 1 / samples for an accuracy. The variance of
            rounding, step² / 12 (Sheppard 1898), is added to that of the differences; without it a coarse metric
            gives false alarms (benchmarks/README.md, "Error rates").
        limits: The range of the metric: no difference exceeds its width, so the interval is cut there.

    Raises:
        ValueError: A value is not finite, shared or not; the message names its group and seed.

    `effect` is Cohen's d_z, the mean difference over its standard deviation, times Hedges' exact correction
    c(n - 1) (Hedges 1981, Journal of Educational Statistics 6): uncorrected, d_z is too large by 77 % on average
    with three seeds and by 25 % with five. None with fewer than three shared seeds, or where it is infinite.
    """
    _sign(direction)
    x, y = _checked(a, names[0]), _checked(b, names[1])
    shared = [seed for seed in x if seed in y]
    if not shared:
        return Difference(
            *names, 0, None, None, None, None, None, None, direction=direction, level=_checked_level(level)
        )
    mean, std = _moments(
        [_minus(x[seed], y[seed]) for seed in shared],
        max(max(abs(x[seed]), abs(y[seed])) for seed in shared),
    )
    n, spread, largest = len(shared), _floored(std, step), limits[1] - limits[0]
    p, effect = _p_value(mean, spread, n), _effect(mean, spread, n)
    low, high = _interval(mean, spread, n, _checked_level(level), (-largest, largest))
    return Difference(*names, n, mean, low, high, p, p, effect, std, direction, level, step, largest)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down adjusted p-values, in the order given (Holm 1979, Scandinavian Journal of Statistics 6).

    Calling significant what lies below 0.05 keeps the chance of even one false alarm at 5 % or less, however the
    tests depend on each other. None stays None and is not counted. ValueError outside 0 to 1.
    """
    known = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for place, (p, i) in enumerate(known):
        if not 0 <= p <= 1:
            raise ValueError(f"a p-value lies between 0 and 1, got {p!r}")
        adjusted[i] = largest = max(largest, min(1.0, (len(known) - place) * p))
    return adjusted


def compare(
    groups: Mapping[str, Mapping[int, float]],
    direction: str,
    baseline: str | None = None,
    level: float = 0.95,
    step: float = 0.0,
    limits: Limits = UNLIMITED,
) -> list[Difference]:
    """Compares all pairs of groups, or all groups with a baseline, with Holm's adjustment over all of them.

    Args:
        groups: Values by seed, by the group's name.
        direction: `maximize` or `minimize`.
        baseline: A group that was chosen before its values were seen: compared with the best one, false alarms are
            up to twice as frequent.
        level: The level of the intervals.
        step: As in `paired`.
        limits: As in `paired`.

    Raises:
        ValueError: The baseline is not a group, or as in `paired`.
    """
    if baseline is not None and baseline not in groups:
        raise ValueError(f"the baseline {baseline!r} is not one of {', '.join(map(str, groups))}")
    pairs = combinations(groups, 2) if baseline is None else ((name, baseline) for name in groups if name != baseline)
    found = [paired(groups[a], groups[b], (a, b), direction, level, step, limits) for a, b in pairs]
    adjusted = holm([difference.p for difference in found])
    return [replace(difference, p_holm=p) for difference, p in zip(found, adjusted, strict=True)]


def resolution(groups: Iterable[Mapping[int, float]]) -> float:
    """The smallest step between two different values in the groups: for a metric that counts samples, its `step`."""
    values = sorted({float(value) for group in groups for value in group.values()})
    return min((gap for x, y in pairwise(values) if (gap := _minus(y, x)) > 0), default=0.0)


def seeds_needed(std: float, relevant: float, level: float = 0.95) -> int:
    """The fewest seeds whose interval cannot hold both zero and a relevant difference.

    Args:
        std: The standard deviation of the paired differences.
        relevant: The size of a relevant difference, above 0, which the interval's width must not exceed.
        level: The level of the interval.

    Raises:
        ValueError: `relevant` is not above 0.
    """
    if not 0 < relevant < math.inf:
        raise ValueError(f"a relevant difference is a number above zero, got {relevant!r}")
    tail = (1 - _checked_level(level)) / 2
    n = max(FEWEST, math.ceil((2 * _t_quantile(math.inf, tail) * std / relevant) ** 2))
    while n < 10**6 and 2 * _t_quantile(n - 1, tail) * std > relevant * math.sqrt(n):
        n += 1  # from a million on, t is normal
    return n


def _checked(values: Values, name: str) -> dict[int, float]:
    by_seed = values if isinstance(values, Mapping) else dict(enumerate(values))
    for seed, value in by_seed.items():
        if not isinstance(value, Real) or not abs(float(value)) <= LARGEST:
            what = "seed" if by_seed is values else "value"
            raise ValueError(f"{name}, {what} {seed}: a finite number is needed, got {value!r}")
    return {seed: float(value) for seed, value in by_seed.items()}


def _checked_level(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"a level lies between 0 and 1, got {level!r}")
    return level


def _sign(direction: str) -> int:
    if direction not in ("maximize", "minimize"):
        raise ValueError(f"a direction is maximize or minimize, got {direction!r}")
    return 1 if direction == "maximize" else -1


def _minus(x: float, y: float) -> float:
    return 0.0 if abs(x - y) <= ROUNDING * max(abs(x), abs(y)) else x - y


def _moments(numbers: list[float], size: float) -> tuple[float, float | None]:
    """Mean and standard deviation; spreads that rounding of numbers as large as `size` leaves are 0."""
    mean = min(max(math.fsum(numbers) / len(numbers), min(numbers)), max(numbers))
    if len(numbers) == 1:
        return mean, None
    away = [number - mean for number in numbers]
    if max(map(abs, away)) <= ROUNDING * size:
        return mean, 0.0
    return mean, math.hypot(*away) / math.sqrt(len(numbers) - 1)


def _floored(std: float | None, step: float) -> float | None:
    """The standard deviation with that of rounding to `step` added."""
    return None if std is None else math.hypot(std, step / math.sqrt(12))


def _t_quantile(df: float, tail: float) -> float:
    """The value that Student's t exceeds with probability `tail`."""
    from scipy.special import stdtrit

    return -float(stdtrit(df, tail))


def _interval(
    mean: float | None, std: float | None, n: int, level: float, limits: Limits
) -> tuple[float | None, float | None]:
    if mean is None or std is None:
        return None, None
    half = _t_quantile(n - 1, (1 - level) / 2) * std / math.sqrt(n)
    return min(mean, max(mean - half, limits[0])), max(mean, min(mean + half, limits[1]))


def _p_value(mean: float, std: float | None, n: int) -> float | None:
    from scipy.special import stdtr  # not scipy.stats.ttest_rel, which takes 40 times as long and warns where s is 0

    if std is None:
        return None
    if std == 0:
        return 1.0 if mean == 0 else 0.0
    return 2 * float(stdtr(n - 1, -abs(mean) / std * math.sqrt(n)))


def _effect(mean: float, std: float | None, n: int) -> float | None:
    if n < FEWEST or (std == 0 and mean != 0):
        return None
    df = n - 1
    correction = math.sqrt(2 / df) * math.exp(math.lgamma(df / 2) - math.lgamma((df - 1) / 2))
    return correction * mean / std if std else 0.0
