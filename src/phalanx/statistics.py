"""Numbers for comparing configurations that were trained with the same seeds: intervals, paired t-tests, Holm.

Values are plain numbers by seed, in any unit; means, spreads and bounds come back in that unit. Nothing is ever NaN:
what cannot be computed is None.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from numbers import Real
from typing import Literal

Direction = Literal["maximize", "minimize"]
Values = Mapping[Hashable, float] | Iterable[float]

FEWEST = 3  # shared seeds below which no verdict is given: two leave an interval of 9 standard deviations to each side
LARGEST = 1e300  # values above it would overflow in a sum
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
    """What the seeds that `a` and `b` share say about a - b.

    `mean`, `std` and the interval `low` to `high` are in the unit of the values. `p` and the interval are for this
    pair alone; `p_holm` counts all pairs that were compared with it. `effect` has no unit.
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
    direction: Direction = "maximize"
    level: float = 0.95

    @property
    def better(self) -> str | None:
        """The group with the better mean, shown or not; None where the means are equal or no seed is shared."""
        if not self.mean:
            return None
        return self.a if self.mean * _sign(self.direction) > 0 else self.b

    @property
    def shown(self) -> bool:
        """Whether the difference is shown at `level`, all comparisons counted."""
        return self.n >= FEWEST and self.p_holm is not None and self.p_holm < 1 - self.level

    def at(self, level: float) -> Difference:
        """The same difference, with the interval and the verdict at another level."""
        low, high = _interval(self.mean, self.std, self.n, _checked_level(level))
        return replace(self, low=low, high=high, level=level)


def summarise(values: Values, level: float = 0.95, name: str = "values") -> Summary:
    """Mean of `values` (by seed, or a plain list) with Student's t interval at `level`.

    Values that are all equal give an interval of no width. ValueError where there is no value, or one is not finite.
    """
    numbers = list(_checked(values, name).values())
    if not numbers:
        raise ValueError(f"{name} has no value")
    mean, std = _moments(numbers, max(map(abs, numbers)))
    return Summary(len(numbers), mean, std, *_interval(mean, std, len(numbers), _checked_level(level)))


def lower_bound(values: Values, direction: Direction, level: float = 0.95, name: str = "values") -> float:
    """The one-sided t bound of the mean on its bad side: below the mean to maximize, above it to minimize.

    In a share `level` of experiments the true mean is at least this good. ValueError with fewer than two values.
    """
    found = summarise(values, name=name)
    if found.std is None:
        raise ValueError(f"{name} needs two values or more for a bound, got {found.n}")
    margin = _t_quantile(found.n - 1, 1 - _checked_level(level)) * found.std / math.sqrt(found.n)
    return found.mean - _sign(direction) * margin


def paired(
    a: Mapping[Hashable, float],
    b: Mapping[Hashable, float],
    names: tuple[str, str] = ("a", "b"),
    direction: Direction = "maximize",
    level: float = 0.95,
) -> Difference:
    """Student's paired t-test of `a` - `b` over the seeds that both have, as the only comparison (`p_holm` is `p`).

    The test speaks for other seeds on the same data and split, not for other data. With fewer than two shared seeds
    there is no p-value and no interval. Differences that are all zero give p = 1; all equal and not zero, p = 0,
    the limit of the t statistic (with few seeds and a coarse metric that can be chance).

    `effect` is Cohen's d_z, the mean difference over its standard deviation, times Hedges' exact correction
    c(n - 1) (Hedges 1981, Journal of Educational Statistics 6): uncorrected, d_z is too large by 77 % on average
    with three seeds and by 25 % with five. None with fewer than three shared seeds, or where it is infinite.

    ValueError names the group and the seed of a value that is not finite, shared or not.
    """
    _sign(direction)
    x, y = _checked(a, names[0]), _checked(b, names[1])
    shared = [seed for seed in x if seed in y]
    if not shared:
        return Difference(*names, 0, *[None] * 6, direction=direction, level=_checked_level(level))
    mean, std = _moments(
        [_minus(x[seed], y[seed]) for seed in shared],
        max(max(abs(x[seed]), abs(y[seed])) for seed in shared),
    )
    n, p = len(shared), _p_value(mean, std, len(shared))
    low, high = _interval(mean, std, n, _checked_level(level))
    return Difference(*names, n, mean, low, high, p, p, _effect(mean, std, n), std, direction, level)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down adjusted p-values, in the order given (Holm 1979, Scandinavian Journal of Statistics 6).

    Calling significant what lies below 0.05 keeps the chance of even one false alarm at 5 % or less, however the
    tests depend on each other. None stays None and is not counted. ValueError outside 0 to 1.
    """
    for p in p_values:
        if p is not None and not 0 <= p <= 1:
            raise ValueError(f"a p-value lies between 0 and 1, got {p!r}")
    order = sorted((i for i, p in enumerate(p_values) if p is not None), key=lambda i: p_values[i])
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for place, i in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - place) * p_values[i]))
        adjusted[i] = largest
    return adjusted


def compare(
    groups: Mapping[str, Mapping[Hashable, float]],
    direction: Direction,
    baseline: str | None = None,
    level: float = 0.95,
) -> list[Difference]:
    """All pairs of `groups` in their order, or each other group against `baseline`, with Holm over all of them.

    Each pair uses the seeds that it shares. ValueError for a baseline that is no group, and as in `paired`.
    """
    if baseline is not None and baseline not in groups:
        raise ValueError(f"the baseline {baseline!r} is not one of {', '.join(map(str, groups))}")
    pairs = combinations(groups, 2) if baseline is None else ((name, baseline) for name in groups if name != baseline)
    found = [paired(groups[a], groups[b], (a, b), direction, level) for a, b in pairs]
    adjusted = holm([difference.p for difference in found])
    return [replace(difference, p_holm=p) for difference, p in zip(found, adjusted, strict=True)]


def seeds_needed(std: float, relevant: float, level: float = 0.95) -> int:
    """The fewest seeds whose interval is no wider than `relevant`, for paired differences that spread by `std`.

    So wide, it cannot hold both no difference and a relevant one. ValueError unless `relevant` is above zero.
    """
    if not 0 < relevant < math.inf:
        raise ValueError(f"a relevant difference is a number above zero, got {relevant!r}")
    tail = (1 - _checked_level(level)) / 2
    n = max(FEWEST, math.ceil((2 * _t_quantile(math.inf, tail) * std / relevant) ** 2))
    while n < 10**6 and 2 * _t_quantile(n - 1, tail) * std > relevant * math.sqrt(n):
        n += 1  # from a million on, t is normal
    return n


def sentence(difference: Difference, unit: str = "", level: float | None = None, relevant: float | None = None) -> str:
    """One plain sentence on `difference`; `level` is the difference's own unless given.

    "beats" needs the adjusted p-value below 1 - `level`. `relevant` is the size of difference that matters to the
    reader, in the unit of the values: where nothing is shown, the sentence says whether that size is excluded, or
    about how many seeds could tell. ValueError unless it is above zero.
    """
    d = difference if level is None else difference.at(level)
    lacking = f"not enough seeds to tell {d.a} from {d.b}: {d.n} shared, "
    if d.n < FEWEST:
        return f"{lacking}at least {FEWEST} are needed"
    needed = None if relevant is None else seeds_needed(d.std or 0.0, relevant, d.level)
    adjusted = "adjusted " if d.p_holm != d.p else ""
    evidence = f"({d.n} seeds, {adjusted}{format_p(d.p_holm)})"
    if d.shown:
        loser = d.b if d.better == d.a else d.a
        sizes = (d.mean, d.low, d.high) if d.mean > 0 else (-d.mean, -d.high, -d.low)
        return f"{d.better} beats {loser} by {_written(*sizes, unit)} {evidence}"
    nothing = f"no difference shown between {d.a} and {d.b}: {_written(d.mean, d.low, d.high, unit)} {evidence}"
    if relevant is None:
        return nothing
    size = f"{relevant:g} {unit}".strip()
    if -relevant < d.low and d.high < relevant:
        return f"{nothing}; any is smaller than {size}"
    return f"{lacking}a difference of {size} would need about {needed}" if d.low <= 0 <= d.high else nothing


def format_p(p: float) -> str:
    """A p-value as people write it: `p < 0.001`, or two significant digits."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def _checked(values: Values, name: str) -> dict[Hashable, float]:
    by_seed = values if isinstance(values, Mapping) else dict(enumerate(values))
    for seed, value in by_seed.items():
        if not isinstance(value, Real) or not abs(value) <= LARGEST:
            what = "seed" if by_seed is values else "value"
            raise ValueError(f"{name}, {what} {seed}: a finite number is needed, got {value!r}")
    return {seed: float(value) for seed, value in by_seed.items()}


def _checked_level(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"a level lies between 0 and 1, got {level!r}")
    return level


def _sign(direction: Direction) -> int:
    if direction not in ("maximize", "minimize"):
        raise ValueError(f"a direction is maximize or minimize, got {direction!r}")
    return 1 if direction == "maximize" else -1


def _minus(x: float, y: float) -> float:
    return 0.0 if abs(x - y) <= ROUNDING * max(abs(x), abs(y)) else x - y


def _moments(numbers: list[float], size: float) -> tuple[float, float | None]:
    """Mean and standard deviation of `numbers` that were computed from others as large as `size`."""
    mean = min(max(math.fsum(numbers) / len(numbers), min(numbers)), max(numbers))
    if len(numbers) == 1:
        return mean, None
    away = [number - mean for number in numbers]
    if max(map(abs, away)) <= ROUNDING * size:
        return mean, 0.0
    return mean, math.hypot(*away) / math.sqrt(len(numbers) - 1)


def _t_quantile(df: float, tail: float) -> float:
    """The t with a share `tail` of Student's distribution above it."""
    from scipy.special import stdtrit

    return -float(stdtrit(df, tail))


def _interval(mean: float | None, std: float | None, n: int, level: float) -> tuple[float | None, float | None]:
    if mean is None or std is None:
        return None, None
    half = _t_quantile(n - 1, (1 - level) / 2) * std / math.sqrt(n)
    return mean - half, mean + half


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


def _written(mean: float, low: float, high: float, unit: str) -> str:
    """`mean unit [low, high]`, as many decimals as the interval deserves: two digits of its half-width from 1 or 2,
    else one, and enough that a bound which excludes zero is not written as zero."""
    half = (high - low) / 2
    places = _places(half, 3) if half else _places(abs(mean), 100)
    if low > 0 or high < 0:
        places = max(places, _places(min(abs(low), abs(high)), 1))
    form = f"z.{places}f" if places < 10 and max(abs(low), abs(high)) < 1e7 else "z.3g"
    return f"{mean:{form}}{unit and ' ' + unit} [{low:{form}}, {high:{form}}]"


def _places(size: float, enough: float) -> int:
    """The decimals that show `size` with its leading digits at or above `enough`."""
    return max(0, math.ceil(math.log10(enough) - math.log10(size))) if size else 0
