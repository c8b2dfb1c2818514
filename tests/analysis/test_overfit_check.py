"""`debug=overfit`: every loss and optimizer passes, what is wrong is named with what to type."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hydra import compose, initialize_config_dir
from support.forked import train
from support.places import ROOT
from support.train_command import only, result_of

from phalanx import LOSSES, MLP, OPTIMIZERS, TrainerSpec, TrialSpec
from phalanx.analysis.overfit_check import advice, passed, sentence
from phalanx.core.result import EpochMetrics
from phalanx.data import load_dataset
from phalanx.data.thresholds import Thresholds
from phalanx.runs.config import register_resolvers, trial_spec
from phalanx.training.loop import train_trial


def overfit(*overrides):
    register_resolvers()
    with initialize_config_dir(str(ROOT / "conf")):
        spec = trial_spec(compose("config", [*overrides, "debug=overfit"]))
    return spec, train_trial(spec, load_dataset(spec.data), test=False)


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_every_loss_and_optimizer_learns_64_samples_by_heart(loss, optimizer):
    spec, result = overfit(f"loss={loss}", f"optimizer={optimizer}", "trainer.epochs=200")
    assert result.epochs == 200
    assert passed(spec, result)
    assert "check passed: training accuracy 1 after 200 epochs" in sentence(spec, result)


def test_200_epochs_are_few_for_a_number_that_is_not_standardised():
    other = ("data=thresholds", "data.n_val=100")  # so many leave other 64 points to learn
    spec, result = overfit(*other, "trainer.epochs=200")
    assert not passed(spec, result)
    assert "try trainer.epochs=400" in sentence(spec, result)
    assert "try data.normalize=feature" in sentence(spec, result)
    assert passed(*overfit(*other))
    assert passed(*overfit(*other, "trainer.epochs=400", "data.normalize=feature"))


def row(loss):
    return EpochMetrics(1, loss, 0.5, 0.5, loss, 0.5, 0.5, 0.1, 0.1)


FLAT, UP = [row(2.3)] * 20, [row(loss) for loss in (2.0, 1.0, 0.5, 0.6, 0.9)]
STUCK = [row(2.0), *[row(1.0)] * 20]
FALLING = [row(loss) for loss in (2.0, 1.8, 1.6, 1.4, 1.2, 1.0, 0.9, 0.8, 0.7, 0.6)]


@pytest.mark.parametrize(
    ("options", "history", "wanted"),
    [
        ({}, FLAT, "optimizer.lr=0.1: the loss hardly moved"),
        ({}, FALLING, "trainer.epochs=20 or optimizer.lr=0.1: the loss was still falling"),
        ({}, UP, "optimizer.lr=0.001 or trainer.clip_norm=1: the loss went up again"),
        ({"trainer": TrainerSpec(zero_grad=False)}, UP, "trainer.zero_grad=true"),
        ({"loss": LOSSES["cross_entropy"](output="softmax")}, STUCK, "loss.output=logits"),
        ({"data": Thresholds()}, STUCK, "data.normalize=feature"),
        ({"model": MLP(dropout=0.5)}, STUCK, "model.dropout=0"),
        ({"model": MLP(activation="identity")}, STUCK, "model.activation=relu"),
        ({"optimizer": OPTIMIZERS["sgd"](lr=0.01, weight_decay=0.1)}, STUCK, "optimizer.weight_decay=0"),
        ({}, STUCK, "a wider network"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_each_fault_has_its_advice(options, history, wanted):
    spec = TrialSpec(**{"optimizer": OPTIMIZERS["sgd"](lr=0.01), **options})
    assert advice(spec, history)[0].startswith(wanted)


def test_the_kept_weights_have_to_reach_what_was_expected():
    spec = TrialSpec(trainer=TrainerSpec(epochs=1), optimizer=OPTIMIZERS["sgd"](lr=1e-6))
    result = train_trial(spec, load_dataset(spec.data), test=False)
    assert passed(spec, result)  # nothing is expected unless asked
    reached = result.metrics.train_accuracy
    for expected, verdict in ((reached, True), (reached + 0.01, False)):
        assert passed(replace(spec, trainer=TrainerSpec(expect_accuracy=expected)), result) is verdict


@pytest.mark.slow
def test_the_command_says_its_verdict_and_its_status(tmp_path):
    (tmp_path / "good").mkdir()
    done = train("debug=overfit", cwd=tmp_path / "good", check=0)
    assert "check passed: training accuracy 1" in done.stdout
    (tmp_path / "bad").mkdir()
    done = train("debug=overfit", "optimizer=sgd", "optimizer.lr=1e-5", cwd=tmp_path / "bad", check=1)
    assert "check not passed: training accuracy" in done.stderr
    assert "try optimizer.lr=0.0001: the loss hardly moved" in done.stderr
    assert result_of(only(tmp_path / "bad" / "outputs" / "runs"))["status"] == "completed"
