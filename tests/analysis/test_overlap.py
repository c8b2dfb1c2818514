"""The correlation of folds and draws, against a count of all pairs; a grid over outer folds."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from sklearn.model_selection import KFold, RepeatedKFold, ShuffleSplit
from support.comparisons import compared
from support.run_folders import config, result, stored, write_run

from phalanx.analysis.overlap import correlation_of_values, division_of, divisions_of
from phalanx.analysis.repeats import values_of
from phalanx.core.result import Status
from phalanx.runs.stored_run import DataSummary, SeedResult

LOSSES = ("nll", "mse")
SIZES = {"name": "wine", "source": "w", "n_features": 13, "n_classes": 3}


@pytest.mark.parametrize(
    ("kind", "splitter", "folds", "n"),
    [
        ("kfold", KFold(5, shuffle=True, random_state=0), 5, 5),
        ("repeated_kfold", RepeatedKFold(n_splits=5, n_repeats=3, random_state=0), 5, 15),
        ("repeated_kfold", RepeatedKFold(n_splits=2, n_repeats=5, random_state=0), 2, 10),
        ("shuffle_split", ShuffleSplit(8, test_size=0.2, random_state=0), 5, 8),
    ],
)
def test_pairs_that_can_evaluate_the_same_rows_count_twice(kind, splitter, folds, n):
    parts = [set(part) for _, part in splitter.split(np.zeros(1000))]
    evaluated = len(parts[0]) / 1000
    pairs = list(itertools.combinations(parts, 2))
    odds = np.mean([evaluated / (1 - evaluated) * (2 if a & b else 1) for a, b in pairs])
    found = correlation_of_values(evaluated, [division_of(fold, kind, folds) for fold in range(n)])
    assert found == pytest.approx(odds / (1 + odds))


def test_one_value_has_the_correlation_of_plain_folds():
    assert correlation_of_values(0.2, [0]) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("kind", "folds", "typed", "expected"),
    [("kfold", 5, True, 0.2), ("shuffle_split", 5, True, 1 / 3), ("repeated_kfold", 2, False, 0.25 * 5 / 3)],
)
def test_a_point_of_a_search_has_the_correlation_of_its_folds(tmp_path, kind, folds, typed, expected):
    write_run(tmp_path, result(), config(data__resampling=kind, data__folds=folds))
    rows = [SeedResult(s, Status.COMPLETED, 0.1 * f, {}, 1, 1, None, 0, fold=f) for s in range(2) for f in range(4)]
    overrides = {"data.resampling": kind} if typed else {}
    data = DataSummary("wine", "wine", 80, 20, 25, 13, 3)
    trial = replace(stored(overrides=overrides), repeats=tuple(rows), data=data, folder=tmp_path)
    found = values_of(trial)[1]
    assert found == pytest.approx(expected if typed else expected / (1 + expected))
    assert len(divisions_of(trial)) == 4


def accuracy(loss, split, outer, fold, seed):
    """Of one network; the folds of an outer fold, and its seeds, differ a little."""
    effect = 0.004 * ((7 * outer + 5 * split + 3 * len(loss)) % 6)
    return 0.9 + effect + 0.001 * ((5 * fold + 3 * seed + len(loss)) % 4) + (0.02 if loss == "nll" else 0.0)


def on_outer_folds(root, outer=range(5), folds=(0,), seeds=(0,), splits=(0,), sizes=(96, 24, 30), kind="kfold"):
    """Runs of two losses; each combination of split, outer fold and fold has a digest of its own."""
    for number, at in enumerate(itertools.product(LOSSES, splits, outer, folds, seeds)):
        loss, split, part, fold, seed = at
        own = {"data__outer_folds": 5, "data__outer_fold": part, "data__split_seed": split, "data__fold": fold}
        cfg = config(seed, loss=loss, data__resampling=kind, data__folds=4, **own)
        about = SIZES | dict(zip(("n_train", "n_val", "n_test"), sizes, strict=True)) if sizes else None
        content = result(0.5, seed, test=accuracy(*at), data=f"d{split}/{part}/{fold}")
        write_run(root / str(number), {**content, "data": about}, cfg)
    return root


def by_outer_fold(outer, folds, seeds, splits=(0,)):
    """The differences of the two losses in points, by split and outer fold."""
    return [
        100 * np.mean([accuracy("nll", s, o, f, n) - accuracy("mse", s, o, f, n) for f in folds for n in seeds])
        for s in splits
        for o in outer
    ]


def p_of(away, step, odds):
    """The corrected resampled t-test of differences, with the variance of rounding."""
    spread = math.hypot(np.std(away, ddof=1), step / math.sqrt(12))
    return 2 * stats.t.sf(np.mean(away) / (spread * math.sqrt(1 / len(away) + odds)), len(away) - 1)


@pytest.mark.parametrize("sizes", [(96, 24, 30), None])  # None: of an MLflow store
def test_outer_folds_are_repeats_and_what_varies_inside_them_is_averaged(tmp_path, sizes):
    folds, seeds = range(4), range(2)
    (part,) = compared(on_outer_folds(tmp_path, folds=folds, seeds=seeds, sizes=sizes), "loss").parts
    (pair,) = part.differences
    away = by_outer_fold(range(5), folds, seeds)
    assert (part.where, part.pooled_over, pair.n) == ("over outer folds", ("data.outer_fold",), 5)
    assert pair.mean == pytest.approx(np.mean(away))
    assert pair.p == pytest.approx(p_of(away, pair.step, 30 / 120))
    assert (pair.low > 0) == (pair.p < 0.05)
    assert part.notes[0].endswith("5 in all; its value is the mean over its seeds and over data.fold inside it")
    assert "20 % of the rows are evaluated" in part.notes[1]


def test_outer_folds_of_several_split_seeds_test_each_row_as_often(tmp_path):
    found = compared(on_outer_folds(tmp_path, splits=range(2)), "loss")
    (part,) = found.parts
    (pair,) = part.differences
    away = by_outer_fold(range(5), [0], [0], range(2))
    assert (found.measure.metric, pair.n) == ("test_accuracy", 10)
    assert pair.p == pytest.approx(p_of(away, pair.step, 0.25 * (1 + 25 / 45)))


def test_validation_rows_of_several_outer_folds_are_draws(tmp_path):
    folder = on_outer_folds(tmp_path, folds=range(4))
    (part,) = compared(folder, "loss", metric="val_accuracy").parts
    assert (part.where, part.differences[0].n) == ("over folds", 20)
    pairs_of_one, pairs = 5 * 6, 190
    odds = 0.25 * (2 - pairs_of_one / pairs)
    assert part.differences[0].correlation == pytest.approx(odds / (1 + odds))


def test_folds_of_several_splits_are_averaged_where_the_split_tests(tmp_path):
    folder = on_outer_folds(tmp_path, outer=[0], folds=range(4), splits=range(3))
    (part,) = compared(folder, "loss", metric="test_accuracy").parts
    assert (part.where, part.repeats, part.differences[0].n) == ("over splits", "splits", 3)
    assert part.averaged_over == ("data.fold",)


def test_what_outer_folds_cannot_be_pooled_is_compared_apart(tmp_path):
    two = compared(on_outer_folds(tmp_path / "two", outer=range(2)), "loss")
    assert [part.data for part in two.parts] == ["digits data.outer_fold=0", "digits data.outer_fold=1"]
    assert "splits or folds (data.outer_fold) become repeats of one comparison where 3 or more" in two.notes[-1]
    by = compared(on_outer_folds(tmp_path / "by"), "loss", "data.outer_fold")
    assert (len(by.parts), "become repeats" in by.notes[-1]) == (5, False)
    (part,) = compared(tmp_path / "by", "loss", where=["data.outer_fold=3"]).parts
    assert part.where == "on this split"


def test_a_group_on_few_outer_folds_is_told_to_train_on_more_of_them(tmp_path):
    write_run(on_outer_folds(tmp_path) / "99", result(0.5, test=0.9, data="d0/0/0"),
              config(loss="one_vs_all", data__outer_folds=5, data__outer_fold=0, data__split_seed=0, data__fold=0,
                     data__resampling="kfold", data__folds=4))  # fmt: skip
    (part,) = compared(tmp_path, "loss").parts
    assert "fewer than 3 folds tell nothing; train again with 'data.outer_fold=range(5)'" in part.notes


def test_training_metrics_over_outer_folds_are_as_alike_as_their_rows(tmp_path):
    (part,) = compared(on_outer_folds(tmp_path), "loss", metric="best_epoch").parts
    assert part.differences[0].correlation == pytest.approx(3 / 4)
    assert "of which two folds share 75 %" in part.notes[1]
