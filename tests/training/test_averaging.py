"""Averages of the weights: mixed in a cohort, resumed, with buffers, and outside the digest where there are none."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from support import reference
from support.datasets import blobs
from support.modules import BatchNormed

from phalanx import MLP, OPTIMIZERS, TrainerSpec, TrialSpec, partition, train_cohort, train_trial
from phalanx.core.callbacks import Checkpointer
from phalanx.core.errors import SpecError
from phalanx.core.result import Snapshot, Status
from phalanx.nn.models.module_spec import module_spec
from phalanx.runs.state_check import state_faults
from phalanx.training.cohort import Cohort
from phalanx.training.spec import config_digest, determining

PLAIN = TrialSpec(model=MLP(hidden=(8,), dropout=0.1), optimizer=OPTIMIZERS["adam"](lr=0.02), seed=1)
KINDS = {
    "none": {}, "ema": {"average": "ema", "ema_decay": 0.9}, "swa": {"average": "swa", "swa_start": 2},
    "slow": {"average": "ema", "ema_decay": 0.99}, "late": {"average": "swa", "swa_start": 4},
}  # fmt: skip


def trial(kind, **changes):
    return replace(PLAIN, trainer=TrainerSpec(epochs=4, batch_size=25, **KINDS[kind]), **changes)


def told(result):
    return result.status, result.error, result.metrics, [replace(row, seconds=0) for row in result.history]


def assert_same_bits(one, other):
    assert told(one) == told(other)
    assert one.weights.keys() == other.weights.keys()
    assert all(one.weights[name].equal(other.weights[name]) for name in one.weights)


def test_trials_with_and_without_an_average_share_a_cohort():
    """Also beside one that diverges, whose plain weights become infinite."""
    specs, dataset = [trial(kind, seed=seed) for seed, kind in enumerate(KINDS)], blobs()
    wild = trial("none", seed=9, optimizer=OPTIMIZERS["adam"](lr=1e38))
    assert partition([*specs, wild]) == [[*range(6)]]
    *found, diverged = train_cohort([*specs, wild], dataset)
    for spec, result in zip(specs, found, strict=True):
        assert_same_bits(train_trial(spec, dataset), result)
    assert diverged.status is Status.DIVERGED
    assert told(diverged)[:2] == told(train_trial(wild, dataset))[:2]


@pytest.mark.parametrize("kind", KINDS)
def test_it_goes_on_from_any_epoch_to_the_bit(kind):
    """Alone, and from a cohort whose other trials have other averages."""
    spec, dataset = trial(kind), blobs()
    whole = train_trial(spec, dataset)
    cohort = Cohort(spec, dataset)
    cohort.join([spec, trial("ema", seed=5)])
    for n_epochs in (1, 2, 3):
        cohort.epoch()
        snapshot = cohort.snapshot(0)
        assert isinstance(snapshot, Snapshot)
        assert state_faults(spec, snapshot, *dataset.sizes) == []
        checkpointer = Checkpointer()
        checkpointer.states = [snapshot]
        (again,) = train_cohort([spec], dataset, checkpointer=checkpointer)
        assert told(again)[3][n_epochs:] == told(whole)[3][n_epochs:]
        assert all(again.weights[name].equal(whole.weights[name]) for name in whole.weights)


def test_a_checkpoint_without_the_average_is_refused():
    spec, dataset = trial("ema"), blobs()
    cohort = Cohort(spec, dataset)
    cohort.join([spec])
    cohort.epoch()
    snapshot = cohort.snapshot(0)
    del snapshot.tensors["average_TP"]
    assert state_faults(spec, snapshot, *dataset.sizes) == ["lacks average_TP"]


@pytest.mark.parametrize("kind", ["ema", "swa"])
def test_the_saved_weights_are_the_average_of_the_best_epoch(kind):
    result = train_trial(trial(kind), blobs())
    best = result.history[result.best_epoch - 1]
    assert result.metrics.val_loss == pytest.approx(best.val_loss, rel=1e-6)
    assert best.val_loss != pytest.approx(
        train_trial(trial("none"), blobs()).history[best.epoch - 1].val_loss, rel=1e-4
    )


@pytest.mark.parametrize("kind", ["ema", "swa"])
def test_buffers_are_those_of_the_weights_as_trained(kind):
    dataset = blobs()
    trainer = {"epochs": 3, "batch_size": 24, **KINDS[kind]}
    spec = replace(PLAIN, model=module_spec(BatchNormed)(), optimizer=OPTIMIZERS["sgd"](lr=0.05))
    ours = train_trial(replace(spec, trainer=TrainerSpec(keep="last", **trainer)), dataset)
    splits = [(split.x_ND, split.y_N) for split in (dataset.train, dataset.val)]
    rows, net = reference.train(
        *splits, (), optimizer="sgd", optimizer_options={"lr": 0.05, "momentum": 0.9}, seed=1,
        build=lambda: BatchNormed(dataset.n_features, dataset.n_classes), **trainer,
    )  # fmt: skip
    assert [row.val_loss for row in ours.history] == pytest.approx([row[2] for row in rows], rel=2e-4)
    for name, tensor in net.state_dict().items():
        torch.testing.assert_close(ours.weights[name], tensor, rtol=1e-3, atol=1e-5)


def test_a_configuration_without_an_average_keeps_its_digest():
    assert not {"trainer.average", "trainer.ema_decay", "trainer.swa_start"} & determining(TrialSpec()).keys()
    assert len({config_digest(trial(kind)) for kind in KINDS}) == len(KINDS)


def test_an_average_that_would_never_begin_is_refused():
    with pytest.raises(SpecError, match=r"trainer\.swa_start must be at most trainer\.epochs=5 with trainer\.average=swa, "
                       r"got 10; try trainer\.swa_start=4"):  # fmt: skip
        TrainerSpec(epochs=5, average="swa")
