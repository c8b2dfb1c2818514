"""What a comparison finds."""

from collections.abc import Mapping
from dataclasses import dataclass

from phalanx.analysis.compare.groups import Group
from phalanx.analysis.compare.measure import Measure
from phalanx.analysis.ranks import RankComparison
from phalanx.analysis.statistics import Difference, Summary


@dataclass(frozen=True)
class Part:
    """The comparison on one data set. Groups come best first, their values in the unit that is shown; those of which a
    run was not completed come after the others."""

    data: str
    data_set: tuple[str, ...]  # what it is called, and what makes it another one
    repeats: str  # seeds, splits or folds
    where: str  # what the intervals are about
    groups: tuple[Group, ...]
    summaries: tuple[Summary | None, ...]  # None for a group without a single value
    differences: tuple[Difference, ...]
    sentences: tuple[str, ...]
    notes: tuple[str, ...]
    comparable: bool  # whether the groups were trained at equal settings and the metric means the same for all
    pooled_over: tuple[str, ...] = ()  # the keys that make the repeats, where these are splits or folds
    averaged_over: tuple[str, ...] = ()  # besides seeds, the keys over which the value of a repeat is a mean


@dataclass(frozen=True)
class OverData:
    """The comparison over data sets. Groups come in the order of their mean ranks, the best first."""

    data: tuple[str, ...]
    groups: tuple[Group, ...]  # without values
    values: Mapping[str, tuple[float, ...]]  # by group, in the order of the data sets, in the unit that is shown
    ranks: RankComparison
    sentences: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """The result of `phalanx compare`."""

    measure: Measure
    by: tuple[str, ...]
    parts: tuple[Part, ...]
    notes: tuple[str, ...]
    over: OverData | None = None  # where it was asked for
