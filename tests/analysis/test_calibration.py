"""Calibration against scikit-learn, a loop over the bins, and temperatures that are known."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from scipy import stats
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from support.pairs import trained
from support.run_folders import write_grid

from phalanx import DATASETS, load_dataset
from phalanx.analysis.bootstrap import RESAMPLES, Interval, resampled
from phalanx.analysis.calibration import (
    calibrate,
    fit_temperature,
    probabilities,
    reliability,
    sample_nll,
)
from phalanx.cli.main import main
from phalanx.core.errors import RunFolderError
from phalanx.nn.metrics.from_probabilities import N_BINS, Probabilities, ece, sample_brier
from phalanx.runs.model_file import load_model
from phalanx.runs.tensor_file import read_tensors, write_tensors
from phalanx.tracking.served_model import Classifier


@pytest.fixture(scope="module")
def trained_run(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("runs") / "a", hidden=(64,), epochs=40)


@pytest.fixture
def run(trained_run, tmp_path):
    return shutil.copytree(trained_run, tmp_path / "run")


def drawn(n=4000, n_classes=5, scale=1.0, seed=0):
    """Scores (N, C), and classes drawn by the softmax of scores / scale."""
    random = np.random.default_rng(seed)
    scores_NC = random.normal(size=(n, n_classes)) * 2
    p_NC = probabilities(scores_NC)
    y_N = (p_NC.cumsum(1) < random.random((n, 1))).sum(1).clip(0, n_classes - 1)
    return scores_NC * scale, y_N


def slow_ece(p_NC, y_N):
    total = 0.0
    for m in range(N_BINS):
        inside = [n for n, p_C in enumerate(p_NC) if m / N_BINS < p_C.max() <= (m + 1) / N_BINS]
        if inside:
            accuracy = np.mean([p_NC[n].argmax() == y_N[n] for n in inside])
            total += len(inside) / len(y_N) * abs(accuracy - np.mean([p_NC[n].max() for n in inside]))
    return total


def test_the_measures_are_those_of_scikit_learn_and_of_a_loop():
    scores_NC, y_N = drawn(600, scale=1.7)
    p_NC = probabilities(scores_NC)
    p_NC[:20], y_N[:20] = [0.8, 0.05, 0.05, 0.05, 0.05], 0  # on the edge of two bins, and all right
    assert reliability(p_NC, y_N).ece == pytest.approx(slow_ece(p_NC, y_N), abs=1e-12)
    assert sample_nll(p_NC, y_N).mean() == pytest.approx(log_loss(y_N, p_NC), abs=1e-12)
    assert sample_brier(p_NC, y_N).mean() == pytest.approx(((p_NC - np.eye(5)[y_N]) ** 2).sum(1).mean(), abs=1e-12)


def test_the_reliability_diagram_has_the_ece_of_the_metric():
    scores_NC, y_N = drawn(600, scale=1.7)
    p_NC = probabilities(scores_NC).astype(np.float32)
    found = reliability(np.exp(np.log(p_NC)), y_N)
    assert found.ece == ece(Probabilities(np.log(p_NC), y_N))
    gap_M = np.nan_to_num(np.abs(found.accuracy_M - found.confidence_M))
    assert found.ece == pytest.approx((gap_M * found.counts_M).sum() / 600, abs=1e-12)


def test_certain_and_constant_predictions_have_an_ece():
    y_N = np.array([0, 1, 1, 0])
    assert reliability(np.eye(2)[y_N], y_N).ece == 0
    assert reliability(np.eye(2)[1 - y_N], y_N).ece == 1
    assert reliability(np.full((4, 2), 0.5), y_N).ece == 0


@pytest.mark.parametrize("scale", [0.4, 1.0, 3.0])
def test_a_known_temperature_is_found(scale):
    scores_NC, y_N = drawn(20_000, scale=scale)
    found = fit_temperature(scores_NC, y_N)
    assert found == pytest.approx(scale, rel=0.03)
    losses = [log_loss(y_N, probabilities(scores_NC, found * factor)) for factor in (0.999, 1, 1.001)]
    assert losses[1] == min(losses)


def test_predictions_and_a_served_model_have_the_temperature_and_the_same_classes(run):
    rows = load_digits().data[:50]
    before_NC = load_model(run).predict(rows)
    found = calibrate(run)
    after_NC = load_model(run).predict(rows)
    assert found.temperature > 1.05
    assert np.allclose(
        after_NC, probabilities(np.log(before_NC.astype(np.float64) + 1e-300), found.temperature), atol=1e-4
    )
    assert (after_NC.argmax(1) == before_NC.argmax(1)).all()
    served = Classifier(load_model(run)).predict(rows)
    assert np.array_equal(served.filter(like="p_").to_numpy(), after_NC)


def test_the_likelihood_of_the_result_is_that_before(run):
    metrics = json.loads((run / "result.json").read_text())["metrics"]
    found = calibrate(run)
    nll = found.measures[0]
    assert (nll.name, found.split, found.n_samples) == ("NLL", "test", 360)
    assert np.exp(-nll.before) == pytest.approx(metrics["test_likelihood"], rel=1e-5)
    assert nll.after < nll.before
    assert all(
        m.before_interval.low <= m.before <= m.before_interval.high
        for m in found.measures
        if not m.name.startswith("ECE")
    )


def test_the_validation_split_chooses_the_temperature(run):
    val, model = load_dataset(DATASETS["digits"](n_train=300)).val, load_model(run)
    expected = fit_temperature(model.logits(val.x_ND).double().numpy(), val.y_N.numpy())
    assert calibrate(run).temperature == pytest.approx(expected, rel=1e-9)


def test_calibrating_again_changes_no_byte(run):
    first = calibrate(run)
    content = (run / "model.safetensors").read_bytes()
    again = calibrate(run)
    assert (run / "model.safetensors").read_bytes() == content
    assert (again.temperature, again.measures) == (first.temperature, first.measures)
    assert (first.earlier, again.earlier) == (1.0, first.temperature)


@pytest.mark.parametrize("temperature", [0, -1.0, float("nan"), float("inf"), "x", None])
def test_a_model_file_with_another_temperature_is_refused(run, temperature):
    about, weights = read_tensors(run / "model.safetensors")
    write_tensors(run / "model.safetensors", weights, {**about, "format": 3, "temperature": temperature})
    with pytest.raises(RunFolderError, match=r"temperature|TypeError|ValueError"):
        load_model(run)


def test_an_earlier_version_refuses_a_calibrated_model_and_not_others(run):
    assert read_tensors(run / "model.safetensors")[0]["format"] == 2
    calibrate(run)
    assert read_tensors(run / "model.safetensors")[0]["format"] == 3


def test_one_against_the_rest_is_calibrated_too(tmp_path):
    run = trained(tmp_path / "r", loss="one_vs_all")
    metrics = json.loads((run / "result.json").read_text())["metrics"]
    assert np.exp(-calibrate(run).measures[0].before) == pytest.approx(metrics["test_likelihood"], rel=1e-5)


def test_a_run_that_has_not_read_the_test_split_is_measured_on_the_validation_split(tmp_path):
    found = calibrate(trained(tmp_path / "r", test=False))
    assert (found.split, found.n_samples) == ("validation", 288)
    assert "has not read the test split" in found.notes[0]


def damage(run, kind):
    if kind == "no model":
        (run / "model.safetensors").unlink()
    elif kind == "other data":
        content = json.loads((run / "result.json").read_text())
        (run / "result.json").write_text(json.dumps({**content, "data_digest": "0" * 16}))
    elif kind == "not finite":
        about, weights = read_tensors(run / "model.safetensors")
        weights["layers.0.bias"][:] = float("nan")
        write_tensors(run / "model.safetensors", weights, about)


@pytest.mark.parametrize(("kind", "message"), [
    ("no model", "this run kept no weights"), ("other data", "have changed since it was trained"),
    ("not finite", "no finite number for 288 of 288 samples"),
])  # fmt: skip
def test_what_cannot_be_calibrated_is_refused_and_left_as_it_is(run, capsys, kind, message):
    damage(run, kind)
    model = run / "model.safetensors"
    before = model.read_bytes() if model.exists() else b""
    assert main(["calibrate", str(run)]) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.out == ""
    assert (model.read_bytes() if model.exists() else b"") == before


def test_a_folder_that_is_no_run_is_refused(tmp_path, capsys):
    assert main(["calibrate", str(write_grid(tmp_path / "s", {"mse": {0: 0.8}}))]) == 2
    assert "is not the folder of a finished run" in capsys.readouterr().err


def test_the_command_prints_before_and_after_and_draws(run, tmp_path, capsys):
    assert main(["calibrate", str(run), "--figure", str(tmp_path / "r.svg")]) == 0
    said = capsys.readouterr().out
    for text in ("temperature ", "288 validation samples", "NLL", "ECE, 15 bins", "Brier score", "360 test samples"):
        assert text in said
    assert (tmp_path / "r.svg").read_text().startswith("<?xml")


@pytest.mark.parametrize("n", [300, 5000])
def test_the_bootstrap_is_that_of_scipy(n):
    values_N = np.random.default_rng(1).exponential(size=n)
    draws = resampled(values_N[:, None])
    assert draws.shape == (RESAMPLES, 1)
    expected = stats.bootstrap((values_N,), np.mean, n_resamples=2000, method="percentile", rng=0).confidence_interval
    width = expected.high - expected.low
    assert Interval.of(draws[:, 0]) == pytest.approx((expected.low, expected.high), abs=0.1 * width)
