"""Splits in the order of time: what trains is before what validates, and that before what tests. Axes: N rows."""

from __future__ import annotations

from itertools import islice

import numpy as np

from phalanx.core.errors import DataError


def latest(time_N: np.ndarray, rows: np.ndarray, n_take: int) -> tuple[np.ndarray, np.ndarray]:
    """The latest rows and the others, both in the order of time. Rows of one time keep their order.

    Args:
        time_N: The time of each row of the source, as numbers.
        rows: The rows to divide.
        n_take: How many to take.
    """
    ordered = _in_order(time_N, rows)
    return ordered[len(ordered) - n_take :], ordered[: len(ordered) - n_take]


def time_fold(time_N: np.ndarray, rows: np.ndarray, n_folds: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows that validate in a fold of `TimeSeriesSplit`, and those before them, which train.

    Args:
        time_N: The time of each row of the source, as numbers.
        rows: The rows to divide.
        n_folds: The number of folds, each of which follows the last one.
        number: Which of them, from 0.

    Raises:
        DataError: There are fewer rows than parts.
    """
    from sklearn.model_selection import TimeSeriesSplit

    if n_folds >= len(rows):
        raise DataError(
            f"data.folds={n_folds} needs {n_folds + 1} rows in the order of time, and {len(rows)} are outside the test "
            f"split; data.folds may be at most {len(rows) - 1}"
        )
    ordered = _in_order(time_N, rows)
    before, part = next(islice(TimeSeriesSplit(n_folds).split(ordered), number, None))
    return ordered[part], ordered[before]


def same_time(time_N: np.ndarray, earlier: np.ndarray, later: np.ndarray) -> int:
    """How many of the later rows have the time of an earlier one."""
    return int(np.isin(time_N[later], time_N[earlier]).sum())


def _in_order(time_N: np.ndarray, rows: np.ndarray) -> np.ndarray:
    in_time: np.ndarray = rows[np.argsort(time_N[rows], kind="stable")]
    return in_time
