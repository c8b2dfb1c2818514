"""Runs on the same data: on one split, or on several splits or folds of the same rows, which are repeats."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from phalanx.analysis.compare.run import FOLD, OUTER, ROW_REPEATS, SPLIT, Run
from phalanx.analysis.overlap import PLAIN, REPEATED, correlation_of_values, division_of
from phalanx.analysis.statistics import FEWEST, FOLDS, SEEDS, SPLITS, Place, Repeat
from phalanx.analysis.student import evaluated_share
from phalanx.analysis.wording import ABOUT
from phalanx.core.metrics import split_name

SCALING = "data.scaling"  # leaves the rows and their splits as they are
ROOT = "data.root"  # where files lie on one machine says nothing about their rows
OVER_OUTER_FOLDS = "over outer folds"  # what intervals are about where each outer fold tests
_SAME_ROWS = {"test": " of the training rows, on this test split", "train": " of the training rows"}  # by split


@dataclass(frozen=True)
class SameData:
    """Runs that are compared with each other: on one split, or on several splits or folds that count as repeats."""

    runs: tuple[Run, ...]
    repeats: str = SEEDS
    correlation: float = 0.0  # of the values of two folds
    where: str = ABOUT[SEEDS]  # what intervals over the repeats are about
    pooled_over: tuple[str, ...] = ()  # the keys that make the repeats
    averaged_over: tuple[str, ...] = ()  # besides seeds, the keys over which the value of a repeat is a mean
    evaluated: float | None = None  # the share of the rows that each fold evaluates, where these are its own rows

    def place_of(self, run: Run) -> Place | None:
        """The split or the fold of a run where these are the repeats; several numbers where several keys make them."""
        return _numbers(run, self.pooled_over)

    def repeat_of(self, run: Run) -> Repeat:
        """What a run's value is paired by."""
        place = self.place_of(run)
        if place is None:
            return run.seed
        inner = [number for key in self.averaged_over if (number := run.number(key)) is not None]
        return place, (run.seed, *inner) if inner else run.seed


def _numbers(run: Run, keys: Sequence[str]) -> Place | None:
    """The values of keys that count, for one key the number itself; None without keys and where one is not known."""
    found = [number for key in keys if (number := run.number(key)) is not None]
    if not keys or len(found) < len(keys):
        return None
    return found[0] if len(found) == 1 else tuple(found)


@dataclass(frozen=True)
class _Kind:
    """One way to take runs on several splits or folds for repeats, if they differ in one of the keys `needed`."""

    repeats: str
    keys: tuple[str, ...]  # of which those that differ make the repeats
    needed: tuple[str, ...]
    averaged: tuple[str, ...] = ()  # keys over which the value of a repeat is a mean


_EVALUATED_BY_FOLDS = (
    _Kind(FOLDS, (SPLIT, OUTER, FOLD), needed=(OUTER, FOLD)),
    _Kind(SPLITS, (SPLIT,), needed=(SPLIT,)),
)
_OTHERWISE = (  # folds of one split, and of one outer fold, have the same test rows
    _Kind(FOLDS, (SPLIT, OUTER), needed=(OUTER,), averaged=(FOLD,)),
    _Kind(SPLITS, (SPLIT,), needed=(SPLIT,), averaged=(FOLD,)),
    _Kind(FOLDS, (FOLD,), needed=(FOLD,)),
)


def by_data(runs: Sequence[Run], usable: Sequence[Run], by: Sequence[str], metric: str) -> list[SameData]:
    """Puts runs on the same data together.

    Runs on one split have the same digest of their data. Runs whose keys of the data differ in the fold, the outer fold
    or the split's seed alone are pooled, if three of these or more hold runs of at least two groups. On the validation
    split each fold is a repeat, and folds of several split seeds or outer folds are repeats too. On the test split each
    outer fold is a repeat, else each split, else each fold; folds inside an outer fold or a split have the same test
    rows, so their mean is its value. Runs that differ in `data.scaling` have the same rows, and are put together if it
    makes the groups.

    Args:
        runs: All runs.
        usable: Those of them that have a value.
        by: The keys that make the groups; nothing is pooled if a fold or the split's seed is one of them.
        metric: The metric of the values.
    """
    left = list(runs)
    made: dict[str | None, SameData] = {}
    split = split_name(metric)[0]
    scaling = (SCALING,) if SCALING in by else ()
    for kind in (_EVALUATED_BY_FOLDS if split == "val" else _OTHERWISE) if not {SPLIT, OUTER, FOLD} & {*by} else ():
        for together in _alike(left, (*kind.keys, *kind.averaged, *scaling)):
            found = _pooled(together, kind, split)
            digests = {run.data for run in together}
            if found is not None and _can_be_pooled(found, [run for run in usable if run.data in digests], by):
                made |= dict.fromkeys(digests, found)
        left = [run for run in left if run.data not in made]
    for members in _scaled_otherwise(left) if scaling else _of_one_digest(left):
        made |= dict.fromkeys((run.data for run in members), SameData(tuple(members)))
    return list({id(made[run.data]): made[run.data] for run in runs}.values())


def apart(data: Sequence[SameData], by: Sequence[str]) -> list[str]:
    """A note on splits or folds of the same rows that are no repeats, being too few.

    Args:
        data: What `by_data` returned.
        by: The keys that make the groups.
    """
    firsts = [same.runs[0] for same in data]
    keys = [key for key in (SPLIT, OUTER, FOLD) if len({run.same(key) for run in firsts}) > 1]
    if not keys or {SPLIT, OUTER, FOLD} & {*by} or len({_rows(run, keys) for run in firsts}) > 1:
        return []
    return [f"splits or folds ({', '.join(keys)}) become repeats of one comparison where {FEWEST} or more of them hold "
            "runs of two groups"]  # fmt: skip


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


def _pooled(runs: Sequence[Run], kind: _Kind, split: str) -> SameData | None:
    """The runs with the splits or folds as repeats; None where they differ in no key that this needs."""
    differ = tuple(key for key in (*kind.keys, *kind.averaged) if len({run.number(key) for run in runs}) > 1)
    if not {*differ} & {*kind.needed}:
        return None
    keys = tuple(key for key in kind.keys if key in differ)
    averaged = tuple(key for key in kind.averaged if key in differ)
    if kind.repeats == SPLITS:
        return SameData(tuple(runs), SPLITS, 0.0, ABOUT[SPLITS], keys, averaged)
    found = correlation_of(runs, split, keys)
    if found is None:
        return None
    where = OVER_OUTER_FOLDS if OUTER in keys and split != "val" else ABOUT[FOLDS] + _SAME_ROWS.get(split, "")
    evaluated = _evaluated(runs, keys, split) if _has_own_rows(keys, split) else None
    return SameData(tuple(runs), FOLDS, found, where, keys, averaged, evaluated)


def correlation_of(runs: Sequence[Run], split: str, keys: Sequence[str] = (FOLD,)) -> float | None:
    """The correlation of two values of different folds, as the corrected resampled t-test needs it.

    Folds that are evaluated on rows of their own have that of `phalanx.analysis.overlap.correlation_of_values`. Others
    are all tested on the same rows, so there what varies is the training rows alone, and the correlation is the share
    of these that two folds have in common: (k - 2) / (k - 1) for k folds, which makes the mean's variance that of the
    jackknife that leaves out one fold at a time, and the share of the rows that train for repeated folds and draws.

    Args:
        runs: Runs on folds.
        split: The split of the metric.
        keys: The keys that make the folds.

    Returns:
        The correlation; None where the sizes of the splits are not known.
    """
    if _has_own_rows(keys, split):
        evaluated = _evaluated(runs, keys, split)
        divisions = {_numbers(run, keys): _division(run, split) for run in runs}
        return None if evaluated is None else correlation_of_values(evaluated, list(divisions.values()))
    first = runs[0].config
    equal_parts = first.get("data.resampling") == PLAIN and first.get("data.time") is None  # no growing window
    if OUTER in keys:
        equal_parts = SPLIT not in keys
    k = first.get("data.outer_folds" if OUTER in keys else "data.folds")
    if isinstance(k, int) and equal_parts:
        return (k - 2) / (k - 1)
    shares = _shares(runs, OUTER in keys)
    evaluated = _evaluated(runs, keys, split)
    return None if evaluated is None else 1 - min(shares, default=evaluated)


def _has_own_rows(keys: Sequence[str], split: str) -> bool:
    """Whether each fold is evaluated on rows of its own."""
    return split == "val" or (OUTER in keys and split == "test")


def _shares(runs: Sequence[Run], outer: bool) -> list[float]:
    """The shares of the rows that each fold leaves out of its training: of all rows, or of those outside the test
    split. Empty where sizes are not known."""
    sizes = [run.sizes for run in runs if run.sizes is not None]
    return [evaluated_share(train + val, test) if outer else evaluated_share(train, val) for train, val, test in sizes]


def _evaluated(runs: Sequence[Run], keys: Sequence[str], split: str) -> float | None:
    """The largest of these shares; None where it is not known."""
    outer, config = OUTER in keys and split != "val", runs[0].config
    k = config.get("data.outer_folds" if outer else "data.folds")
    known = outer or config.get("data.resampling") in (PLAIN, REPEATED)
    return max(_shares(runs, outer), default=1 / k if known and isinstance(k, int) else None)


def _division(run: Run, split: str) -> tuple[int | None, ...]:
    """The division of the rows that a run's fold belongs to: no two folds of one evaluate the same row."""
    if split != "val":
        return (run.number(SPLIT),)
    of_folds = division_of(run.number(FOLD) or 0, run.config.get("data.resampling"), run.config.get("data.folds"))
    return run.number(SPLIT), run.number(OUTER), of_folds


def _can_be_pooled(data: SameData, usable: Sequence[Run], by: Sequence[str]) -> bool:
    digests = {run.data for run in data.runs}
    keys = (*data.pooled_over, *data.averaged_over)
    places = {(place, run.same(SCALING)) for run in data.runs if (place := _numbers(run, keys)) is not None}
    if len(places) < len(digests) or None in digests:
        return False  # one split seed and several digests: the rows are not the same
    groups: dict[Place, set[tuple[str, ...]]] = defaultdict(set)
    for run in usable:
        if (place := data.place_of(run)) is not None:
            groups[place].add(tuple(map(run.same, by)))
    enough = min(2, len(set().union(*groups.values())))
    return sum(len(there) >= enough for there in groups.values()) >= FEWEST
