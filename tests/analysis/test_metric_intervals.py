"""Intervals of the further metrics over test samples: each resample as if its samples were there, and by SciPy."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from phalanx import DATASETS, MLP, TrainerSpec, TrialSpec, load_dataset, train_trial
from phalanx.analysis.metric_intervals import FEWEST, Resampled, bootstrap_intervals
from phalanx.analysis.sample_intervals import sample_intervals, wilson
from phalanx.core.console import plain_console
from phalanx.core.errors import RequestError
from phalanx.core.metrics import FURTHER
from phalanx.jobs.run_progress import summary
from phalanx.nn.metrics.compute import Wanted
from phalanx.nn.metrics.from_counts import FROM_COUNTS
from phalanx.nn.metrics.from_probabilities import FROM_PROBABILITIES, Probabilities, auroc, brier, sample_brier

RANKED = [*FROM_COUNTS, "auroc", "average_precision", "ece"]


def drawn(n: int, n_classes: int, *, levels: int = 0, seed: int = 0) -> Probabilities:
    """Probabilities with some truth in them; with `levels` few different ones, so that many are equal."""
    random = np.random.default_rng(seed)
    y_N = random.integers(n_classes, size=n)
    logits_NC = random.normal(size=(n, n_classes)) + 1.5 * (y_N[:, None] == np.arange(n_classes))
    if levels:
        logits_NC = np.round(logits_NC * levels) / levels
        logits_NC[:, 1:] = logits_NC[:, :1] * np.arange(1, n_classes)
    p_NC = np.exp(logits_NC) / np.exp(logits_NC).sum(1, keepdims=True)
    return Probabilities(np.log(p_NC).astype(np.float32), y_N)


@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("levels", [0, 1])
def test_each_resample_has_the_metric_of_its_samples(n_classes, levels):
    given = drawn(60, n_classes, levels=levels)
    resampled = Resampled(given, 8)
    found = {name: resampled.values(name) for name in RANKED}
    for place, weights_N in enumerate(resampled.weights_RN):
        at = np.repeat(np.arange(60), weights_N.astype(int))
        sample = Probabilities(given.log_p_NC[at], given.y_N[at])
        right = given.log_p_NC[at].argmax(1)
        counts_3C = np.stack([
            np.bincount(right, minlength=n_classes),
            np.bincount(given.y_N[at][right != given.y_N[at]], minlength=n_classes),
            np.bincount(right[right == given.y_N[at]], minlength=n_classes),
        ])  # fmt: skip
        expected = Wanted(tuple(RANKED)).compute(counts_3C, sample.log_p_NC, sample.y_N)
        for name in RANKED:
            assert found[name][place] == pytest.approx(expected[name], abs=1e-6, nan_ok=True), name


def test_the_interval_of_auroc_is_that_of_scipys_bootstrap():
    given = drawn(200, 2)

    def of_samples(places):
        at = places.astype(int)
        return auroc(Probabilities(given.log_p_NC[at], given.y_N[at]))

    by_scipy = stats.bootstrap(
        (np.arange(200),), of_samples, n_resamples=2000, method="percentile", vectorized=False, rng=3
    ).confidence_interval
    found = bootstrap_intervals(given, ["auroc"])["auroc"]
    assert found == pytest.approx(by_scipy, abs=0.1 * (by_scipy.high - by_scipy.low))


def test_where_a_class_is_rare_resamples_without_it_are_left_out_and_where_most_are_there_is_no_interval():
    given = drawn(60, 2)
    few = Probabilities(given.log_p_NC, np.array([1, 1] + [0] * 58))
    values_R = Resampled(few).values("auroc")
    n_without = int(np.isnan(values_R).sum())
    assert 90 < n_without < 180  # a share of (58/60)^60 = 13 %
    low, high = bootstrap_intervals(few, ["auroc"])["auroc"]
    assert 0 <= low < high <= 1
    assert bootstrap_intervals(Probabilities(given.log_p_NC, np.zeros(60, int)), ["auroc", "f1_macro"]).keys() == {
        "f1_macro"
    }


def test_a_metric_of_ones_own_has_fewer_resamples_and_one_that_fails_has_no_interval(monkeypatch):
    asked = []

    def share(given):
        asked.append(len(given.y_N))
        return float((given.y_N == 0).mean())

    def broken(given):
        raise RequestError("no")

    monkeypatch.setattr("phalanx.analysis.metric_intervals.own_metrics", lambda: {"share": share, "broken": broken})
    given = drawn(80, 3)
    found = bootstrap_intervals(given, ["share", "broken"])
    assert asked == [80] * FEWEST
    assert found.keys() == {"share"}
    value, half = (given.y_N == 0).mean(), 1.96 * (given.y_N == 0).std() / 80**0.5
    assert found["share"] == pytest.approx((value - half, value + half), abs=0.3 * half)


def test_the_parts_of_the_brier_score_have_its_mean():
    given = drawn(50, 4)
    assert sample_brier(given.p_NC, given.y_N).mean() == pytest.approx(brier(given), abs=1e-12)


def test_of_many_samples_there_are_fewer_resamples():
    assert Resampled(drawn(300, 5)).weights_RN.shape == (1000, 300)
    assert Resampled(drawn(4000, 10)).weights_RN.shape == (500, 4000)
    assert Resampled(drawn(3000, 40)).weights_RN.shape == (FEWEST, 3000)


def test_all_further_metrics_of_a_run_have_an_interval_and_its_end_tells_that_of_the_objective(tmp_path):
    trainer = TrainerSpec(epochs=2, metrics=("f1_macro",))
    spec = TrialSpec(data=DATASETS["digits"](n_train=200), model=MLP(hidden=(8,)), trainer=trainer)
    spec = replace(spec, objective="val_f1_macro")
    dataset = load_dataset(spec.data)
    result = train_trial(spec, dataset)
    names = [info.name for info in FURTHER]
    found = sample_intervals(spec, dataset, result, [*names, "nowhere"])
    metrics = result.metrics.flat()
    assert found.keys() == {"test_loss", "test_accuracy", "test_likelihood", *(f"test_{name}" for name in names)}
    assert set(names) == {*FROM_COUNTS, *FROM_PROBABILITIES}
    for name in names:
        low, high = found[f"test_{name}"]
        assert low < high
        if name != "ece":  # that of a resample is larger in the mean
            assert low < metrics[f"test_{name}"] < high
    n = len(dataset.test)
    assert found["test_top5_accuracy"] == wilson(round(metrics["test_top5_accuracy"] * n), n)
    assert json.loads(json.dumps(found["test_auroc"])) == list(found["test_auroc"])
    out = io.StringIO()
    summary(plain_console(out, 200), result, "folder", found)
    low, high = found["test_f1_macro"]
    assert f", test f1_macro {metrics['test_f1_macro']:.4f} [{low:.3f}, {high:.3f}] over test" in out.getvalue()
