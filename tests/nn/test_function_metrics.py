"""Metrics that are functions of probabilities and classes, `@phalanx.metric`, and what is said of wrong ones."""

from __future__ import annotations

import math
import pickle
import sys
from dataclasses import replace

import pytest
import torch
from support.datasets import blobs

from phalanx import MLP, TrainerSpec, TrialSpec, metric, train_cohort, train_trial
from phalanx.core.errors import RequestError, SpecError
from phalanx.core.extensions import VARIABLE, ExtensionError, import_file, load_asked
from phalanx.core.metrics import METRICS, direction_of, limits_of
from phalanx.nn.metrics.function_metric import own_metrics
from phalanx.runs.config import trial_spec
from phalanx.training.spec import config_digest, determining

DATA = blobs(n_train=40, n_val=20)
PLAIN = TrialSpec(model=MLP(hidden=(8,)), trainer=TrainerSpec(epochs=2))


def within_one(probabilities, y):
    assert probabilities.dtype == torch.float32
    assert probabilities.shape == (len(y), DATA.n_classes)
    return ((probabilities.argmax(1) - y).abs() <= 1).float().mean()


def gap(probabilities, classes, power=1):
    return -(float((1 - probabilities.max(1).values).mean()) ** power)


@pytest.fixture(autouse=True)
def as_before():
    """No test leaves a metric or a module behind."""
    modules, known, own = set(sys.modules), dict(METRICS), dict(own_metrics())
    yield
    for name in set(sys.modules) - modules:
        del sys.modules[name]
    for now, before in ((METRICS, known), (own_metrics(), own)):
        now.clear()
        now.update(before)


def test_it_is_an_objective_and_a_metric_of_each_epoch_in_a_cohort():
    assert metric(direction="maximize", low=0, high=1)(within_one) is within_one
    metric(direction="minimize")(gap)
    spec = replace(PLAIN, objective="val_within_one", trainer=TrainerSpec(epochs=3, metrics=("gap",)))
    specs = [replace(spec, seed=seed) for seed in range(3)]
    together, alone = train_cohort(specs, DATA), train_trial(specs[1], DATA)
    assert [row.further for row in together[1].history] == [row.further for row in alone.history]
    assert list(alone.history[0].further) == ["train_gap", "train_within_one", "val_gap", "val_within_one"]
    assert alone.objective.value == max(row["val_within_one"] for row in alone.history)
    assert alone.metrics["test_gap"] < 0
    assert (limits_of("val_within_one"), direction_of("test_gap")) == ((0, 1), "minimize")
    assert limits_of("val_gap") == (-math.inf, math.inf)


def test_its_code_is_in_the_digest_where_it_is_used_and_nowhere_else():
    before = config_digest(PLAIN)
    metric(direction="maximize")(within_one)
    assert config_digest(PLAIN) == before
    asked = replace(PLAIN, trainer=TrainerSpec(epochs=2, metrics=("within_one",)))
    assert determining(asked)["metric.within_one.source"].startswith("test_function_metrics.py, digest ")
    assert "metric.within_one.source" in determining(replace(PLAIN, objective="val_within_one"))
    assert "test_within_one" not in train_trial(PLAIN, DATA).metrics.further


def test_further_objectives_are_computed_too():
    metric(direction="maximize")(within_one)
    values = {
        "data": {"name": "digits"}, "model": {"name": "mlp"}, "loss": {"name": "mse"},
        "optimizer": {"name": "adam", "lr": 0.1}, "schedule": {"name": "constant"}, "trainer": {"metrics": ["ece"]},
        "device": {}, "objective": ["val_ece", "val_within_one", "val_f1_macro"],
    }  # fmt: skip
    assert trial_spec(values).trainer.metrics == ("ece", "within_one")


SOURCE = """
import phalanx

@phalanx.metric(direction="maximize")
def half(probabilities, y):
    return 0.5
"""


def test_its_code_travels_with_the_trial(tmp_path):
    file = tmp_path / "own.py"
    file.write_text(SOURCE)
    import_file(file)
    sent = pickle.dumps(replace(PLAIN, objective="val_half"))
    arrived = pickle.loads(sent)
    assert arrived.objective == "val_half"
    for name in [name for name in sys.modules if name.startswith("phalanx_extensions")]:
        del sys.modules[name]
    del METRICS["half"], own_metrics()["half"]
    assert pickle.loads(sent) == arrived  # imports the file
    file.unlink()
    del METRICS["half"], own_metrics()["half"]
    assert pickle.loads(sent) == arrived  # has the text
    del METRICS["half"], own_metrics()["half"]
    other = tmp_path / "other.py"
    other.write_text(SOURCE.replace("0.5", "0.25"))
    import_file(other)
    with pytest.raises(ExtensionError, match=r"the metric half \(own\.py, digest .*this process has other\.py, digest"):
        pickle.loads(sent)
    del METRICS["half"], own_metrics()["half"]
    with pytest.raises(SpecError, match="or one of your own, from a file in extensions/, got 'val_half'"):
        TrialSpec(objective="val_half")


def failing(probabilities, y):
    return probabilities[len(y)]


def vector(probabilities, y):
    return probabilities


def undefined(probabilities, y):
    return math.nan


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (failing, r"the metric failing fails: IndexError: .*\(test_function_metrics\.py, digest"),
        (vector, r"the metric vector must return one number, got \(40, 3\)"),
    ],
)
def test_one_that_fails_ends_the_run_with_its_file(function, text):
    metric(direction="maximize")(function)
    with pytest.raises(RequestError, match=text):
        train_trial(replace(PLAIN, trainer=TrainerSpec(metrics=(function.__name__,))), DATA)


def test_one_that_is_not_defined_is_null():
    metric(direction="maximize")(undefined)
    result = train_trial(replace(PLAIN, objective="val_undefined"), DATA)
    assert result.objective.value is None
    assert result.metrics["val_undefined"] is None
    assert result.notes == tuple(f"{split}_undefined is not a finite number" for split in ("train", "val", "test"))


def three(probabilities, y, more):
    return 0.0


def auroc(probabilities, y):
    return 0.0


def val_own(probabilities, y):
    return 0.0


@pytest.mark.parametrize(
    ("function", "direction", "text"),
    [
        (three, "maximize", r"three must take probabilities \(N, C\) and classes \(N,\)"),
        (auroc, "maximize", "auroc has a name that is taken by a metric of Phalanx"),
        (val_own, "maximize", "does not begin with train_, val_, test_"),
        (gap, "up", "gap has direction='up'; allowed are maximize and minimize"),
    ],
)
def test_a_wrong_function_is_told_with_its_file(function, direction, text):
    with pytest.raises(ExtensionError, match=rf"test_function_metrics\.py: .*{text}"):
        metric(direction=direction)(function)
    assert function is auroc or function.__name__ not in METRICS


def test_a_name_used_twice_is_refused_and_the_same_file_again_is_not(tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text(f"# {name}\n{SOURCE}")
    import_file(tmp_path / "one.py")
    with pytest.raises(ExtensionError, match=r"half has a name that is taken by .*one\.py; rename one of the two"):
        import_file(tmp_path / "two.py")
    metric(direction="maximize")(within_one)
    metric(direction="minimize")(within_one)
    assert METRICS["within_one"].direction == "minimize"


def test_a_configuration_that_names_one_is_read_with_what_the_environment_names(tmp_path, monkeypatch):
    (tmp_path / "own.py").write_text(SOURCE)
    values = {
        "data": {"name": "digits"}, "model": {"name": "mlp"}, "loss": {"name": "mse"},
        "optimizer": {"name": "adam", "lr": 0.1}, "schedule": {"name": "constant"}, "trainer": {}, "device": {},
        "objective": "val_half",
    }  # fmt: skip
    load_asked.cache_clear()
    with pytest.raises(SpecError, match="got 'val_half'"):
        trial_spec(values)
    load_asked.cache_clear()
    monkeypatch.setenv(VARIABLE, str(tmp_path / "own.py"))
    assert trial_spec(values).direction == "maximize"
    load_asked.cache_clear()
