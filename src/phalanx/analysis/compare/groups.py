"""Runs put into groups, with one value for each group and repeat, and plain notes on what that hides.

A group may hold runs that differ in more than the keys it is made by. Where every group was trained at the same
*settings* of these other keys, a repeat's value is the mean over them, so groups are compared at equal settings.
"""

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from phalanx.analysis.class_scores import ClassScore, mean_scores
from phalanx.analysis.compare.keys import Texts, labels_of, varying
from phalanx.analysis.compare.run import MODEL, REPEATED, Run
from phalanx.analysis.compare.splits import SameData
from phalanx.analysis.compare.values import ABSENT
from phalanx.analysis.statistics import FOLDS, Place, Repeat, repeat_means
from phalanx.analysis.wording import Lost

LISTED = 6  # values named in a note
Setting = tuple[str, ...]  # the identities of the values of some keys


@dataclass(frozen=True)
class Group:
    """The runs that share the values of the grouping keys."""

    label: str
    keys: Mapping[str, str]  # the whole text of each grouping key's value
    values: Mapping[Repeat, float]  # the metric by seed, or by (split or fold, seed)
    n_runs: int  # that were trained, good or not
    lost: Lost | None = None  # runs that were not completed, at settings that count
    classes: Mapping[str, ClassScore] = field(default_factory=dict)  # means over its completed runs, by class
    made: bool = False  # refits and ensembles of other runs

    @property
    def seeds(self) -> Mapping[Place, float]:
        """The metric by repeat: by seed, or by split or fold as the mean over its seeds."""
        return repeat_means(self.values)


@dataclass(frozen=True)
class Grouped:
    """Groups in order of appearance, and what has to be known about them. They are `comparable` where they were
    trained at the same settings of all keys that vary inside them."""

    groups: tuple[Group, ...]
    notes: tuple[str, ...]
    comparable: bool


def grouped(data: SameData, by: Sequence[str], metric: str, shown: Texts) -> Grouped:
    """The groups of runs on the same data.

    Args:
        data: The runs.
        by: The keys that make the groups.
        metric: The metric of their values.
        shown: The texts of the values of keys.
    """
    members: dict[Setting, list[Run]] = defaultdict(list)
    for run in data.runs:
        members[tuple(map(run.same, by))].append(run)
    labels = labels_of(by, members, shown)
    good, repeated = _distinct({at: [run for run in runs if usable(run, metric)] for at, runs in members.items()})
    notes = list(_missing(members, labels, metric))
    if repeated:
        notes.append(f"{_counted(repeated, 'run')} with the configuration and seed of another one: counted once")
    settings = _settings(good, by, notes, shown)
    groups, lost_runs = [], []
    for at, runs in good.items():
        values, partial = _by_repeat(runs, metric, settings, data)
        if partial:
            notes.append(f"{labels[at]}: {_named(partial, data)} left out, where not every setting has a value")
        keys = {key: shown.of(key, same, short=False) for key, same in zip(by, at, strict=True)}
        if lost := _lost(members[at], runs, settings):
            lost_runs.append(f"{labels[at]}: {lost.of()}, left out of its mean")
        classes = mean_scores([run.classes for run in runs])
        made = any(run.made for run in members[at])
        groups.append(Group(labels[at], keys, values, len(members[at]), _without_interrupted(lost), classes, made))
    comparable = settings.shared is not None or len(groups) < 2
    if not comparable:
        notes.append(
            f"the groups share no setting of {_listed(settings.keys)}, so they are not tested against each other; "
            "train them at the same one"
        )
    return Grouped(tuple(groups), (*lost_runs, *notes), comparable)


def usable(run: Run, metric: str) -> bool:
    """Whether the run trained to its end and has the metric."""
    return run.completed and run.values.get(metric) is not None


def _missing(members: Mapping[Setting, Sequence[Run]], labels: Mapping[Setting, str], metric: str) -> Iterator[str]:
    for at, runs in members.items():
        lacking = sum(run.completed and not usable(run, metric) for run in runs)
        if lacking:
            yield f"{labels[at]}: {metric} is missing in {lacking} of {len(runs)} runs"


def _same_training(run: Run) -> tuple[object, ...]:
    """What two runs of the same configuration and seed have in common, wherever they stand."""
    return run.seed, tuple(sorted((k, same) for k, same in run.identities.items() if k not in ("trial", "sweep")))


def _distinct(groups: Mapping[Setting, Sequence[Run]]) -> tuple[dict[Setting, list[Run]], int]:
    """Each group without runs that repeat another one of it; the last one stands. And how many there were."""
    found, repeated = {}, 0
    for at, runs in groups.items():
        found[at] = list({_same_training(run): run for run in runs}.values())
        repeated += len(runs) - len(found[at])
    return found, repeated


@dataclass(frozen=True)
class _Settings:
    """`shared` holds the settings of `keys` that all groups were trained at; None where they share none."""

    keys: tuple[str, ...]
    shared: frozenset[Setting] | None

    def of(self, run: Run) -> Setting:
        return _setting(run, self.keys)

    def count(self, run: Run) -> bool:
        """Whether the run's setting is one that is compared."""
        return self.shared is None or self.of(run) in self.shared


def _setting(run: Run, keys: Sequence[str]) -> Setting:
    return tuple(map(run.same, keys))


def _lost(members: Sequence[Run], good: Sequence[Run], settings: _Settings) -> Lost | None:
    """The runs of a group that were not completed, neither then nor when they were trained again."""
    known = {_same_training(run) for run in good}
    lost = {_same_training(run): run.status for run in members if not run.completed and settings.count(run)}
    by_status = Counter(status for training, status in lost.items() if training not in known)
    n = sum(settings.count(run) for run in good) + by_status.total()
    return Lost(dict(by_status), n) if by_status else None


def _without_interrupted(lost: Lost | None) -> Lost | None:
    """Runs that a person stopped are none that went badly, so those that are left may win."""
    counts = {status: n for status, n in lost.by_status.items() if status != "interrupted"} if lost else {}
    return replace(lost, by_status=counts) if lost and counts else None


def _settings(groups: Mapping[Setting, Sequence[Run]], by: Sequence[str], notes: list[str], shown: Texts) -> _Settings:
    """The settings of the other keys that all groups have in common; says in `notes` what else differs."""
    filled = [runs for runs in groups.values() if runs]
    inner = tuple(dict.fromkeys(key for runs in filled for key in varying(runs, [*by, *REPEATED])))
    keys = independent(filled, inner)
    notes.extend(_also_differs(filled, [*by, *REPEATED, *inner], shown))
    notes.extend(_dependent_differ(filled, [key for key in inner if key not in keys], keys, shown))
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


def independent(groups: Sequence[Sequence[Run]], keys: Sequence[str]) -> tuple[str, ...]:
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
    return all(seen.setdefault(_setting(run, others), run.same(key)) == run.same(key) for run in runs)


def _dependent_differ(
    groups: Sequence[Sequence[Run]], dependent: Sequence[str], keys: Sequence[str], shown: Texts
) -> Iterator[str]:
    """Keys that follow from the settings, but not in the same way in all groups."""
    runs = [run for found in groups for run in found]
    for key in dependent:
        if not _follows(runs, key, keys):
            yield _difference(key, [run.same(key) for run in runs], shown)


def _difference(key: str, values: Sequence[str], shown: Texts) -> str:
    texts = [shown.of(key, same) for same in dict.fromkeys(values) if same != ABSENT]
    return f"the groups also differ in {key}: {_listed(texts)}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:LISTED]) + (" …" if len(names) > LISTED else "")


def _also_differs(groups: Sequence[Sequence[Run]], besides: Sequence[str], shown: Texts) -> Iterator[str]:
    """Keys that go with the groups: one value inside each, not the same in all that have the key.

    Options of different baselines, such as `model.max_iter`, have their names in common and nothing else.
    """
    runs = [run for found in groups for run in found]
    names = {run.config.get(MODEL) for run in runs}
    alike = runs if len(names) == 1 else [run for run in runs if not run.is_baseline]
    of_models = varying(alike, besides)
    for key, found in varying(runs, besides).items():
        values = of_models.get(key, ()) if key.startswith("model.") else found
        if len([same for same in values if same != ABSENT]) > 1:
            yield _difference(key, values, shown)


def _by_repeat(
    runs: Sequence[Run], metric: str, settings: _Settings, data: SameData
) -> tuple[dict[Repeat, float], list[Repeat]]:
    """The mean over the settings for each repeat that has them all, and the repeats that do not."""
    found: dict[Repeat, dict[Setting, float]] = defaultdict(dict)
    for run in runs:
        if settings.count(run):
            found[data.repeat_of(run)][settings.of(run)] = float(run.values[metric])  # type: ignore[arg-type]
    n_needed = 0 if settings.shared is None else len(settings.shared)
    ordered = sorted(found, key=lambda repeat: repeat if isinstance(repeat, tuple) else (0, repeat))
    whole = {repeat: statistics.fmean(found[repeat].values()) for repeat in ordered if len(found[repeat]) >= n_needed}
    return whole, [repeat for repeat in ordered if repeat not in whole]


def _counted(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _named(repeats: Sequence[Repeat], data: SameData) -> str:
    one = "fold" if data.repeats == FOLDS else "split"
    texts = [f"{repeat[1]} on {one} {place_text(repeat[0])}" if isinstance(repeat, tuple) else str(repeat)
             for repeat in repeats]  # fmt: skip
    return f"seed{'s' if len(repeats) > 1 else ''} {_listed(texts)}"


def place_text(place: Place) -> str:
    """The number of a seed, a split or a fold; `split/fold` where both differ."""
    return "/".join(map(str, place)) if isinstance(place, tuple) else str(place)
