"""Intervals of test metrics over test samples: Wilson's as SciPy has it, the bootstrap, and where they are told."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from support.run_folders import result as stored_json
from support.run_folders import write_run as write_made_up

from phalanx import DATASETS, LOSSES, MLP, TrainerSpec, TrialSpec, load_dataset, train_trial
from phalanx.analysis.sample_intervals import MANY, mean_intervals, sample_intervals, wilson
from phalanx.core.console import plain_console
from phalanx.jobs.run_progress import summary
from phalanx.report.build import write_report
from phalanx.runs.layout import RunPaths
from phalanx.runs.model_file import saved_logits
from phalanx.runs.run_folder import write_run
from phalanx.runs.stored_run import read_stored_run

SPEC = TrialSpec(data=DATASETS["digits"](n_train=300), model=MLP(hidden=(12,)), trainer=TrainerSpec(epochs=3))


@pytest.fixture(scope="module")
def trained():
    dataset = load_dataset(SPEC.data)
    return SPEC, dataset, train_trial(SPEC, dataset)


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 20), (20, 20), (346, 360), (1, 360), (9612, 10_000)])
def test_the_interval_of_an_accuracy_is_wilsons(k, n):
    expected = stats.binomtest(k, n).proportion_ci(0.95, method="wilson")
    assert wilson(k, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_the_intervals_are_those_of_the_samples(trained):
    spec, dataset, result = trained
    found = sample_intervals(spec, dataset, result)
    n = len(dataset.test)
    k = round(result.metrics.test_accuracy * n)
    expected = stats.binomtest(k, n).proportion_ci(0.95, method="wilson")
    assert found["test_accuracy"] == pytest.approx((expected.low, expected.high), abs=1e-12)
    logits_NC = saved_logits(spec.model, result.weights, dataset.test.x_ND, 10)
    nll_N = torch.nn.functional.cross_entropy(logits_NC, dataset.test.y_N, reduction="none").double().numpy()
    assert nll_N.mean() == pytest.approx(result.metrics.test_loss, rel=1e-5)
    by_scipy = stats.bootstrap((nll_N,), np.mean, n_resamples=3000, method="percentile", rng=1).confidence_interval
    width = by_scipy.high - by_scipy.low
    assert found["test_loss"] == pytest.approx((by_scipy.low, by_scipy.high), abs=0.1 * width)
    low, high = found["test_loss"]
    assert found["test_likelihood"] == pytest.approx((math.exp(-high), math.exp(-low)), rel=1e-3)
    assert sample_intervals(spec, dataset, result) == found  # the same resamples each time


def test_the_loss_of_an_interval_is_the_loss_that_was_trained(trained):
    spec, dataset, _ = trained
    spec = replace(spec, loss=LOSSES["mse"]())
    result = train_trial(spec, dataset)
    low, high = sample_intervals(spec, dataset, result)["test_loss"]
    assert low < result.metrics.test_loss < high < 0.2


def test_without_test_metrics_weights_or_finite_numbers_there_are_none(trained):
    spec, dataset, result = trained
    metrics = result.metrics
    assert sample_intervals(spec, dataset, replace(result, weights=None)) == {}
    for value in (None, math.inf, math.nan):
        assert sample_intervals(spec, dataset, replace(result, metrics=replace(metrics, test_loss=value))) == {}
    unread = replace(dataset, test=None)
    assert sample_intervals(spec, unread, replace(result, metrics=replace(metrics, test_loss=None))) == {}


def test_of_many_samples_the_interval_is_the_normal_one():
    values_N = np.random.default_rng(0).exponential(size=MANY + 1)
    half = stats.norm.ppf(0.975) * values_N.std() / math.sqrt(len(values_N))
    ((low, high),) = mean_intervals(values_N[:, None])
    assert (low, high) == pytest.approx((values_N.mean() - half, values_N.mean() + half), abs=1e-12)
    assert mean_intervals(values_N[:MANY, None])[0] == pytest.approx((low, high), abs=0.2 * half)


def test_a_result_keeps_them_and_the_end_of_a_run_and_its_report_tell_them(trained, tmp_path):
    spec, dataset, result = trained
    found = sample_intervals(spec, dataset, result)
    folder = tmp_path / "run"
    write_run(RunPaths(folder), spec, dataset, result, intervals=found)
    content = json.loads((folder / "result.json").read_text())
    assert content["intervals"]["test_accuracy"] == list(found["test_accuracy"])
    assert read_stored_run(folder).intervals == {key: tuple(ends) for key, ends in found.items()}
    out = io.StringIO()
    summary(plain_console(out, 80), result, "folder", found)
    low, high = found["test_accuracy"]
    told = f"test accuracy {result.metrics.test_accuracy:.4f} [{low:.3f}, {high:.3f}] over test samples (95 %)\n"
    assert told in out.getvalue()
    page = write_report(folder, tmp_path / "page.html").read_text()
    assert "95 % intervals over the test samples, for this network and not over seeds" in page
    assert f"{low:.4f} to {high:.4f}</td>" in page


def test_a_result_of_an_earlier_version_has_none_and_is_read(tmp_path):
    folder = write_made_up(tmp_path / "a", stored_json(0.9, test=0.8))
    stored = read_stored_run(folder)
    assert stored.intervals is None
    assert "intervals" not in stored.to_json()
    assert "over the test samples" not in write_report(folder, tmp_path / "page.html").read_text()


@pytest.mark.parametrize("value", [[1], {"test_loss": 1}, {"test_loss": [1]}, {"test_loss": [1, 2, 3]}, "x",
                                   {"test_loss": ["a", "b"]}])  # fmt: skip
def test_intervals_of_another_form_are_refused(tmp_path, value):
    folder = write_made_up(tmp_path / "a", {**stored_json(0.9), "intervals": value})
    with pytest.raises(ValueError, match=r"result\.json is not a result"):
        read_stored_run(folder)
