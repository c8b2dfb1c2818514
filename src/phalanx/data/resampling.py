"""Which rows train, validate and test: one split, the folds of a cross-validation, or repeated draws.

Axes: N rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from phalanx.core.errors import DataError
from phalanx.core.quantities import counted
from phalanx.core.seeding import derive
from phalanx.data.grouped_splits import group_folds, hold_out_groups
from phalanx.data.splits import stratified, unstratified
from phalanx.data.time_splits import latest, same_time, time_fold

if TYPE_CHECKING:
    from phalanx.data.base import DataSpec, Raw

_Pair: TypeAlias = tuple[np.ndarray, np.ndarray]
_LARGEST_SEED = 2**32  # of NumPy's, which scikit-learn draws with


@dataclass(frozen=True)
class Places:
    """Row numbers of each split, from 0. Those of the test split count in the official one where there is one."""

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray
    largest_train: int | None = None  # training rows of the largest fold, of those that this one is one of
    notes: tuple[str, ...] = ()  # what looks odd


@dataclass(frozen=True)
class _Parts:
    """Equal parts into which rows are to be divided."""

    key: str  # of `data` that says how many
    n: int
    where: str  # the rows are, for messages

    def check(self, spec: DataSpec, raw: Raw, rows: np.ndarray) -> None:
        """Raises `DataError` where a part would have no rows, or none of a class that each should have its share of."""
        asked = f"data.{self.key}"
        if self.n > len(rows):
            raise DataError(
                f"{asked}={self.n} is more than the {len(rows)} rows {self.where}; {asked} may be at most {len(rows)}"
            )
        if not spec.stratify:
            return
        labels, counts = np.unique(raw.y[rows], return_counts=True)
        fewest = int(counts.min())
        if self.n <= fewest:
            return
        possible = f"{asked} may be at most {fewest}; " if fewest > 1 else ""
        raise DataError(
            f"{asked}={self.n} is more than the {counted(fewest, 'row')} of class "
            f"{raw.classes[labels[counts.argmin()]]!r} {self.where}; {possible}data.stratify=false divides the "
            "rows whatever their classes"
        )


def split_rows(spec: DataSpec, raw: Raw) -> Places:
    """Divides the rows of a source as its options say.

    The test split is taken first, and is the same for all folds. Raises `DataError` if the rows cannot be divided so.
    """
    rows, outer = np.arange(len(raw.y)), None
    if spec.outer_folds is not None:
        outer = _outer_fold(spec, raw, rows, spec.outer_folds)
    n_official = None if raw.test_y is None else len(raw.test_y)
    n_test, n_val, n_train = _sizes(spec, len(raw.y), n_official, None if outer is None else len(outer[0]))
    if outer is not None:
        test, rest = outer
    elif raw.test_y is None:
        test, rest = _divide(spec, raw, rows, n_test, "test")
    else:
        test, rest = np.arange(len(raw.test_y)), rows
        if spec.n_test is not None:
            test, _ = _hold_out(spec, raw.test_y, test, n_test, "test")
    largest = None
    if spec.has_folds and raw.time is not None:
        val, train = time_fold(raw.time, rest, spec.folds, spec.fold)
    elif spec.has_folds:
        val, train, largest = _fold(spec, raw, rest)
    else:
        val, train = _divide(spec, raw, rest, n_val, f"val/{spec.fold}" if spec.fold else "val")
    wanted = spec.n_train if spec.has_folds or raw.group is not None else n_train
    if wanted is not None and wanted < len(train):
        if raw.time is not None:
            train, _ = latest(raw.time, train, wanted)
        else:
            train, _ = _hold_out(spec, raw.y, train, wanted, "train")
    if largest is not None:
        largest = min(spec.n_train or largest, largest)
    return Places(train, val, test, largest, _notes(raw, train, val, test))


def _outer_fold(spec: DataSpec, raw: Raw, rows: np.ndarray, n_parts: int) -> _Pair:
    """The rows of one of several parts of all rows, and the others. Raises `DataError` where there are no such."""
    asked = f"data.outer_folds={n_parts}"
    if raw.test_y is not None:
        raise DataError(
            f"{asked} has each part of the rows test in turn, and data={spec.name} has a test split of its own; "
            "try data.outer_folds=null"
        )
    seed = derive(spec.split_seed, "outer") % _LARGEST_SEED
    parts = _Parts("outer_folds", n_parts, "of the source")
    if raw.group is not None:
        folds = group_folds(raw.y, raw.group, n_parts, seed, _asked(spec), stratify=spec.stratify, key=parts.key)
        others, part = list(folds)[spec.outer_fold]
        return rows[part], rows[others]
    others, part = _part_of(parts, spec, raw, rows, seed, spec.outer_fold)
    return rows[part], rows[others]


def _notes(raw: Raw, train: np.ndarray, val: np.ndarray, test: np.ndarray) -> tuple[str, ...]:
    """Rows whose time is that of a row on the other side."""
    if raw.time is None:
        return ()
    sides = [("validation", val, train)]
    if raw.test_y is None:
        sides.append(("test", test, np.concatenate([train, val])))
    return tuple(
        f"{n} of {len(later)} {name} rows have the same time as an earlier split's last rows"
        for name, later, earlier in sides
        if (n := same_time(raw.time, earlier, later))
    )


def _divide(spec: DataSpec, raw: Raw, rows: np.ndarray, n_take: int, purpose: str) -> _Pair:
    """About so many of these rows of the source, and the others, by time or by groups where rows have these."""
    if raw.time is not None:
        return latest(raw.time, rows, n_take)
    if raw.group is None:
        return _hold_out(spec, raw.y, rows, n_take, purpose)
    seed = derive(spec.split_seed, "split", purpose) if spec.fold and purpose != "test" else spec.split_seed
    taken, others = hold_out_groups(raw.group[rows], n_take / len(rows), seed % _LARGEST_SEED, _asked(spec))
    return rows[taken], rows[others]


def _asked(spec: DataSpec) -> str:
    """The option that names the groups."""
    return f"data.group={getattr(spec, 'group', None)}"


def _sizes(spec: DataSpec, n_rows: int, n_official: int | None, n_outer: int | None = None) -> tuple[int, int, int]:
    """The sizes of the test, validation and training splits.

    Args:
        spec: The requested sizes.
        n_rows: Rows outside an official test split.
        n_official: Rows of the official test split; None without one.
        n_outer: Rows of the outer fold that tests; None without one.

    Raises:
        DataError: Some sizes are too large; lists all of them.
    """
    faults: list[str] = []
    held_out = 0 if n_official is not None else spec.n_test or 0
    do_not_fit = held_out + (spec.n_val or 0) + (spec.n_train or 0) > n_rows or (spec.n_test or 0) > (
        n_official or n_rows
    )

    def part(key: str, default: int, available: int) -> int:
        asked: int = default if spec.has_folds and key != "n_test" else getattr(spec, key) or default
        if spec.at_most and do_not_fit:
            asked = min(asked, default)
        if asked <= available:
            return asked
        fits = max(available // 2, 1)
        faults.append(
            f"data.{key} must be at most {max(available, 0)} with data={spec.name} and the other splits, "
            f"got {asked}; try data.{key}={fits}"
        )
        return fits

    if n_outer is not None:
        n_test = n_outer
        n_rows -= n_outer
    elif n_official is None:
        n_test = part("n_test", max(1, n_rows // 5), n_rows - 2)
        n_rows -= n_test
    else:
        n_test = part("n_test", n_official, n_official)
    n_val = part("n_val", max(1, n_rows // 5), n_rows - 1)
    n_train = part("n_train", n_rows - n_val, n_rows - n_val)
    if faults:
        raise DataError("\n".join(faults))
    return n_test, n_val, n_train


def _hold_out(spec: DataSpec, y_N: np.ndarray, rows: np.ndarray, n_take: int, purpose: str) -> _Pair:
    """A sample of the rows, and the others."""
    divide = stratified if spec.stratify else unstratified
    taken, others = divide(y_N[rows], n_take, spec.split_seed, purpose)
    return rows[taken], rows[others]


def _fold(spec: DataSpec, raw: Raw, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """The rows of a fold, which validate, those that train, and how many train in the largest fold."""
    parts = _Parts("folds", spec.folds, "outside the test split")
    repeat, number = divmod(spec.fold, spec.folds)
    if raw.group is not None:
        parts.check(spec, raw, rows)
        n_repeats = spec.n_folds // spec.folds
        every = [list(_group_folds(spec, raw.y[rows], raw.group[rows], i)) for i in range(n_repeats)]
        others, part = every[repeat][number]
        return rows[part], rows[others], max(len(train) for folds in every for train, _ in folds)
    others, part = _part_of(parts, spec, raw, rows, _seed_of(spec, repeat), number)
    return rows[part], rows[others], len(rows) - len(rows) // spec.folds


def _part_of(parts: _Parts, spec: DataSpec, raw: Raw, rows: np.ndarray, seed: int, number: int) -> _Pair:
    """The places of the rows outside one of several equal parts, and of those in it."""
    from sklearn.model_selection import KFold, StratifiedKFold

    parts.check(spec, raw, rows)
    kind = (StratifiedKFold if spec.stratify else KFold)(parts.n, shuffle=True, random_state=seed)
    others, part = next(islice(kind.split(rows, raw.y[rows]), number, None))
    return others, part


def _group_folds(spec: DataSpec, y_N: np.ndarray, group_N: np.ndarray, repeat: int) -> Iterator[_Pair]:
    return group_folds(y_N, group_N, spec.folds, _seed_of(spec, repeat), _asked(spec), stratify=spec.stratify)


def _seed_of(spec: DataSpec, repeat: int) -> int:
    """The seed of one of several cross-validations."""
    return (derive(spec.split_seed, "folds", repeat) if repeat else spec.split_seed) % _LARGEST_SEED
