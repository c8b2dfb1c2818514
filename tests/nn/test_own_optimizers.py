"""Optimizers that are classes with the interface of `torch.optim`."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest
import torch
from support import optimizers, reference
from support.datasets import blobs
from support.modules import BatchNormed

from phalanx import MLP, OPTIMIZERS, SCHEDULES, TrainerSpec, TrialSpec, partition, train_cohort, train_trial
from phalanx.core.callbacks import Checkpointer
from phalanx.core.errors import RequestError, SpecError
from phalanx.core.extensions import ExtensionError, forget
from phalanx.core.result import Snapshot
from phalanx.nn.models.layout import Layout
from phalanx.nn.models.module_spec import module_spec
from phalanx.nn.optimizers.class_optimizer import class_optimizer, optimizer
from phalanx.nn.optimizers.stepper import Stepper
from phalanx.runs.checkpoint import read_checkpoint, write_checkpoint
from phalanx.runs.state_check import state_faults
from phalanx.testing import OptionContract
from phalanx.training.cohort import Cohort

ADAM, LION, TWO = map(class_optimizer, (optimizers.OwnAdam, optimizers.Lion, optimizers.TwoRates))
LAYOUT = Layout(("weight", "bias"), ((2, 3), (2,)))
SPEC = TrialSpec(model=MLP(hidden=(8, 5)), optimizer=ADAM(), trainer=TrainerSpec(epochs=3, batch_size=25))


class TestClasses(OptionContract):
    option = LION()


@pytest.fixture
def oracle(monkeypatch):
    """The plain training loop of torch with an optimizer of `support.optimizers`, as (rows, network)."""

    def train(cls, dataset, schedule="constant", schedule_options=None, **options):
        monkeypatch.setattr(reference, "optimizer_for", lambda name, params, given: cls(list(params), **options))
        splits = [(split.x_ND, split.y_N) for split in (dataset.train, dataset.val)]
        return reference.train(
            *splits, (6, 8, 5, 3), epochs=3, batch_size=25, schedule=schedule, schedule_options=schedule_options
        )

    return train


@pytest.mark.parametrize(
    ("cls", "options", "schedule", "given"),
    [
        (optimizers.OwnAdam, {"lr": 0.02, "beta1": 0.8}, "one_cycle", {}),
        (optimizers.Lion, {"momentum": 0.5}, "cosine", {"min_factor": 0.1}),
        (optimizers.TwoRates, {}, "step", {"every_epochs": 1, "gamma": 0.5}),
    ],
)
def test_it_makes_the_steps_of_a_plain_loop(oracle, cls, options, schedule, given):
    dataset = blobs()
    rows, net = oracle(cls, dataset, schedule, given, **options)
    spec = replace(SPEC, optimizer=class_optimizer(cls)(**options), schedule=SCHEDULES[schedule](**given))
    result = train_trial(replace(spec, trainer=replace(SPEC.trainer, keep="last")), dataset)
    assert [row.val_loss for row in result.history] == pytest.approx([row[2] for row in rows], rel=2e-4)
    assert [row.lr for row in result.history] == pytest.approx([row[4] for row in rows], rel=1e-9)
    for weight, theirs in zip(result.weights.values(), net.parameters(), strict=True):
        torch.testing.assert_close(weight, theirs.detach(), rtol=2e-3, atol=2e-5)


def test_one_step_has_the_bits_of_torchs():
    """Also with a scheduled rate that float32 does not hold."""
    start_P, grads_P = torch.randn(8), torch.randn(8)
    params = [torch.nn.Parameter(view[0].clone()) for view in LAYOUT.views(start_P[None])]
    theirs = optimizers.OwnAdam(params, lr=0.1)
    theirs.param_groups[0]["lr"] = 0.1 * 0.7
    for param, grad in zip(params, LAYOUT.views(grads_P[None]), strict=True):
        param.grad = grad[0]
    theirs.step()
    stepper = Stepper(lambda params: optimizers.OwnAdam(params, lr=0.1), LAYOUT)
    stepper.begin(start_P)
    stepper.step(start_P, grads_P, 0.1 * 0.7, 0.1)
    assert torch.equal(start_P, torch.cat([param.detach().flatten() for param in params]))


@pytest.mark.parametrize("optimizer", [ADAM(), LION(), TWO()], ids=lambda spec: spec.name)
def test_it_goes_on_from_any_epoch_to_the_bit(optimizer, tmp_path):
    spec, dataset = replace(SPEC, optimizer=optimizer, schedule=SCHEDULES["cosine"]()), blobs()
    whole = train_trial(spec, dataset)
    cohort = Cohort(spec, dataset)
    cohort.join([spec])
    for n_epochs in (1, 2):
        cohort.epoch()
        snapshot = cohort.snapshot(0)
        assert isinstance(snapshot, Snapshot)
        file, about = tmp_path / "checkpoint.safetensors", {"format": 1, "trial": {}, "data_digest": "", "versions": {}}
        write_checkpoint(file, about, [snapshot])
        checkpointer = Checkpointer()
        _, checkpointer.states = read_checkpoint(file)
        assert state_faults(spec, checkpointer.states[0], *dataset.sizes) == []
        (again,) = train_cohort([spec], dataset, checkpointer=checkpointer)
        assert [replace(row, seconds=0) for row in again.history[n_epochs:]] == [
            replace(row, seconds=0) for row in whole.history[n_epochs:]
        ]
        assert all(again.weights[name].equal(whole.weights[name]) for name in whole.weights)


def test_trials_of_a_cohort_have_an_optimizer_each():
    """Other seeds, rates and numbers of the class, next to a trial that diverges and one that ends early."""
    dataset = blobs()
    specs = [
        replace(SPEC, seed=seed, optimizer=ADAM(lr=lr, beta1=beta1, weight_decay=0.1 * seed))
        for seed, lr, beta1 in [(0, 0.01, 0.9), (1, 1e30, 0.9), (2, 0.03, 0.5), (3, 0.1, 0.8)]
    ]
    specs[2] = replace(specs[2], trainer=replace(SPEC.trainer, epochs=1))
    assert partition(specs) == [[0, 1, 2, 3]]
    together = train_cohort(specs, dataset)
    assert together[0].way == "one after another: optimizer=own_adam steps one trial at a time"
    for spec, result in zip(specs, together, strict=True):
        alone = train_trial(spec, dataset)
        assert (alone.status, alone.metrics) == (result.status, result.metrics)
        if alone.weights:
            assert all(alone.weights[name].equal(result.weights[name]) for name in alone.weights)


def test_buffers_of_a_network_are_not_its_parameters():
    dataset = blobs()
    specs = [
        replace(SPEC, model=module_spec(BatchNormed)(), optimizer=optimizer, trainer=replace(SPEC.trainer, keep="last"))
        for optimizer in (class_optimizer(optimizers.OwnSGD)(lr=0.05), OPTIMIZERS["sgd"](lr=0.05))
    ]
    own, built_in = (train_trial(spec, dataset) for spec in specs)
    assert own.way.startswith("one after another: optimizer=own_sgd")
    for name, weight in own.weights.items():
        torch.testing.assert_close(weight, built_in.weights[name], rtol=1e-3, atol=1e-5)


def test_its_source_and_its_keys_are_part_of_the_digest():
    digests = {
        train_trial(replace(SPEC, optimizer=optimizer, trainer=TrainerSpec(epochs=1)), blobs()).config_digest
        for optimizer in (ADAM(), ADAM(beta1=0.8), LION(lr=0.01))
    }
    assert len(digests) == 3
    assert ADAM.source.startswith("optimizers.py, digest ")


@pytest.mark.parametrize("cls", optimizers.WRONG)
def test_a_class_that_cannot_be_used_is_refused_before_it_trains(cls):
    with pytest.raises(RequestError, match=optimizers.WRONG[cls]):
        train_trial(replace(SPEC, optimizer=class_optimizer(cls)()), blobs())


def test_values_that_a_class_refuses_are_told():
    spec = class_optimizer(optimizers.Picky)(momentum=0.99)
    words = (
        r"optimizer=picky cannot be built with lr=0\.001, momentum=0\.99: ValueError: Invalid momentum: 0\.99 \(optim"
    )
    with pytest.raises(RequestError, match=words):
        train_trial(replace(SPEC, optimizer=spec), blobs())
    with pytest.raises(SpecError, match=r"optimizer\.lr must be a number above 0, got 0\.0"):
        LION(lr=0.0)


def test_classes_that_can_be_no_option():
    class Positional(optimizers.Lion):
        def __init__(self, params, lr=0.1): ...

    class WithoutRate(optimizers.Lion):
        def __init__(self, params, *, momentum: float = 0.9): ...

    for cls, words in [
        (
            torch.optim.LBFGS,
            r"LBFGS: its step needs a closure, .* Phalanx computes one gradient a step, so step has to",
        ),
        (Positional, r"Positional: the argument lr has to stand behind a \*, since those before it can only be params"),
        (WithoutRate, r"WithoutRate: its constructor must take lr behind the \*, such as lr: float = 0\.01"),
        (BatchNormed, r"BatchNormed must be a class derived from torch\.optim\.Optimizer"),
    ]:
        with pytest.raises(ExtensionError, match=words):
            class_optimizer(cls)


def test_a_state_of_another_optimizer_is_refused():
    steppers = [Stepper(lambda params, cls=cls: cls(params), LAYOUT) for cls in (optimizers.Lion, optimizers.TwoRates)]
    params_P = torch.randn(8)
    for stepper in steppers:
        stepper.begin(params_P)
        stepper.step(params_P, params_P.clone(), 0.1, 0.1)
    with pytest.raises(RequestError, match="the state of the optimizer in the checkpoint cannot be used: ValueError"):
        steppers[0].restore(steppers[1].saved())
    with pytest.raises(RequestError, match="cannot be used"):
        steppers[0].restore(steppers[0].saved()[:-3])


def test_it_travels_to_another_process_by_its_name():
    optimizer(optimizers.OwnAdam)
    try:
        spec = OPTIMIZERS["own_adam"](beta1=0.7, fast=True)
        assert pickle.loads(pickle.dumps(spec)) == spec
    finally:
        forget("optimizer", "own_adam")
        del OPTIMIZERS["own_adam"]


def test_a_state_keeps_its_types():
    """`load_state_dict` would convert float64 to the type of the parameter."""
    first, second = (Stepper(lambda params: optimizers.Lion(params), LAYOUT) for _ in range(2))
    params_P = torch.randn(8)
    first.begin(params_P)
    first.step(params_P, params_P / 3, 0.1, 0.1)
    second.begin(params_P)
    second.restore(first.saved())
    one, other = (next(iter(stepper.optimizer.state.values())) for stepper in (first, second))
    assert other["mean"].dtype == torch.float64
    assert torch.equal(one.pop("mean"), other.pop("mean"))
    assert one == other
