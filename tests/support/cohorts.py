"""Specs of cohorts, and comparisons of their results."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import strategies as st
from support.datasets import blobs

from phalanx import LOSSES, MLP, OPTIMIZERS, SCHEDULES, DeviceSpec, TrainerSpec, TrialSpec
from phalanx.core.result import Status


def mixed(n=6, **trainer):
    """Trials of every loss, schedule and depth in one cohort."""
    losses = [LOSSES[name](output=output, label_smoothing=0.1 * (i % 2)) for i, (name, output) in enumerate(OUTPUTS)]
    schedules = [SCHEDULES[name]() for name in SCHEDULES]
    return [
        TrialSpec(
            seed=i, loss=losses[i % len(losses)], schedule=schedules[i % len(schedules)],
            optimizer=OPTIMIZERS["sgd"](lr=0.05 + 0.01 * i, momentum=0.5 * (i % 2)),
            model=MLP(hidden=SHAPES[i % 4], dropout=0.2 * (i % 3)), trainer=TrainerSpec(**{"epochs": 3, "batch_size": 8} | trainer),
        )
        for i in range(n)
    ]  # fmt: skip


def assert_close(one, other, rel=1e-5):
    for a, b in zip(one.history, other.history, strict=True):
        assert (a.train_loss, a.val_loss, a.lr) == pytest.approx((b.train_loss, b.val_loss, b.lr), rel=rel)
        assert (a.train_accuracy, a.train_likelihood) == pytest.approx((b.train_accuracy, b.train_likelihood), rel=rel)
    for name in one.weights:
        torch.testing.assert_close(one.weights[name], other.weights[name], rtol=10 * rel, atol=rel)


DATA = blobs(n_train=50, n_val=20)


# float32 in another order of summation, over some 20 updates; a wrong neighbour shows in the first digit.
REL = 2e-3


SANE = 1e20


@st.composite
def small_datasets(draw):
    """Splits, features and classes of the smallest sizes, whose products MKL computes in ways of their own."""
    return blobs(
        n_train=draw(st.sampled_from([50, 85, 101])), n_val=draw(st.sampled_from([1, 2, 20])),
        n_features=draw(st.sampled_from([1, 2, 6])), n_classes=draw(st.sampled_from([2, 3])),
    )  # fmt: skip


@st.composite
def cohorts(draw):
    """2 to 5 trials equal in static fields and different in everything else."""
    name = draw(st.sampled_from(sorted(OPTIMIZERS)))
    optimizer = OPTIMIZERS[name]
    stackable = [
        LOSSES[name](output=output) for name in LOSSES if LOSSES[name].stackable for output in LOSSES[name].outputs
    ]
    sampled = [LOSSES["sampled_softmax"](n_sampled=draw(st.sampled_from([1, 1, 2, 3])))]
    losses = st.sampled_from(draw(st.sampled_from([stackable, stackable, sampled])))
    schedules = st.sampled_from([SCHEDULES[name] for name in SCHEDULES])
    batch_size, zero_grad = (
        draw(st.sampled_from([1, 7, 25, None, None])),
        draw(st.sampled_from([True, True, True, False])),
    )
    norm, residual = (
        draw(st.sampled_from(["none", "none", "layer", "batch"])),
        draw(st.sampled_from([False, False, True])),
    )
    if norm == "batch":
        batch_size = batch_size and max(batch_size, 7)
    activation = draw(st.sampled_from(["relu", "tanh", "gelu", "identity", "leaky_relu", "silu", "selu"]))
    # Few shapes, so that some trials share a product.
    n_shapes = 1 if residual or norm != "none" else 3  # those are not padded
    given = st.lists(st.sampled_from(EQUAL if residual else HIDDEN), min_size=1, max_size=n_shapes)
    shapes = st.sampled_from(draw(given))
    device = DeviceSpec(pad=draw(st.sampled_from([False, False, True])))

    def trial() -> TrialSpec:
        loss = draw(losses)
        has_momentum = name in ("sgd", "rmsprop")
        extra = {"momentum": draw(fractions)} if has_momentum else {"beta1": draw(st.sampled_from([0.0, 0.9]))}
        return TrialSpec(
            seed=draw(seeds),
            optimizer=optimizer(lr=draw(rates), weight_decay=draw(fractions), **extra),
            loss=replace(loss, label_smoothing=draw(fractions) if loss.stackable else 0.0,
                         class_weights=draw(st.sampled_from(["none", "none", "balanced"]))),
            schedule=draw(schedules)(warmup_epochs=draw(st.sampled_from([0.0, 1.5]))),
            device=device,
            model=MLP(hidden=draw(shapes), activation=activation, dropout=draw(fractions), norm=norm, residual=residual,
                      init=draw(st.sampled_from(["torch", "torch", "kaiming", "orthogonal"]))),
            trainer=TrainerSpec(
                epochs=draw(st.integers(1, 3)), batch_size=batch_size, drop_last=norm == "batch",
                patience=draw(st.sampled_from([None, 1])), clip_norm=draw(st.sampled_from([None, 0.1])),
                zero_grad=zero_grad, average=draw(st.sampled_from(["none", "none", "ema", "swa"])), swa_start=1,
            ),
        )  # fmt: skip

    return [trial() for _ in range(draw(st.integers(2, 5)))]


def exactly(result):
    """All of a result but times, as text, in which every digit of a number counts."""
    plain = {**result.to_json(), "train_seconds": 0, "samples_per_second": 0, "timing": None}
    weights = {name: tensor.tolist() for name, tensor in sorted((result.weights or {}).items())}
    return repr((plain, [replace(row, seconds=0.0) for row in result.history], weights))


def assert_same(one, other, spec):
    """The same bits, except where zeros pad the networks of `spec`, which changes how a product is rounded."""
    if not spec.device.pad and torch.backends.mkl.is_available():
        assert exactly(one) == exactly(other)
        return
    assert (one.status, one.epochs) == (other.status, other.epochs)
    sane = True
    for a, b in zip(one.history, other.history, strict=True):
        # Past that, on the way to infinity, sums of such weights cancel to no digit that means anything.
        sane &= b.train_loss < SANE and b.val_loss < SANE
        if sane:
            assert (a.train_loss, a.val_loss) == pytest.approx((b.train_loss, b.val_loss), rel=REL)
    if one.status is not Status.DIVERGED and sane:
        for name in one.weights:
            torch.testing.assert_close(one.weights[name], other.weights[name], rtol=REL, atol=1e-4)


OUTPUTS = [(name, output) for name in LOSSES if LOSSES[name].stackable for output in LOSSES[name].outputs]


HIDDEN = [(6, 5), (3,), (2, 7), (4, 5, 9), (1,), (33, 2, 1), (5, 1), (1, 33)]


EQUAL = [(6, 6), (2, 7, 7), (4, 4, 4), (1, 1), (33, 33, 2)]  # what a network with residual connections may have


SHAPES = [(9,), (4,), (3, 11), (5, 2, 4)]


seeds = st.integers(0, 1000)


rates = st.sampled_from([1e-3, 1e-2, 0.05, 1e36])  # the last one diverges


fractions = st.sampled_from([0.0, 0.1, 0.5])
