"""One training step: losses of several kinds, padded networks, captured steps, precision."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from support.cohorts import OUTPUTS, assert_close, mixed
from support.datasets import blobs
from support.given_rows import folds, with_data
from support.recorder import record

from phalanx import MLP, OPTIMIZERS, TrainerSpec, TrialSpec
from phalanx.core.errors import DeviceError
from phalanx.training.chunk import Chunk
from phalanx.training.loop import train_cohort, train_trial
from phalanx.training.partition import partition


def test_losses_and_schedules_of_several_kinds_share_a_cohort(dataset):
    specs = mixed(2 * len(OUTPUTS))
    for spec, result in zip(specs, train_cohort(specs, dataset), strict=True):
        assert_close(result, train_trial(spec, dataset))


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
def test_what_a_smaller_network_lacks_stays_exactly_zero(optimizer):
    data = blobs(n_train=40, n_val=20)
    options = {"weight_decay": 0.1, "lr": 0.05}
    specs = [replace(spec, optimizer=OPTIMIZERS[optimizer](**options), trainer=replace(spec.trainer, clip_norm=1.0))
             for spec in mixed(8)]  # fmt: skip
    around = specs[0].model.enclosing([spec.model for spec in specs])
    assert around.hidden == (9, 11, 11)
    chunk = Chunk(specs[0], data, torch.device("cpu"), test=False, model=around)
    chunk.join(specs, range(8))
    for _ in range(3):
        chunk.train_epoch(lambda epoch, step: None)
    for place, position in enumerate(chunk.stack.rows):
        own = around.embedded(specs[position].model, data.n_features, data.n_classes)
        assert len(own) == specs[position].model.layout(data.n_features, data.n_classes).size
        lacking = torch.ones(chunk.stack.layout.size, dtype=torch.bool)
        lacking[own] = False
        assert bool((chunk.stack.params_TP[place][lacking] == 0).all())
        assert bool((chunk.stack.params_TP[place][own] != 0).any())


def test_a_network_whose_idle_units_would_not_be_zero_is_not_padded(dataset):
    shapes = [MLP(hidden=hidden, activation="sigmoid") for hidden in ((3,), (4,))]
    assert partition([TrialSpec(model=model) for model in shapes]) == [[0], [1]]
    assert partition([TrialSpec(model=replace(model, activation="relu")) for model in shapes]) == [[0, 1]]
    last = [MLP(hidden=hidden, dropout_at="last") for hidden in ((3,), (4,), (4, 4))]
    assert partition([TrialSpec(model=model) for model in last]) == [[0, 1], [2]]


@pytest.mark.parametrize(("optimizer", "n_train"), [*((name, 100) for name in sorted(OPTIMIZERS)), ("sgd", 96)])
def test_a_replayed_epoch_is_the_epoch(optimizer, n_train):
    data = blobs(n_train=n_train, n_val=20)  # 12 full batches, and a rest or none
    metrics = ("f1_macro", "brier")
    specs = [
        replace(
            spec, optimizer=OPTIMIZERS[optimizer](lr=0.01),
            trainer=replace(spec.trainer, clip_norm=1.0 + i, metrics=metrics),
        )
        for i, spec in enumerate(mixed(5))
    ]  # fmt: skip
    around = specs[0].model.enclosing([spec.model for spec in specs])
    chunks = [Chunk(specs[0], data, torch.device("cpu"), test=False, model=around) for _ in range(2)]
    chunks[1].capture = record
    for chunk in chunks:
        chunk.join(specs[:4], range(4))
    steps = []
    for epoch in range(6):
        if epoch == 4:
            for chunk in chunks:
                chunk.dismiss([1])
        if epoch == 2:  # what was captured no longer holds
            for chunk in chunks:
                chunk.join(specs[4:], [4])
        plain, replayed = (chunk.train_epoch(lambda epoch, step: steps.append(step)) for chunk in chunks)
        for position, row in plain.items():
            assert replayed[position].train_loss == pytest.approx(row.train_loss, rel=1e-6)
            assert replayed[position].train_accuracy == row.train_accuracy
            assert replayed[position].val_loss == pytest.approx(row.val_loss, rel=1e-6)
            assert replayed[position].further == pytest.approx(row.further, rel=1e-5)
    assert chunks[1].captured.repeat is not None
    assert steps == list(range(1, 1 + -(-n_train // 8))) * 12
    torch.testing.assert_close(chunks[1].stack.params_TP, chunks[0].stack.params_TP, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("largest", [1 << 20, 0], ids=["prepared", "one table"])
def test_a_replayed_epoch_of_folds_is_the_epoch(largest, monkeypatch):
    monkeypatch.setattr("phalanx.data.shared_rows.LARGEST_BYTES", largest)
    specs, datasets = with_data(
        mixed(5), folds(136)
    )  # 11 full batches of 8, the last one filled up in all folds but one
    around = specs[0].model.enclosing([spec.model for spec in specs])
    chunks = [Chunk(specs[0], datasets[0], torch.device("cpu"), test=False, model=around) for _ in range(2)]
    chunks[1].capture = record
    for chunk in chunks:
        chunk.join(specs, range(5), datasets=datasets)
    for epoch in range(3):
        if epoch == 2:
            for chunk in chunks:
                chunk.dismiss([1])
        plain, replayed = (chunk.train_epoch(lambda epoch, step: None) for chunk in chunks)
        for position, row in plain.items():
            assert replayed[position].train_loss == pytest.approx(row.train_loss, rel=1e-6)
            assert replayed[position].val_loss == pytest.approx(row.val_loss, rel=1e-6)
    assert chunks[1].captured.repeat is not None


def test_a_trial_in_bfloat16_learns_what_it_learns_in_float32():
    data = blobs(n_train=200, n_val=100)
    spec = TrialSpec(trainer=TrainerSpec(epochs=10))
    full, low = (
        train_trial(replace(spec, trainer=replace(spec.trainer, precision=p)), data) for p in ("float32", "bfloat16")
    )
    assert low.weights["layers.0.weight"].dtype == torch.float32
    assert low.history[0].train_loss != full.history[0].train_loss
    assert low.history[0].train_loss == pytest.approx(full.history[0].train_loss, rel=0.02)
    assert low.metrics.val_accuracy == pytest.approx(full.metrics.val_accuracy, abs=0.05)
    assert low.config_digest != full.config_digest


def test_tf32_is_refused_where_there_is_none(dataset):
    with pytest.raises(DeviceError, match=r"trainer\.precision=tf32 needs device=cuda, got cpu"):
        train_trial(TrialSpec(trainer=TrainerSpec(precision="tf32")), dataset)
