"""Differences as sentences, with as many digits as their intervals justify."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from phalanx.analysis.equivalence import seeds_needed
from phalanx.analysis.statistics import FEWEST, FOLDS, SEEDS, SPLITS, Difference

ABOUT = {SEEDS: "on this split", SPLITS: "over splits", FOLDS: "over folds"}  # what an interval over them is about
NONE: Mapping[str, "Lost"] = {}


@dataclass(frozen=True)
class Lost:
    """How many runs of a group were not completed."""

    by_status: Mapping[str, int]  # diverged: 7
    n: int  # runs in all
    word: str = "runs"

    @property
    def counts(self) -> str:
        """`7 diverged, 1 failed`."""
        return ", ".join(f"{count} {status}" for status, count in sorted(self.by_status.items()))

    def of(self, whose: str = "") -> str:
        """`of its 10 runs 7 diverged, 1 failed`, where `whose` is `its`."""
        word = self.word if self.n != 1 else self.word.removesuffix("s")
        return f"of {whose and whose + ' '}{self.n} {word} {self.counts}"


def sentence(
    difference: Difference, unit: str = "", level: float | None = None, lost: Mapping[str, Lost] = NONE,
    where: str | None = None,
) -> str:  # fmt: skip
    """Describes a difference in one sentence.

    A group of which a run was not completed never wins: the runs that are left are the ones that went well.

    Args:
        difference: The difference of two groups. If it was tested for equivalence, a sentence without a winner says
            whether the relevant size is excluded, or about how many seeds could decide it. Probabilities come last.
        unit: The unit of the values, e.g. `points`.
        level: One group "beats" the other if the adjusted p-value is below 1 - `level`; None for the difference's own.
        lost: The runs that were not completed, by the name of a group that has such runs.
        where: What the interval is about, such as `on this split`; None for what its repeats say.
    """
    d = difference if level is None else difference.at(level)
    lacking = f"not enough {d.repeats} to tell {d.a} from {d.b}: {d.n} shared, "
    if d.n < FEWEST or d.mean is None or d.low is None or d.high is None or d.p_adjusted is None:
        return f"{lacking}at least {FEWEST} are needed{_lost(d, lost)}"
    where = f" {ABOUT[d.repeats] if where is None else where}"
    evidence = f"({d.n} {d.repeats}, {'adjusted ' if d.pairs > 1 else ''}{format_p(d.p_adjusted)})"
    if d.shown and d.better is not None:
        loser = d.b if d.better == d.a else d.a
        sizes = (d.mean, d.low, d.high) if d.mean > 0 else (-d.mean, -d.high, -d.low)
        by = f"by {_written(*sizes, unit)}{where} {evidence}"
        if d.better in lost:
            its = lost[d.better].of("its")
            return f"{d.better} is no winner over {loser}: better {by}, but {its}{_lost(d, lost, besides=d.better)}"
        return f"{d.better} beats {loser} {by}{_lost(d, lost) or _probabilities(d, unit)}"
    nothing = f"no difference shown between {d.a} and {d.b}: {_written(d.mean, d.low, d.high, unit)}{where} {evidence}"
    if lost_runs := _lost(d, lost):
        return f"{nothing}{lost_runs}"
    return _with_relevant(d, unit, nothing, lacking, where) + _probabilities(d, unit)


def no_differences(found: Sequence[Difference], which: str, best: str | None, where: str | None = None) -> str:
    """One sentence for many pairs between which no difference is shown.

    Args:
        found: The differences, each with a p-value.
        which: `all` pairs of the comparison, or `other` ones than those that were told.
        best: The group that belongs to every pair, if there is one, is named.
        where: As of `sentence`.
    """
    with_best = best is not None and all(best in (d.a, d.b) for d in found)
    if with_best:
        pairs = f"between {best} and {'any other' if which == 'all' else f'{len(found)} others'}"
    else:
        pairs = f"in any of {len(found)} pairs" if which == "all" else f"in {len(found)} other pairs"
    where = f" {ABOUT[found[0].repeats] if where is None else where}"
    counts = {d.n for d in found}
    n = f"{min(counts)}" if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
    least = min(d.p_adjusted for d in found if d.p_adjusted is not None)
    return f"no difference shown {pairs}{where} ({n} {found[0].repeats}, smallest adjusted {format_p(least)})"


def _with_relevant(d: Difference, unit: str, nothing: str, lacking: str, where: str) -> str:
    """The sentence of a difference that is not shown, with what can be said of its relevant size."""
    if d.relevant is None:
        return nothing
    size = format_size(d.relevant, unit)
    if d.equivalent:
        return f"{nothing}; any is smaller than {size}"
    if d.repeats == FOLDS:  # more of them narrow the interval no further than their correlation lets them
        return f"{nothing}; one of {size} is not excluded"
    needed = seeds_needed(d.spread or 0.0, d.relevant, 1 - (1 - d.level) / d.pairs)
    return f"{lacking}a difference of {size}{where} would need about {needed}"


def _probabilities(d: Difference, unit: str) -> str:
    """That each group is better by more than the relevant size, and that neither is."""
    if d.probabilities is None or d.relevant is None:
        return ""
    a, neither, b = map(format_share, d.probabilities)
    size = format_size(d.relevant, unit)
    return f"; probability of more than {size}: {d.a} better {a}, {d.b} better {b}, neither {neither}"


def format_size(size: float, unit: str) -> str:
    """A size with its unit."""
    return f"{size:g} {unit}".strip()


def format_share(share: float) -> str:
    """A probability in percent, never rounded to certainty: `< 1 %`, `97 %`, `> 99 %`."""
    return "< 1 %" if share < 0.01 else "> 99 %" if share > 0.99 else f"{100 * share:.0f} %"


def _lost(d: Difference, lost: Mapping[str, Lost], besides: str | None = None) -> str:
    return "".join(f"; {name}: {lost[name].of()}" for name in (d.a, d.b) if name in lost and name != besides)


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
