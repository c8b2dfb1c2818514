"""Runs put into groups, with one value for each group and seed, and plain notes on what that hides.

A group may hold runs that differ in more than the keys it is made by. Where every group was trained at the same
*settings* of these other keys, a seed's value is the mean over them, so groups are compared at equal settings.
"""

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from phalanx.analysis.compare.keys import ABSENT, label_of, value_of, varying
from phalanx.analysis.compare.run import Run

LISTED = 6  # values named in a note
Setting = tuple[str, ...]


@dataclass(frozen=True)
class Group:
    """The runs that share the values of the grouping keys. `seeds` has the metric by seed, in its own unit."""

    label: str
    keys: Mapping[str, str]
    seeds: Mapping[int, float]
    n_runs: int  # that were trained, good or not
    lost: Mapping[str, int] = field(default_factory=dict)  # how many ended otherwise than completed, by status


@dataclass(frozen=True)
class Grouped:
    """Groups in order of appearance, and what has to be known about them. They are `fair` to compare where they were
    trained at the same settings of all keys that vary inside them."""

    groups: tuple[Group, ...]
    notes: tuple[str, ...]
    fair: bool


def grouped(runs: Sequence[Run], by: Sequence[str], metric: str) -> Grouped:
    """The groups of runs on one data set."""
    members: dict[Setting, list[Run]] = defaultdict(list)
    for run in runs:
        members[tuple(value_of(run, key) for key in by)].append(run)
    labels = {values: label_of(by, values) for values in members}
    good = {values: [r for r in found if usable(r, metric)] for values, found in members.items()}
    notes = [*_lost(members, labels), *_missing(members, labels, metric)]
    good, repeated = _distinct(good)
    if repeated:
        notes.append(f"{_counted(repeated, 'run')} with the configuration and seed of another one: counted once")
    settings = _settings(good, by, notes)
    groups = []
    for values, found in good.items():
        seeds, partial = _by_seed(found, metric, settings)
        if partial:
            notes.append(f"{labels[values]}: {_named_seeds(partial)} left out, where not every setting has a value")
        lost = Counter(run.status for run in members[values] if run.status != "completed")
        groups.append(
            Group(labels[values], dict(zip(by, values, strict=True)), seeds, len(members[values]), dict(lost))
        )
    fair = settings.shared is not None or len(groups) < 2
    if not fair:
        notes.append(
            f"the groups share no setting of {_listed(settings.keys)}, so they are not tested against each other; "
            "train them at the same one"
        )
    return Grouped(tuple(groups), tuple(notes), fair)


def usable(run: Run, metric: str) -> bool:
    """Whether the run trained to its end and has the metric."""
    return run.status == "completed" and run.values.get(metric) is not None


def _lost(members: Mapping[Setting, Sequence[Run]], labels: Mapping[Setting, str]) -> Iterator[str]:
    for values, found in members.items():
        lost = sorted(Counter(run.status for run in found if run.status != "completed").items())
        if lost:
            ends = ", ".join(f"{count} {status}" for status, count in lost)
            yield f"{labels[values]}: of {_counted(len(found), 'run')} {ends}, left out of its mean"


def _missing(members: Mapping[Setting, Sequence[Run]], labels: Mapping[Setting, str], metric: str) -> Iterator[str]:
    for values, found in members.items():
        lacking = sum(run.status == "completed" and not usable(run, metric) for run in found)
        if lacking:
            yield f"{labels[values]}: {metric} is missing in {lacking} of {len(found)} runs"


def _distinct(groups: Mapping[Setting, Sequence[Run]]) -> tuple[dict[Setting, list[Run]], int]:
    """Each group without runs that repeat another one of it; the last one stands. And how many there were."""
    found, repeated = {}, 0
    for values, runs in groups.items():
        kept = {(run.seed, tuple((k, value_of(run, k)) for k in run.config if k not in ("trial", "sweep"))): run
                for run in runs}  # fmt: skip
        found[values] = list(kept.values())
        repeated += len(runs) - len(kept)
    return found, repeated


@dataclass(frozen=True)
class _Settings:
    """`shared` holds the settings of `keys` that all groups were trained at; None where they share none."""

    keys: tuple[str, ...]
    shared: frozenset[Setting] | None

    def of(self, run: Run) -> Setting:
        return _setting(run, self.keys)


def _setting(run: Run, keys: Sequence[str]) -> Setting:
    return tuple(value_of(run, key) for key in keys)


def _settings(groups: Mapping[Setting, Sequence[Run]], by: Sequence[str], notes: list[str]) -> _Settings:
    """The settings of the other keys that all groups have in common; says in `notes` what else differs."""
    filled = [runs for runs in groups.values() if runs]
    inner = tuple(dict.fromkeys(key for runs in filled for key in varying(runs, by)))
    keys = without_followers(filled, inner)
    notes.extend(_also_differs(filled, [*by, *inner]))
    notes.extend(_followers_differ(filled, [key for key in inner if key not in keys], keys))
    sets = [{_setting(run, keys) for run in runs} for runs in filled]
    shared = frozenset.intersection(*map(frozenset, sets)) if sets else frozenset()
    if not shared:
        return _Settings(inner, None)
    names = _listed([key.removesuffix(".name") for key in keys])
    left = sum(_setting(run, keys) not in shared for runs in filled for run in runs)
    if left:
        notes.append(f"{_counted(left, 'run')} left out, at values of {names} that not every group was trained at")
    if len(shared) > 1:
        notes.append(f"each value is a mean over {len(shared)} settings of {names}, the same in every group")
    return _Settings(keys, shared)


def without_followers(groups: Sequence[Sequence[Run]], keys: Sequence[str]) -> tuple[str, ...]:
    """`keys` without those that follow from the others in each group, such as a learning rate that is the default of
    its optimizer: groups trained at such different rates may still share their settings."""

    def last_to_go(key: str) -> tuple[bool, int]:
        return key.endswith(".name"), -max(len(varying(runs).get(key, ())) for runs in groups)

    left = tuple(keys)
    for key in sorted(keys, key=last_to_go):
        rest = tuple(other for other in left if other != key)
        if rest and all(_follows(runs, key, rest) for runs in groups):
            left = rest
    return left


def _follows(runs: Sequence[Run], key: str, others: Sequence[str]) -> bool:
    seen: dict[Setting, str] = {}
    return all(seen.setdefault(_setting(run, others), value_of(run, key)) == value_of(run, key) for run in runs)


def _followers_differ(groups: Sequence[Sequence[Run]], followers: Sequence[str], keys: Sequence[str]) -> Iterator[str]:
    """Keys that follow from the settings, but not in the same way in all groups."""
    runs = [run for found in groups for run in found]
    for key in followers:
        if not _follows(runs, key, keys):
            yield _difference(key, [value_of(run, key) for run in runs])


def _difference(key: str, values: Sequence[str]) -> str:
    return f"the groups also differ in {key}: {_listed([v for v in dict.fromkeys(values) if v != ABSENT])}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:LISTED]) + (" …" if len(names) > LISTED else "")


def _also_differs(groups: Sequence[Sequence[Run]], besides: Sequence[str]) -> Iterator[str]:
    """Keys that go with the groups: one value inside each, not the same in all that have the key."""
    for key, values in varying([run for found in groups for run in found], besides).items():
        if len([value for value in values if value != ABSENT]) > 1:
            yield _difference(key, values)


def _by_seed(runs: Sequence[Run], metric: str, settings: _Settings) -> tuple[dict[int, float], list[int]]:
    """The mean over the settings for each seed that has them all, and the seeds that do not."""
    found: dict[int, dict[Setting, float]] = defaultdict(dict)
    for run in runs:
        setting = settings.of(run)
        if settings.shared is None or setting in settings.shared:
            found[run.seed][setting] = float(run.values[metric])  # type: ignore[arg-type]
    if settings.shared is None:
        return {seed: statistics.fmean(values.values()) for seed, values in sorted(found.items())}, []
    whole = {seed: statistics.fmean(v.values()) for seed, v in sorted(found.items()) if len(v) == len(settings.shared)}
    return whole, [seed for seed in sorted(found) if seed not in whole]


def _counted(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _named_seeds(seeds: Sequence[int]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {_listed([str(seed) for seed in seeds])}"
