"""Which rows train, validate and test: one split, the folds of a cross-validation, or repeated draws.

Axes: N rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from phalanx.core.errors import DataError
from phalanx.core.quantities import counted
from phalanx.core.seeding import derive
from phalanx.data.splits import stratified, unstratified

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


def split_rows(spec: DataSpec, raw: Raw) -> Places:
    """Divides the rows of a source as its options say.

    The test split is taken first, and is the same for all folds. Raises `DataError` if the rows cannot be divided so.
    """
    n_test, n_val, n_train = _sizes(spec, len(raw.y), None if raw.test_y is None else len(raw.test_y))
    rows = np.arange(len(raw.y))
    if raw.test_y is None:
        test, rest = _hold_out(spec, raw.y, rows, n_test, "test")
    else:
        test, rest = np.arange(len(raw.test_y)), rows
        if spec.n_test is not None:
            test, _ = _hold_out(spec, raw.test_y, test, n_test, "test")
    largest = None
    if spec.has_folds:
        val, train = _fold(spec, raw, rest)
        largest = min(spec.n_train or len(rest), len(rest) - len(rest) // spec.folds)
    else:
        val, train = _hold_out(spec, raw.y, rest, n_val, f"val/{spec.fold}" if spec.fold else "val")
    wanted = spec.n_train if spec.has_folds else n_train
    if wanted is not None and wanted < len(train):
        train, _ = _hold_out(spec, raw.y, train, wanted, "train")
    return Places(train, val, test, largest)


def _sizes(spec: DataSpec, n_rows: int, n_official: int | None) -> tuple[int, int, int]:
    """The sizes of the test, validation and training splits.

    Args:
        spec: The requested sizes.
        n_rows: Rows outside an official test split.
        n_official: Rows of the official test split; None without one.

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

    if n_official is None:
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


def _fold(spec: DataSpec, raw: Raw, rows: np.ndarray) -> _Pair:
    """The rows of a fold, which validate, and those that train."""
    from sklearn.model_selection import KFold, StratifiedKFold

    if spec.folds > len(rows):
        raise DataError(f"data.folds={spec.folds} is more than the {len(rows)} rows outside the test split")
    if spec.stratify:
        _check_class_sizes(spec, raw, rows)
    repeat, number = divmod(spec.fold, spec.folds)
    seed = (derive(spec.split_seed, "folds", repeat) if repeat else spec.split_seed) % _LARGEST_SEED
    folds = (StratifiedKFold if spec.stratify else KFold)(spec.folds, shuffle=True, random_state=seed)
    others, part = next(islice(folds.split(rows, raw.y[rows]), number, None))
    return rows[part], rows[others]


def _check_class_sizes(spec: DataSpec, raw: Raw, rows: np.ndarray) -> None:
    """Raises `DataError` where a fold would have none of a class."""
    labels, counts = np.unique(raw.y[rows], return_counts=True)
    fewest = int(counts.min())
    if spec.folds <= fewest:
        return
    possible = f"data.folds may be at most {fewest}; " if fewest > 1 else ""
    raise DataError(
        f"data.folds={spec.folds} is more than the {counted(fewest, 'row')} of class "
        f"{raw.classes[labels[counts.argmin()]]!r} outside the test split; {possible}data.stratify=false divides the "
        "rows whatever their classes"
    )
