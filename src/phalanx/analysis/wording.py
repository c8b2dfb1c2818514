"""Differences as sentences, with as many digits as their intervals justify."""

import math

from phalanx.analysis.statistics import FEWEST, Difference, seeds_needed


def sentence(difference: Difference, unit: str = "", level: float | None = None, relevant: float | None = None) -> str:
    """Describes a difference in one sentence.

    Args:
        difference: The difference of two groups.
        unit: The unit of the values, e.g. `points`.
        level: One group "beats" the other if the adjusted p-value is below 1 - `level`; None for the difference's own.
        relevant: A size of difference that matters, above 0. Without a significant difference the sentence then says
            whether that size is excluded, or about how many seeds could decide it.

    Raises:
        ValueError: `relevant` is not above 0.
    """
    d = difference if level is None else difference.at(level)
    lacking = f"not enough seeds to tell {d.a} from {d.b}: {d.n} shared, "
    if d.n < FEWEST or d.mean is None or d.low is None or d.high is None or d.p_holm is None:
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
    """A p-value as text: `p < 0.001`, or two significant digits."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def _written(mean: float, low: float, high: float, unit: str) -> str:
    """`mean unit [low, high]`: the half-width has two digits if it begins with 1 or 2, else one; a bound that excludes
    zero is never rounded to zero."""
    half = (high - low) / 2
    places = _places(half, 3) if half else _places(abs(mean), 100)
    if low > 0 or high < 0:
        places = max(places, _places(min(abs(low), abs(high)), 1))
    form = f"z.{places}f" if places < 10 and max(abs(low), abs(high)) < 1e7 else "z.3g"
    return f"{mean:{form}}{unit and ' ' + unit} [{low:{form}}, {high:{form}}]"


def _places(size: float, enough: float) -> int:
    """The decimals that show `size` with its leading digits at or above `enough`."""
    return max(0, math.ceil(math.log10(enough) - math.log10(size))) if size else 0
