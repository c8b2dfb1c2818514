"""What makes the accuracy on a data set mean less than it seems. Axes: N rows, D features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from phalanx.core.advice import override
from phalanx.core.errors import listed

if TYPE_CHECKING:
    import pandas as pd

_MAJORITY = 0.9  # of the rows
_IMBALANCE = 4  # from which the largest class is said to have many times the samples of the smallest
_REPEATED = 0.1  # of a split
_FEW_ROWS = 20  # which an input sorts by chance
_SAMPLE = 500  # rows by which most columns are known not to tell the class
_ROWS_A_TEXT = 5  # a text of fewer rows tells their class by chance
_SHOWN = 3


def class_doubts(y_N: np.ndarray, classes: Sequence[str]) -> list[str]:
    """A class that most rows have, one with a few of the rows of another, and classes that may be one.

    Args:
        y_N: The class of each row.
        classes: Their names.
    """
    counts = np.bincount(y_N, minlength=len(classes))
    share, notes = counts.max() / len(y_N), []
    if share >= _MAJORITY:
        name = classes[int(counts.argmax())]
        notes.append(f"{share:.1%} of the rows have the class {name!r}: whoever always says so has that accuracy")
    most, least = (int(find(np.where(counts > 0, counts, counts.max()))) for find in (np.argmax, np.argmin))
    if counts[most] > _IMBALANCE * counts[least]:
        notes.append(
            f"class {classes[most]!r} has {counts[most]:,} samples and class {classes[least]!r} {counts[least]:,}, "
            "of which an accuracy hides the rare one: objective=val_balanced_accuracy counts both the same, and "
            "loss.class_weights=balanced trains so"
        )
    alike: dict[str, list[str]] = {}
    for name in classes:
        alike.setdefault("".join(name.split()).casefold(), []).append(name)
    if same := [listed(list(map(repr, names))) for names in alike.values() if len(names) > 1]:
        more = f" and {len(same) - _SHOWN} more" if len(same) > _SHOWN else ""
        notes.append(f"classes that differ only by case or space: {'; '.join(same[:_SHOWN])}{more}; if they are the "
                     "same, write them alike")  # fmt: skip
    return notes


def repeated_rows(train_ND: np.ndarray, others: Mapping[str, np.ndarray]) -> list[str]:
    """A note if many rows of other splits have the inputs of a training row.

    Args:
        train_ND: Encoded training rows.
        others: Encoded rows of the other splits, by name.
    """
    known = set(map(bytes, np.ascontiguousarray(train_ND)))
    found = {name: sum(bytes(row) in known for row in np.ascontiguousarray(x)) for name, x in others.items()}
    if not any(n >= _REPEATED * len(others[name]) for name, n in found.items()):
        return []
    counts = " and ".join(f"{n:,} of {len(others[name]):,} {name} rows" for name, n in found.items())
    return [f"{counts} have the same inputs as a training row: their accuracy says how well rows are remembered"]


def telling_columns(x: pd.DataFrame, y_N: np.ndarray, dropped: Sequence[str]) -> list[str]:
    """Notes about columns that alone tell the class: numbers of rows in a file that is sorted by class, and others.

    Args:
        x: The rows in the order of the file.
        y_N: The class of each row.
        dropped: The columns that are left out already.
    """
    if len(x) < _FEW_ROWS:
        return []
    counters, telling = [], []
    for name, column in x.items():
        if column.dtype.kind in "iuf" and _counts_sorted(column.to_numpy(), y_N):
            counters.append(str(name))
        elif _tells(column, y_N):
            telling.append(str(name))
    notes = []
    if counters:
        notes.append(f"{_columns(counters, 'counts', 'count')} the rows, which are sorted by class: in new rows that "
                     f"says nothing, so type {override('data.drop', [*dropped, *counters])}")  # fmt: skip
    if telling:
        drop = override("data.drop", [*dropped, *counters, *telling])
        notes.append(f"{_columns(telling, 'alone tells', 'each alone tell')} the class of every row; if that is made "
                     f"from the class, or not known of new rows, type {drop}")  # fmt: skip
    return notes


def _columns(names: Sequence[str], one: str, many: str) -> str:
    shown = listed(list(map(repr, names)), _SHOWN)
    return f"column {shown} {one}" if len(names) == 1 else f"{len(names)} columns ({shown}) {many}"


def _counts_sorted(values_N: np.ndarray, y_N: np.ndarray) -> bool:
    """Whether a column grows from row to row by one, or falls, and neighbouring rows mostly have one class."""
    steps = np.diff(values_N)
    if not (abs(steps[0]) == 1 and (steps == steps[0]).all()):
        return False
    shares = np.bincount(y_N) / len(y_N)
    by_chance = (len(y_N) - 1) * (1 - (shares**2).sum())
    return bool((np.diff(y_N) != 0).sum() <= 0.1 * by_chance)


def _tells(column: pd.Series, y_N: np.ndarray) -> bool:
    """Whether each class has an interval of a column's numbers to itself, or each text belongs to one class."""
    if column.dtype.kind not in "iufb":
        return _texts_tell(column, y_N)
    values_N = column.to_numpy(np.float64)
    given_N = ~np.isnan(values_N)
    step = max(1, len(y_N) // _SAMPLE)
    return given_N.all() and _has_intervals(values_N[::step], y_N[::step]) and _has_intervals(values_N, y_N)


def _has_intervals(values_N: np.ndarray, y_N: np.ndarray) -> bool:
    order = np.argsort(values_N, kind="stable")
    is_change = np.diff(y_N[order]) != 0
    is_tied = np.diff(values_N[order]) == 0
    return bool(is_change.sum() == len(np.unique(y_N)) - 1 and not (is_change & is_tied).any())


def _texts_tell(column: pd.Series, y_N: np.ndarray) -> bool:
    import pandas as pd

    place_N, texts = pd.factorize(column, use_na_sentinel=False)
    if not 1 < len(texts) <= len(y_N) / _ROWS_A_TEXT:
        return False
    return len(np.unique(place_N.astype(np.int64) * (y_N.max() + 1) + y_N)) == len(texts)
