"""Runs on folds: paired by fold and seed, with the corrected resampled t-test, against its formula by hand."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from support.comparisons import compared
from support.run_folders import config, result, write_run

from phalanx.analysis.compare.splits import correlation_of
from phalanx.analysis.compare.tables import differences_csv, groups_csv, markdown
from phalanx.analysis.statistics import compare, paired, summarise

EFFECT = {"nll": [0.0, 0.01, 0.02, 0.0, 0.01, 0.03], "mse": [-0.02, 0.0, -0.01, -0.01, 0.0, 0.005]}
GAINS = [0.8, 0.1, 1.4, -0.3, 0.9]


def accuracy(loss, fold, seed):
    return 0.9 + EFFECT[loss][fold % 6] + 0.001 * ((7 * fold + 3 * seed + len(loss)) % 5)


def on_folds(root, folds=range(5), seeds=range(2), kind="kfold", sizes=(800, 200), splits=(0,), losses=EFFECT):
    """Runs of two losses on folds of one data set or several split seeds, each with a digest of its own."""
    rows = [(loss, split, fold, seed) for loss in losses for split in splits for fold in folds for seed in seeds]
    for number, (loss, split, fold, seed) in enumerate(rows):
        value = accuracy(loss, fold + split, seed)
        cfg = config(seed, loss=loss, data__fold=fold, data__resampling=kind, data__folds=5, data__split_seed=split)
        about = {"name": "digits", "source": "s", "n_test": 360, "n_features": 64, "n_classes": 10}
        about |= dict(zip(("n_train", "n_val"), sizes, strict=True)) if sizes else {}
        content = result(value, seed, test=value / 2, data=f"d{split}/{fold}")
        write_run(root / str(number), {**content, "data": about if sizes else None}, cfg)
    return root


def means(loss, folds=range(5), seeds=range(2), scale=100.0):
    return [scale * np.mean([accuracy(loss, fold, seed) for seed in seeds]) for fold in folds]


def corrected_ttest(differences, n_train, n_test):
    """As in scikit-learn's "Statistical comparison of models using grid search"; with the standard error."""
    kr = len(differences)
    deviation = math.sqrt(np.var(differences, ddof=1) * (1 / kr + n_test / n_train))
    return 2 * stats.t.sf(abs(np.mean(differences) / deviation), kr - 1), deviation


def test_the_test_over_folds_is_the_corrected_resampled_t_test():
    found = paired(dict(enumerate(GAINS)), dict.fromkeys(range(5), 0.0), correlation=0.2)
    # By hand: mean 0.58, variance (0.0484 + 0.2304 + 0.6724 + 0.7744 + 0.1024) / 4 = 0.457, times 1/5 + 1/4.
    assert found.mean == pytest.approx(0.58)
    assert found.p == pytest.approx(2 * stats.t.sf(0.58 / math.sqrt(0.457 * 0.45), 4))
    p, error = corrected_ttest(GAINS, 800, 200)
    half = stats.t.ppf(0.975, 4) * error
    assert (found.p, found.low, found.high) == pytest.approx((p, 0.58 - half, 0.58 + half))
    assert (found.n, found.repeats) == (5, "folds")
    uncorrected = paired(dict(enumerate(GAINS)), dict.fromkeys(range(5), 0.0))
    assert found.effect == uncorrected.effect  # of single folds, whatever their number
    assert uncorrected.p < found.p


def test_repeated_k_folds_take_all_values_at_once():
    """Bouckaert and Frank 2004: t over the k r values, 1 / (k r) + n_test / n_train, k r - 1 degrees of freedom."""
    values = np.random.default_rng(0).normal(0.5, 1, 30)
    found = paired(dict(enumerate(values)), dict.fromkeys(range(30), 0.0), correlation=1 / 10)
    assert found.p == pytest.approx(corrected_ttest(values, 900, 100)[0])


def test_a_mean_over_folds_has_the_corrected_interval_too():
    found = summarise(GAINS, correlation=0.2)
    half = stats.t.ppf(0.975, 4) * corrected_ttest(GAINS, 800, 200)[1]
    assert (found.low, found.high, found.std) == pytest.approx((0.58 - half, 0.58 + half, np.std(GAINS, ddof=1)))


@given(st.lists(st.lists(st.integers(-60, 60), min_size=6, max_size=6), min_size=2, max_size=4),
       st.sampled_from([0.05, 0.2, 0.75]))  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_an_interval_excludes_zero_where_a_difference_is_shown(table, correlation):
    groups = {str(i): {k: v / 7 for k, v in enumerate(row)} for i, row in enumerate(table)}
    for found in compare(groups, "maximize", correlation=correlation):
        assert abs(found.p_adjusted - 0.05) < 1e-9 or found.shown == (not found.low <= 0 <= found.high)


@pytest.mark.parametrize("correlation", [-0.1, 1.0, math.nan])
def test_an_impossible_correlation_is_refused(correlation):
    with pytest.raises(ValueError, match="from 0 to below 1"):
        paired({0: 1.0, 1: 2.0}, {0: 1.0, 1: 2.0}, correlation=correlation)


def test_folds_are_the_repeats_and_their_seeds_are_averaged(tmp_path):
    found = compared(on_folds(tmp_path), "loss")
    (part,), measure = found.parts, found.measure
    assert (part.data, part.repeats, measure.metric) == ("digits", "folds", "val_accuracy")
    (pair,) = part.differences
    away = np.subtract(means("nll"), means("mse"))
    spread = math.hypot(away.std(ddof=1), pair.step / math.sqrt(12))
    assert (pair.n, pair.mean) == (5, pytest.approx(away.mean()))
    assert pair.p == pytest.approx(2 * stats.t.sf(away.mean() / (spread * math.sqrt(1 / 5 + 200 / 800)), 4))
    assert "] over folds (5 folds, p" in part.sentences[0]
    assert part.notes[0] == "each fold (data.fold) is one repeat, 5 in all; its value is the mean over its seeds"
    assert "20 % of the rows are evaluated" in part.notes[1]
    assert any("val_accuracy is compared: each fold has validation rows of its own" in note for note in found.notes)
    assert "by loss, over folds" in markdown(found)
    assert {row["repeats"] for row in csv.DictReader(io.StringIO(groups_csv(found)))} == {"folds"}
    assert {row["repeats"] for row in csv.DictReader(io.StringIO(differences_csv(found)))} == {"folds"}


def test_runs_on_one_split_among_them_keep_the_test_metric(tmp_path):
    write_run(on_folds(tmp_path) / "900", result(0.9, 0, test=0.9, data="h"), config(0, loss="nll"))
    assert compared(tmp_path, "loss").measure.metric == "test_accuracy"


def test_a_metric_of_the_one_test_split_has_the_variance_of_the_jackknife(tmp_path):
    (part,) = compared(on_folds(tmp_path, seeds=[0]), "loss", metric="test_accuracy").parts
    (pair,) = part.differences
    away = np.subtract(means("nll", seeds=[0], scale=50), means("mse", seeds=[0], scale=50))
    away_squared = (away - away.mean()) ** 2 + pair.step**2 / 12 * (4 / 5)  # each with its rounding
    jackknife = math.sqrt((5 - 1) / 5 * away_squared.sum())
    assert pair.p == pytest.approx(2 * stats.t.sf(away.mean() / jackknife, 4))
    assert "over folds of the training rows, on this test split (5 folds, p" in part.sentences[0]
    assert "all folds are tested on the same rows" in part.notes[1]
    assert "75 %" in part.notes[1]


@pytest.mark.parametrize(
    ("kind", "sizes", "split", "expected"),
    [
        ("kfold", (800, 200), "val", 0.2),
        ("kfold", None, "val", 0.2),  # of an MLflow store
        ("kfold", (300, 200), "val", 0.4),  # data.n_train=300
        ("repeated_kfold", (800, 200), "val", 0.2),
        ("shuffle_split", (900, 100), "val", 2 / 11),  # the odds 1 / 9, twice
        ("shuffle_split", None, "val", None),
        ("kfold", (800, 200), "test", 3 / 4),
        ("repeated_kfold", (800, 200), "test", 4 / 5),
        ("repeated_kfold", None, "train", 4 / 5),
        ("shuffle_split", (900, 100), "test", 0.9),
    ],
)
def test_the_correlation_follows_from_the_rows_that_folds_evaluate_or_have_in_common(
    tmp_path, kind, sizes, split, expected
):
    from phalanx.analysis.compare import read_sources

    runs = read_sources([str(on_folds(tmp_path, range(2), [0], kind, sizes, losses=["nll"]))]).runs
    found = correlation_of(runs, split)
    assert found == (None if expected is None else pytest.approx(expected))


def test_folds_of_a_growing_window_share_more_than_equal_parts(tmp_path):
    from phalanx.analysis.compare import read_sources

    runs = read_sources([str(on_folds(tmp_path, range(2), [0], sizes=(900, 100), losses=["nll"]))]).runs
    by_time = [replace(run, config={**run.config, "data.time": "day"}) for run in runs]
    by_time[0] = replace(by_time[0], sizes=(100, 100, 360))
    assert correlation_of(by_time, "val") == pytest.approx(0.5)  # that of the smallest training split
    assert correlation_of(by_time, "test") == pytest.approx(0.9)  # that of the largest


def test_folds_of_several_split_seeds_are_repeated_folds(tmp_path):
    folder = on_folds(tmp_path, range(3), [0], splits=(0, 1))
    found = compared(folder, "loss")
    (part,) = found.parts
    assert (part.repeats, part.differences[0].n) == ("folds", 6)
    assert "(data.split_seed, data.fold)" in part.notes[0]
    assert groups_csv(found).splitlines()[1].endswith(",0/0 0/1 0/2 1/0 1/1 1/2,folds")
    tested = compared(folder, "loss", metric="test_accuracy").parts  # each split seed has another test split
    assert [part.data for part in tested] == ["digits data.split_seed=0", "digits data.split_seed=1"]
    assert {part.differences[0].n for part in tested} == {3}


def test_what_cannot_be_pooled_is_compared_apart(tmp_path):
    two = compared(on_folds(tmp_path / "two", range(2)), "loss")
    assert [part.data for part in two.parts] == ["digits data.fold=0", "digits data.fold=1"]
    assert all("on this split" in part.where for part in two.parts)
    unknown = compared(on_folds(tmp_path / "unknown", kind="shuffle_split", sizes=None), "loss")
    assert {part.repeats for part in unknown.parts} == {"seeds"}
    folder = on_folds(tmp_path / "by")
    assert len(compared(folder, "loss", "data.fold").parts) == 5
    (part,) = compared(folder, "loss", where=["data.fold=3"]).parts
    assert (part.repeats, part.where) == ("seeds", "on this split")


def test_a_relevant_size_says_nothing_of_a_number_of_folds(tmp_path):
    (part,) = compared(on_folds(tmp_path), "loss", relevant=0.01).parts
    assert "folds tell" not in part.sentences[0]
    (part,) = compared(on_folds(tmp_path, losses=["nll", "mse"]), "loss", relevant=30.0, metric="test_accuracy").parts
    text = part.sentences[0]
    assert "probability of more than 30 points: nll better < 1 %, mse better < 1 %, neither > 99 %" in text
