"""Splits that keep the rows of a group on one side, by scikit-learn. Axes: N rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from phalanx.core.errors import DataError
from phalanx.core.quantities import counted


def hold_out_groups(group_N: np.ndarray, share: float, seed: int, asked: str) -> tuple[np.ndarray, np.ndarray]:
    """Draws groups as `GroupShuffleSplit(random_state=seed)`; returns the places of their rows and of the others.

    Args:
        group_N: The group of each row, as whole numbers.
        share: How many of the groups to draw, above 0 and below 1; at least one is drawn and one left.
        seed: The seed, below 2**32.
        asked: The option that names the groups, for messages.

    Raises:
        DataError: There is one group only.
    """
    from sklearn.model_selection import GroupShuffleSplit

    n_groups = len(np.unique(group_N))
    if n_groups < 2:
        raise DataError(
            f"{asked} has too few groups for a training, a validation and a test split, whose rows must be of "
            f"different ones: {n_groups} is left to divide; take a column with more groups, or none: data.group=null"
        )
    n_take = min(max(round(share * n_groups), 1), n_groups - 1)
    divide = GroupShuffleSplit(1, test_size=n_take, random_state=seed)
    others, taken = next(divide.split(group_N, groups=group_N))
    return taken, others


def group_folds(
    y_N: np.ndarray,
    group_N: np.ndarray,
    n_folds: int,
    seed: int,
    asked: str,
    *,
    stratify: bool,
    key: str = "folds",
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The places of the rows that train and that validate, of each fold of `StratifiedGroupKFold` or `GroupKFold`.

    Args:
        y_N: The class of each row.
        group_N: The group of each row, as whole numbers.
        n_folds: The number of folds.
        seed: The seed of the shuffle, below 2**32.
        asked: The option that names the groups, for messages.
        stratify: Whether folds get their share of each class as far as the groups allow it.
        key: The option of `data` that says how many folds, for messages.

    Raises:
        DataError: There are fewer groups than folds, or a fold would have no rows.
    """
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    n_groups = len(np.unique(group_N))
    if n_folds > n_groups:
        most = f"data.{key} may be at most {n_groups}" if n_groups > 1 else "take a column with more groups"
        raise DataError(
            f"data.{key}={n_folds} is more than the {counted(n_groups, 'group')} of {asked}"
            f"{' outside the test split' if key == 'folds' else ''}; {most}"
        )
    kind = StratifiedGroupKFold if stratify else GroupKFold
    for others, part in kind(n_folds, shuffle=True, random_state=seed).split(group_N, y_N, group_N):
        if not len(part):
            raise DataError(
                f"data.{key}={n_folds}: a fold would have none of the {n_groups} groups of {asked}; try fewer folds, "
                "or data.stratify=false, which divides the groups whatever their classes"
            )
        yield others, part
