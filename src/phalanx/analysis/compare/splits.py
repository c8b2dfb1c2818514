"""Runs on the same data: on one split, or on several splits or folds of the same rows, which are repeats."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from phalanx.analysis.compare.run import FOLD, ROW_REPEATS, SPLIT, Run
from phalanx.analysis.statistics import FEWEST, FOLDS, SEEDS, SPLITS, Place, Repeat
from phalanx.analysis.student import evaluated_share
from phalanx.analysis.wording import ABOUT
from phalanx.core.metrics import split_name

SCALING = "data.scaling"  # leaves the rows and their splits as they are
ROOT = "data.root"  # where files lie on one machine says nothing about their rows


@dataclass(frozen=True)
class SameData:
    """Runs that are compared with each other: on one split, or on several splits or folds that count as repeats."""

    runs: tuple[Run, ...]
    repeats: str = SEEDS
    correlation: float = 0.0  # of the values of two folds
    where: str = ABOUT[SEEDS]  # what intervals over the repeats are about
    several_splits: bool = False  # whether folds are of several split seeds

    def place_of(self, run: Run) -> Place | None:
        """The split or the fold of a run where these are the repeats; folds of several splits have both numbers."""
        if self.repeats == FOLDS and self.several_splits and run.split is not None and run.fold is not None:
            return run.split, run.fold
        return {SEEDS: None, SPLITS: run.split, FOLDS: run.fold}[self.repeats]

    def repeat_of(self, run: Run) -> Repeat:
        """What a run's value is paired by."""
        place = self.place_of(run)
        return run.seed if place is None else (place, run.seed)

    @property
    def pooled_over(self) -> tuple[str, ...]:
        """The keys that make the repeats."""
        folds = (SPLIT, FOLD) if self.several_splits else (FOLD,)
        return {SEEDS: (), SPLITS: (SPLIT,), FOLDS: folds}[self.repeats]


def by_data(runs: Sequence[Run], usable: Sequence[Run], by: Sequence[str], metric: str) -> list[SameData]:
    """Puts runs on the same data together.

    Runs on one split have the same digest of their data. Runs whose keys of the data differ in the fold alone, or in
    the split's seed alone, are pooled, if three of these or more hold runs of at least two groups. Folds of several
    split seeds are repeated folds, if the metric is of the validation split; the test split is another one for each.
    Runs that differ in `data.scaling` have the same rows, and are put together if it makes the groups.

    Args:
        runs: All runs.
        usable: Those of them that have a value.
        by: The keys that make the groups; nothing is pooled if the fold or the split's seed is one of them.
        metric: The metric of the values.
    """
    left = list(runs)
    made: dict[str | None, SameData] = {}
    fold_keys = (SPLIT, FOLD) if split_name(metric)[0] == "val" else (FOLD,)
    scaling = (SCALING,) if SCALING in by else ()
    for repeats, besides in ((FOLDS, fold_keys), (SPLITS, (SPLIT,))) if not {SPLIT, FOLD} & {*by} else ():
        for together in _alike(left, (*besides, *scaling)):
            found = _pooled(together, repeats, metric)
            digests = {run.data for run in together}
            if found is not None and _can_be_pooled(found, [run for run in usable if run.data in digests], by):
                made |= dict.fromkeys(digests, found)
        left = [run for run in left if run.data not in made]
    for members in _scaled_otherwise(left) if scaling else _of_one_digest(left):
        made |= dict.fromkeys((run.data for run in members), SameData(tuple(members)))
    return list({id(made[run.data]): made[run.data] for run in runs}.values())


def _of_one_digest(runs: Sequence[Run]) -> list[list[Run]]:
    apart: dict[str | None, list[Run]] = defaultdict(list)
    for run in runs:
        apart[run.data].append(run)
    return list(apart.values())


def _scaled_otherwise(runs: Sequence[Run]) -> list[list[Run]]:
    """The runs on the same rows, whatever their scaling; apart where one scaling has two digests, of a changed file."""
    found: list[list[Run]] = []
    for together in _alike(runs, (SCALING,)):
        is_one = len({run.data for run in together}) == len({run.same(SCALING) for run in together})
        found += [together] if is_one else _of_one_digest(together)
    return found


def _alike(runs: Sequence[Run], besides: Sequence[str]) -> list[list[Run]]:
    """The runs whose keys of the data are the same but for `besides`, each data set as a whole."""
    firsts: dict[str | None, Run] = {}
    found: dict[tuple[tuple[str, str], ...], list[Run]] = defaultdict(list)
    for run in runs:
        first = firsts.setdefault(run.data, run)
        found[_rows(first, besides)].append(run)
    return list(found.values())


def _rows(run: Run, besides: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """What says which rows a run was trained on."""
    return tuple(sorted((key, same) for key, same in run.identities.items()
                        if key.startswith("data.") and key not in (*besides, ROOT, ROW_REPEATS)))  # fmt: skip


def _pooled(runs: Sequence[Run], repeats: str, metric: str) -> SameData | None:
    """The runs with the splits or folds as repeats; None where they have no folds."""
    if repeats == SPLITS:
        return SameData(tuple(runs), SPLITS, where=ABOUT[SPLITS])
    if len({run.fold for run in runs}) < 2:
        return None
    split = split_name(metric)[0]
    found = correlation_of(runs, split)
    where = ABOUT[FOLDS] + {"test": " of the training rows, on this test split", "train": " of the training rows"}.get(
        split, ""
    )
    several = len({run.split for run in runs}) > 1
    return None if found is None else SameData(tuple(runs), FOLDS, found, where, several)


def correlation_of(runs: Sequence[Run], split: str) -> float | None:
    """The correlation of two values of different folds, as the corrected resampled t-test needs it.

    On the validation split it is the share of the rows that are evaluated (Nadeau and Bengio 2003). All folds are
    tested on the same rows, so there what varies is the training rows alone, and the correlation is the share of these
    that two folds have in common: (k - 2) / (k - 1) for k folds, which makes the mean's variance that of the jackknife
    that leaves out one fold at a time, and the share of the rows that train for repeated folds and draws.

    Args:
        runs: Runs on folds.
        split: The split of the metric.

    Returns:
        The correlation; None where the sizes of the splits are not known.
    """
    first = runs[0].config
    k, is_kfold = first.get("data.folds"), first.get("data.resampling") in ("kfold", "repeated_kfold")
    sizes = [run.sizes for run in runs if run.sizes is not None]
    equal_parts = first.get("data.resampling") == "kfold" and first.get("data.time") is None  # no growing window
    if split != "val" and isinstance(k, int) and equal_parts:
        return (k - 2) / (k - 1)
    shares = [evaluated_share(*of_run) for of_run in sizes]
    evaluated = max(shares, default=1 / k if k and is_kfold else None)
    if evaluated is None or split == "val":
        return evaluated
    return 1 - min(shares, default=evaluated)


def _can_be_pooled(data: SameData, usable: Sequence[Run], by: Sequence[str]) -> bool:
    digests = {run.data for run in data.runs}
    places = {(place, run.same(SCALING)) for run in data.runs if (place := data.place_of(run)) is not None}
    if len(places) < len(digests) or None in digests:
        return False  # one split seed and several digests: the rows are not the same
    groups: dict[Place, set[tuple[str, ...]]] = defaultdict(set)
    for run in usable:
        if (place := data.place_of(run)) is not None:
            groups[place].add(tuple(map(run.same, by)))
    enough = min(2, len(set().union(*groups.values())))
    return sum(len(there) >= enough for there in groups.values()) >= FEWEST
