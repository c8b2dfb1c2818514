"""Sources of variance, against mean squares of the analysis of variance written out, and against known variances."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from phalanx.analysis.variance import sources_of_variance


def values_of(x_GFS: np.ndarray) -> dict:
    """By ((split, fold), seed)."""
    return {((g, f), s): x_GFS[g, f, s] for g, f, s in itertools.product(*map(range, x_GFS.shape))}


def mean_squares(x_FS: np.ndarray) -> tuple[float, float, float]:
    """Of rows, of columns and of what is left, in a table of two factors with one value a cell."""
    n_rows, n_columns = x_FS.shape
    mean, rows_F, columns_S = x_FS.mean(), x_FS.mean(1), x_FS.mean(0)
    left = sum(
        (x_FS[f, s] - rows_F[f] - columns_S[s] + mean) ** 2 for f in range(n_rows) for s in range(n_columns)
    ) / ((n_rows - 1) * (n_columns - 1))  # fmt: skip
    of_rows = n_columns * ((rows_F - mean) ** 2).sum() / (n_rows - 1)
    return of_rows, n_rows * ((columns_S - mean) ** 2).sum() / (n_columns - 1), left


@pytest.mark.parametrize("places", ["folds", "splits"])
def test_two_factors_are_those_of_the_mean_squares(places):
    x_FS = np.random.default_rng(3).normal(size=(5, 4)) + np.arange(5)[:, None]
    rows, columns, left = mean_squares(x_FS)
    found = sources_of_variance({(f, s): x_FS[f, s] for f in range(5) for s in range(4)}, places)
    assert [(source.name, source.levels) for source in found] == [(places, 5), ("seeds", 4)]
    assert found[0].std ** 2 == pytest.approx((rows - left) / 4)
    assert found[1].std ** 2 == pytest.approx((columns - left) / 5 + left)  # all that a seed changes on one fold
    assert found[1].std ** 2 == pytest.approx(np.mean([np.var(row, ddof=1) for row in x_FS]))


def test_three_factors_are_those_of_the_mean_squares():
    x_GFS = np.random.default_rng(4).normal(size=(3, 4, 5))
    x_GFS += 3 * np.arange(3)[:, None, None] + np.random.default_rng(5).normal(size=(3, 4, 1))
    of_splits, _, split_by_seed = (4 * square for square in mean_squares(x_GFS.mean(1)))
    of_folds, _, left = np.mean([mean_squares(x_FS) for x_FS in x_GFS], axis=0)
    splits, folds, seeds = sources_of_variance(values_of(x_GFS), "folds")
    assert splits.std**2 == pytest.approx((of_splits - of_folds - split_by_seed + left) / 20)
    assert folds.std**2 == pytest.approx((of_folds - left) / 5)
    assert seeds.std**2 == pytest.approx(x_GFS.var(2, ddof=1).mean())


def test_simulated_sources_are_found():
    rng, n = np.random.default_rng(6), 200
    x_GFS = 3 * rng.normal(size=(n, 1, 1)) + 2 * rng.normal(size=(n, 5, 1)) + rng.normal(size=(n, 5, 3))
    seeds_S = 0.5 * rng.normal(size=3)
    found = sources_of_variance(values_of(x_GFS + seeds_S), "folds")
    expected = [3, 2, np.sqrt(1 + seeds_S.var(ddof=1))]
    assert [source.std for source in found] == pytest.approx(expected, rel=0.05)


def test_a_source_with_one_level_is_none_and_a_missing_value_leaves_none():
    values = {(fold, 0): float(fold) for fold in range(4)}
    (only,) = sources_of_variance(values, "folds")
    assert (only.name, only.levels, only.std) == ("folds", 4, pytest.approx(np.std(range(4), ddof=1)))
    assert sources_of_variance({**values, (0, 1): 1.0}, "folds") == ()
    assert sources_of_variance({}, "folds") == ()
    alternating = {(fold, seed): float((fold + seed) % 2) for fold in range(4) for seed in range(4)}
    assert sources_of_variance(alternating, "folds")[0].std == 0  # an estimate below zero
