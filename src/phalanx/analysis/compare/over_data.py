"""Groups of runs over several data sets: one value for each group and data set, tested by ranks, in sentences."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from phalanx.analysis.compare.comparison import ALL_PAIRS
from phalanx.analysis.compare.found import Comparison, OverData, Part
from phalanx.analysis.compare.groups import Group
from phalanx.analysis.compare.measure import Measure
from phalanx.analysis.ranks import FRIEDMAN, LEVEL, RankComparison, RankDifference, compare_ranks
from phalanx.analysis.statistics import repeat_means
from phalanx.analysis.wording import Lost, format_p, format_size
from phalanx.core.errors import RequestError

ABOUT_DATA = "over data sets"
_Key = tuple[str, ...]


def with_over_data(comparison: Comparison, baseline: str | None = None) -> Comparison:
    """The comparison with tests of its groups over its data sets.

    A data set is another one if its name, title or file is. Its value of a group is the mean over the repeats that all
    groups have on it, and over its parts that are compared apart (other sizes, say) in which all groups have values.

    Args:
        comparison: The comparison on each data set.
        baseline: The label of the group that the others are tested against; None for all pairs.

    Raises:
        RequestError: There is only one data set or one group, or groups miss data sets.
    """
    parts, measure = comparison.parts, comparison.measure
    labels = {_key(group): group.label for part in parts for group in part.groups}
    sets: dict[tuple[str, ...], list[Part]] = defaultdict(list)
    for part in parts:
        sets[part.data_set].append(part)
    names = [name for name, *_ in sets]
    called = [members[0].data if names.count(name) > 1 else name
              for name, members in zip(names, sets.values(), strict=True)]  # fmt: skip
    _check(called, labels)
    columns = [_values(members, labels) for members in sets.values()]
    faults = [fault for name, members, found in zip(called, sets.values(), columns, strict=True) if not found
              for fault in _missing(name, members, labels, measure.metric)]  # fmt: skip
    if faults:
        raise RequestError("\n".join([
            "--over data needs every group on every data set:", *(f"  - {fault}" for fault in faults),
            "train what is missing, or leave out groups or data sets with --where",
        ]))  # fmt: skip
    values = {label: tuple(column[key] for column in columns) for key, label in labels.items()}
    ranks = compare_ranks(values, measure.direction, baseline)
    groups = sorted(_merged(parts, labels), key=lambda group: ranks.mean_ranks[group.label])
    said = _sentences(ranks, measure, {group.label: group.lost for group in groups if group.lost})
    return replace(comparison, over=OverData(tuple(called), tuple(groups), values, ranks, tuple(said),
                                             tuple(_notes(ranks))))  # fmt: skip


def _key(group: Group) -> _Key:
    return tuple(group.keys.values())


def _check(called: Sequence[str], labels: Mapping[_Key, str]) -> None:
    if len(called) < 2:
        raise RequestError(f"--over data needs two data sets or more, these runs have one ({called[0]}); "
                           "train on others too, such as data=digits,wine")  # fmt: skip
    if len(labels) < 2:
        raise RequestError("--over data needs two groups or more, these runs make one; say what to group by: --by KEYS")


def _values(parts: Sequence[Part], labels: Mapping[_Key, str]) -> dict[_Key, float]:
    """The mean of each group over the parts that have all groups; empty if there is no such part."""
    found: dict[_Key, list[float]] = defaultdict(list)
    for part in parts:
        groups = {_key(group): group for group in part.groups if group.values}
        shared = set.intersection(*(set(group.values) for group in groups.values()))
        if part.comparable and len(groups) == len(labels) and shared:
            for key, group in groups.items():
                means = repeat_means({at: value for at, value in group.values.items() if at in shared})
                found[key].append(statistics.fmean(means.values()))
    return {key: statistics.fmean(values) for key, values in found.items()}


def _missing(name: str, parts: Sequence[Part], labels: Mapping[_Key, str], metric: str) -> Iterator[str]:
    there = {_key(group) for part in parts for group in part.groups if group.values}
    missing = [label for key, label in labels.items() if key not in there]
    yield from (f"{label} has no value on {name}" for label in missing)
    if not missing and metric.endswith("_loss") and not any(part.comparable for part in parts):
        yield f"on {name} {metric} may mean something else for each group; --metric names one that means the same"
    elif not missing:
        yield f"on {name} the groups share no split and seed at equal settings"


def _merged(parts: Sequence[Part], labels: Mapping[_Key, str]) -> Iterator[Group]:
    """Each group with the numbers of its runs on all data."""
    members: dict[_Key, list[Group]] = defaultdict(list)
    for part in parts:
        for group in part.groups:
            members[_key(group)].append(group)
    for key, label in labels.items():
        lost = [group.lost for group in members[key] if group.lost]
        by_status = sum((Counter(one.by_status) for one in lost), Counter[str]())
        n_runs = sum(group.n_runs for group in members[key])
        yield Group(label, members[key][0].keys, {}, n_runs, Lost(dict(by_status), n_runs) if lost else None)


def _sentences(ranks: RankComparison, measure: Measure, lost: Mapping[str, Lost]) -> Iterator[str]:
    if ranks.too_few:
        yield f"not enough data sets to tell the groups apart: {ranks.n}, at least {ranks.too_few} are needed"
        return
    n, groups = f"{ranks.n} data sets", f"{len(ranks.mean_ranks)} groups"
    if ranks.test == FRIEDMAN and ranks.p is not None:
        if ranks.p >= 1 - LEVEL:
            yield f"no difference shown between {groups} {ABOUT_DATA} ({n}, Friedman, {format_p(ranks.p)})"
            return
        yield f"the {groups} differ {ABOUT_DATA} ({n}, Friedman, {format_p(ranks.p)})"
    shown = [d for d in ranks.differences if d.shown]
    best = min(ranks.mean_ranks, key=lambda name: ranks.mean_ranks[name])
    told = shown if len(shown) <= ALL_PAIRS else [d for d in shown if best in (d.a, d.b)]
    yield from (_pair(d, ranks, measure, lost) for d in told)
    if len(told) < len(shown):
        yield f"({len(shown) - len(told)} more pairs differ; phalanx compare --csv FILE has them all)"
    rest = [d for d in ranks.differences if not d.shown]
    if len(rest) <= ALL_PAIRS and ranks.test != FRIEDMAN:
        yield from (_pair(d, ranks, measure, lost) for d in rest)
    elif rest:
        critical = ranks.critical_difference
        size = "" if critical is None else f": their mean ranks differ by less than {critical:.2f}"
        pairs = f"{len(rest)} pair{'s' if len(rest) > 1 else ''}"
        yield f"no difference shown in {pairs} {ABOUT_DATA}{size}"


def _pair(d: RankDifference, ranks: RankComparison, measure: Measure, lost: Mapping[str, Lost]) -> str:
    """One pair; the group that is named first has the better mean rank."""
    turned = d.better == d.b
    first, second = (d.b, d.a) if turned else (d.a, d.b)
    wins, losses = d.wins[::-1] if turned else d.wins
    median = format_size(float(f"{-d.median if turned else d.median:.3g}"), measure.unit)
    adjusted = "adjusted " if len(ranks.differences) > 1 else ""
    test = "Nemenyi" if ranks.test == FRIEDMAN else "Wilcoxon"
    best, other = sorted(d.ranks)
    how = (f"mean rank {best:.2f} against {other:.2f}, better on {wins} of {ranks.n} data sets, worse on {losses}, "
           f"median difference {median} "
           f"({test}, {adjusted}{format_p(d.p_adjusted or 0.0)})")  # fmt: skip
    others = "".join(f"; {name}: {lost[name].of()}" for name in (first, second) if name in lost)
    if not d.shown:
        return f"no difference shown between {first} and {second} {ABOUT_DATA}: {how}{others}"
    if first in lost:
        return f"{first} is no winner over {second} {ABOUT_DATA}: {how}{others}"
    return f"{first} beats {second} {ABOUT_DATA}: {how}{others}"


def _notes(ranks: RankComparison) -> Iterator[str]:
    yield (f"each data set is one repeat, {ranks.n} in all; its value is the mean over the repeats that all groups "
           "have; what is said speaks of other data sets of their kind, not of each of these")  # fmt: skip
    if ranks.critical_difference is not None:
        yield f"critical difference of two mean ranks: {ranks.critical_difference:.2f} (Nemenyi, 95 %)"
