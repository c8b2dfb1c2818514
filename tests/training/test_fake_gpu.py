"""What a step does on a GPU, checked where there is none: it never waits for the GPU, and works on one device alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from support.cohorts import OUTPUTS, mixed
from support.datasets import blobs
from support.fake_gpu import FakeGpu
from support.given_rows import folds, with_data

from phalanx import LOSSES, MLP, OPTIMIZERS, TrainerSpec, TrialSpec
from phalanx.data import Split
from phalanx.nn.models.activations import ACTIVATIONS
from phalanx.training.chunk import Chunk
from phalanx.training.cuda_graph import CapturedStep

CUDA = torch.device("cuda")
DATA = blobs(n_train=20)  # two full batches of 8, and a rest


class EpochEnd(Exception):
    """Ends an epoch before its sums are fetched, which have no numbers."""


def repeated(body):
    body()
    return body


def crossings(specs, datasets, monkeypatch):
    """What crosses between the CPU and the GPU in each step of an epoch but the first, which includes what is before."""
    data = {id(dataset): dataset for dataset in datasets}
    counts = {len(d.train): d.train.class_counts(d.n_classes) for d in data.values()}
    monkeypatch.setattr(Split, "class_counts", lambda split, _: counts[len(split)])
    monkeypatch.setattr("phalanx.training.chunk.FEWEST", 1)
    monkeypatch.setattr("phalanx.training.cuda_graph.WARM_UP", 1)
    found = []

    def on_step(_, step):
        found.append(dict(gpu.crossings))
        gpu.crossings.clear()
        if step == chunk.stack.steps_per_epoch:
            raise EpochEnd

    around = specs[0].model.enclosing([spec.model for spec in specs])
    with FakeGpu() as gpu:
        on_gpu = {place: dataset.to(CUDA) for place, dataset in data.items()}
        datasets = [on_gpu[id(dataset)] for dataset in datasets]
        chunk = Chunk(specs[0], datasets[0], CUDA, test=False, model=around)
        chunk.capture = repeated
        chunk.join(specs, range(len(specs)), datasets=datasets)
        with pytest.raises(EpochEnd):
            chunk.train_epoch(on_step)
    assert isinstance(chunk.captured, CapturedStep)
    assert len(found) >= 3
    assert found[0]  # the order of the samples and the learning rates come from the CPU
    return [step for step in found[1:] if step]


def with_all(optimizer="sgd", n=8, **trainer):
    """Trials of every loss, schedule, depth, average and class weight in one stack."""
    return [
        replace(
            spec, optimizer=OPTIMIZERS[optimizer](lr=0.01, weight_decay=0.1 * (i % 2)),
            loss=replace(spec.loss, class_weights=("none", "balanced")[i % 2]),
            trainer=replace(
                spec.trainer, clip_norm=1.0 + i, average=("none", "ema", "swa")[i % 3], swa_start=1,
                metrics=("f1_macro", "brier"), **trainer,
            ),
        )
        for i, spec in enumerate(mixed(n))
    ]  # fmt: skip


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
def test_a_step_of_every_option_stays_on_the_gpu(optimizer, monkeypatch):
    specs = with_all(optimizer, n=len(OUTPUTS) if optimizer == "adam" else 2)
    assert crossings(specs, [DATA] * len(specs), monkeypatch) == []


@pytest.mark.parametrize("trainer", [{"precision": "bfloat16"}, {"zero_grad": False}], ids=str)
def test_a_step_in_bfloat16_or_with_a_sum_of_gradients_stays_on_the_gpu(trainer, monkeypatch):
    specs = with_all(n=3, **trainer)
    assert crossings(specs, [DATA] * len(specs), monkeypatch) == []


@pytest.mark.parametrize(
    ("activation", "norm"), [*((a, "none") for a in ACTIVATIONS), ("relu", "layer"), ("relu", "batch")]
)
def test_a_step_with_every_activation_and_norm_stays_on_the_gpu(activation, norm, monkeypatch):
    model = MLP(hidden=(6, 6), activation=activation, norm=norm, residual=True, dropout=0.2)
    specs = [TrialSpec(model=model, trainer=TrainerSpec(batch_size=8))]
    assert crossings(specs, [DATA], monkeypatch) == []


def test_a_step_of_sampled_softmax_stays_on_the_gpu(monkeypatch):
    loss = LOSSES["sampled_softmax"](n_sampled=2, class_weights="balanced")
    specs = [TrialSpec(loss=loss, seed=seed, trainer=TrainerSpec(batch_size=8)) for seed in range(2)]
    assert crossings(specs, [DATA] * 2, monkeypatch) == []


@pytest.mark.parametrize("largest", [1 << 20, 0], ids=["prepared", "one table"])
def test_a_step_of_folds_stays_on_the_gpu(largest, monkeypatch):
    monkeypatch.setattr("phalanx.data.shared_rows.LARGEST_BYTES", largest)
    specs, datasets = with_data(mixed(3), folds(36))
    assert crossings(specs, datasets, monkeypatch) == []


def test_a_number_fetched_in_a_step_is_seen():
    with FakeGpu() as gpu:
        there = torch.ones(3, device=CUDA)
        assert not gpu.crossings
        there + torch.ones(3).to(CUDA)
        assert gpu.crossings.pop("aten._to_copy.default") == 1
        there[torch.tensor([1])]
        assert list(gpu.crossings) == ["aten.index.Tensor"]
        with pytest.raises(RuntimeError, match="_local_scalar_dense"):
            there.sum().item()
        with pytest.raises(RuntimeError, match="device"):
            there + torch.ones(3)
