"""Student's t for one column of numbers: moments, intervals, p-values and the effect size, without NaN and warnings."""

import math
import sys
from collections.abc import Iterable, Mapping
from itertools import pairwise
from numbers import Real
from typing import Any

Limits = tuple[float, float]  # the range of a metric

LARGEST = 1e300  # values above it would overflow in a sum
ROUNDING = 32 * sys.float_info.epsilon  # relative; a spread or a difference this small is left over from rounding


def checked(values: Mapping[Any, float], name: str, what: str) -> None:
    """Raises `ValueError` for a value that is not a finite number.

    Args:
        values: The values by key.
        name: What the values are, for the message.
        what: What a key is, for the message.
    """
    for key, value in values.items():
        if not isinstance(value, Real) or not abs(float(value)) <= LARGEST:
            raise ValueError(f"{name}, {what} {key}: a finite number is needed, got {value!r}")


def checked_level(level: float) -> float:
    """The level itself. Raises `ValueError` outside 0 to 1."""
    if not 0 < level < 1:
        raise ValueError(f"a level lies between 0 and 1, got {level!r}")
    return level


def minus(x: float, y: float) -> float:
    """x - y, and 0 where the two differ by rounding only."""
    return 0.0 if abs(x - y) <= ROUNDING * max(abs(x), abs(y)) else x - y


def moments(numbers: list[float], size: float) -> tuple[float, float | None]:
    """Mean and standard deviation (n - 1); spreads that rounding of numbers as large as `size` leaves are 0."""
    mean = min(max(math.fsum(numbers) / len(numbers), min(numbers)), max(numbers))
    if len(numbers) == 1:
        return mean, None
    away = [number - mean for number in numbers]
    if max(map(abs, away)) <= ROUNDING * size:
        return mean, 0.0
    return mean, math.hypot(*away) / math.sqrt(len(numbers) - 1)


def with_step(std: float | None, step: float) -> float | None:
    """The standard deviation with that of rounding to `step` added."""
    return None if std is None else math.hypot(std, step / math.sqrt(12))


def checked_correlation(correlation: float) -> float:
    """The correlation itself. Raises `ValueError` unless it is from 0 to below 1."""
    if not 0 <= correlation < 1:
        raise ValueError(f"the correlation of two repeats is from 0 to below 1, got {correlation!r}")
    return correlation


def evaluated_share(n_train: int, n_validation: int) -> float:
    """The share of the rows that validate: the correlation of two folds' validation metrics (Nadeau and Bengio 2003).

    Args:
        n_train: Rows of a fold that train.
        n_validation: Those that validate.
    """
    return n_validation / (n_train + n_validation)


def with_correlation(std: float | None, n: int, correlation: float) -> float | None:
    """The standard deviation that n independent values would have if their mean varied as that of these values, of
    which each two have this correlation: its square is s² (1 + n ρ / (1 - ρ)). With n - 1 degrees of freedom that makes
    the t-test over folds the corrected resampled one, where ρ is the share of the rows that are evaluated (Nadeau and
    Bengio 2003, Machine Learning 52); over repeated folds and draws see `phalanx.analysis.overlap`.

    Args:
        std: The standard deviation s of the values, None for fewer than two.
        n: The number of values.
        correlation: ρ, which lowers s² by the factor 1 - ρ.
    """
    return None if std is None else std * math.sqrt(1 + n * correlation / (1 - correlation))


def t_quantile(df: float, tail: float) -> float:
    """The value that Student's t exceeds with probability `tail`."""
    from scipy.special import stdtrit

    return -float(stdtrit(df, tail))


def interval(
    mean: float | None, std: float | None, n: int, level: float, limits: Limits
) -> tuple[float | None, float | None]:
    """The t interval of a mean, cut at `limits`; None without a mean or a standard deviation.

    Args:
        mean: The mean.
        std: The standard deviation of the values.
        n: The number of values.
        level: The level of the interval.
        limits: The range that no true mean leaves.
    """
    if mean is None or std is None:
        return None, None
    half = t_quantile(n - 1, (1 - level) / 2) * std / math.sqrt(n)
    return min(mean, max(mean - half, limits[0])), max(mean, min(mean + half, limits[1]))


def below_zero(mean: float, std: float, n: int) -> float:
    """The one-sided p-value of a mean below zero: the chance of one so low where the true mean is zero or above."""
    from scipy.special import stdtr  # not scipy.stats, whose tests take 40 times as long and warn where std is 0

    if std == 0:
        return 0.0 if mean < 0 else 1.0
    return float(stdtr(n - 1, mean / std * math.sqrt(n)))


def p_value(mean: float, std: float | None, n: int) -> float | None:
    """The two-sided p-value of a mean that is zero in truth; None without a standard deviation."""
    return None if std is None else min(1.0, 2 * below_zero(-abs(mean), std, n))


def effect_size(mean: float, std: float | None, n: int) -> float | None:
    """Cohen's d_z with Hedges' exact correction; None with fewer than three values, or where it is infinite."""
    if n < 3 or (std == 0 and mean != 0):
        return None
    df = n - 1
    correction = math.sqrt(2 / df) * math.exp(math.lgamma(df / 2) - math.lgamma((df - 1) / 2))
    return correction * mean / std if std else 0.0


def resolution(groups: Iterable[Mapping[Any, float]]) -> float:
    """The smallest step between two different values in the groups: for a metric that counts samples, its `step`."""
    values = sorted({float(value) for group in groups for value in group.values()})
    return min((gap for x, y in pairwise(values) if (gap := minus(y, x)) > 0), default=0.0)
