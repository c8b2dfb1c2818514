"""What vectorising can break, tried at random: a trial's numbers must not depend on who trains beside it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from conftest import blobs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phalanx import LOSSES, MLP, OPTIMIZERS, SCHEDULES, DeviceSpec, TrainerSpec, TrialSpec, partition
from phalanx.cohort import Cohort
from phalanx.observer import Observer
from phalanx.result import Status
from phalanx.training import train_cohort, train_trial

DATA = blobs(n_train=50, n_val=20)
# float32 in another order of summation, over some 20 updates; a wrong neighbour shows in the first digit.
REL = 2e-3
SANE = 1e20

seeds = st.integers(0, 1000)
rates = st.sampled_from([1e-3, 1e-2, 0.05, 1e36])  # the last one diverges
fractions = st.sampled_from([0.0, 0.1, 0.5])


@st.composite
def cohorts(draw):
    """2 to 5 trials equal in static fields and different in everything else."""
    name = draw(st.sampled_from(["sgd", "adam", "adamw"]))
    optimizer = OPTIMIZERS[name]
    mixing = [LOSSES[name](output=output) for name in LOSSES if LOSSES[name].mixes for output in LOSSES[name].outputs]
    losses = st.sampled_from(draw(st.sampled_from([mixing, mixing, [LOSSES["sampled_softmax"](n_sampled=2)]])))
    schedules = st.sampled_from([SCHEDULES[name] for name in SCHEDULES])
    batch_size, zero_grad = draw(st.sampled_from([7, 25, None])), draw(st.sampled_from([True, True, True, False]))
    activation = draw(st.sampled_from(["relu", "tanh", "gelu", "identity"]))
    shapes = st.sampled_from([(6, 5), (6, 5), (3,), (2, 7), (4, 5, 9)])
    device = DeviceSpec(pad=draw(st.booleans()))

    def trial() -> TrialSpec:
        loss = draw(losses)
        extra = {"momentum": draw(fractions)} if name == "sgd" else {"beta1": draw(st.sampled_from([0.0, 0.9]))}
        return TrialSpec(
            seed=draw(seeds),
            optimizer=optimizer(lr=draw(rates), weight_decay=draw(fractions), **extra),
            loss=replace(loss, label_smoothing=draw(fractions) if loss.mixes else 0.0),
            schedule=draw(schedules)(warmup_epochs=draw(st.sampled_from([0.0, 1.5]))),
            device=device,
            model=MLP(hidden=draw(shapes), activation=activation, dropout=draw(fractions)),
            trainer=TrainerSpec(
                epochs=draw(st.integers(1, 3)), batch_size=batch_size,
                patience=draw(st.sampled_from([None, 1])), clip_norm=draw(st.sampled_from([None, 0.1])),
                zero_grad=zero_grad,
            ),
        )  # fmt: skip

    return [trial() for _ in range(draw(st.integers(2, 5)))]


def assert_same(one, other):
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


@given(cohorts(), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_membership_order_and_size_do_not_matter(specs, random):
    alone = [train_trial(spec, DATA) for spec in specs]
    order = list(range(len(specs)))
    random.shuffle(order)
    chosen = order[: random.randint(1, len(order))]
    for position, result in zip(chosen, train_cohort([specs[i] for i in chosen], DATA), strict=True):
        assert_same(result, alone[position])


@given(cohorts(), st.lists(st.integers(0, 3), min_size=5, max_size=5), st.integers(0, 4), st.integers(1, 2))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_when_a_trial_joins_and_who_is_pruned_beside_it_do_not_matter(specs, delays, unlucky, fatal_epoch):
    """Each trial joins after so many epochs of the cohort; one of them is pruned on the way."""

    class Pruner(Observer):
        def on_epoch(self, rows):
            return [p for p, row in rows.items() if order[p] == unlucky and row.epoch == fatal_epoch]

    cohort, order, found, waiting = Cohort(specs[0], DATA, Pruner()), [], {}, dict(enumerate(delays[: len(specs)]))
    for epoch in range(50):
        due = [i for i, delay in waiting.items() if delay == epoch]
        if due:
            order += due
            cohort.join([specs[i] for i in due])
            waiting = {i: delay for i, delay in waiting.items() if i not in due}
        if cohort.running:
            found |= {order[position]: result for position, result in cohort.epoch().items()}
    assert sorted(found) == list(range(len(specs)))
    for i, result in found.items():
        if result.status is Status.PRUNED:
            assert (i, result.epochs) == (unlucky, fatal_epoch)
        else:
            assert_same(result, train_trial(specs[i], DATA))


@given(st.lists(st.tuples(seeds, st.sampled_from([3, 4]), st.sampled_from(["sgd", "adam"])), max_size=12))
def test_a_partition_has_everyone_once_and_nobody_in_the_wrong_cohort(choices):
    specs = [TrialSpec(seed=s, trainer=TrainerSpec(batch_size=b), optimizer=OPTIMIZERS[o]()) for s, b, o in choices]
    parts = partition(specs)
    assert sorted(i for part in parts for i in part) == list(range(len(specs)))
    kinds = [{(specs[i].trainer.batch_size, specs[i].optimizer.name) for i in part} for part in parts]
    assert all(len(kind) == 1 for kind in kinds)
    assert len({next(iter(kind)) for kind in kinds}) == len(parts)
