"""A trial gives the same bits alone and in a cohort at the smallest sizes too: one unit, one sample, two classes.

MKL computes a product of one column, and a small product of one trial with several threads, in ways of their own.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import pytest
import torch
from support.cohorts import exactly
from support.datasets import blobs
from support.jobs import job, trained

from phalanx import LOSSES, MLP, OPTIMIZERS, DeviceSpec, TrainerSpec, TrialSpec, train_cohort, train_trial
from phalanx.data.clouds import Clouds
from phalanx.jobs.scheduler import train_together

pytestmark = pytest.mark.skipif(
    not torch.backends.mkl.is_available(), reason="this torch multiplies by another library than MKL"
)

LOSS = [LOSSES[name]() for name in LOSSES if LOSSES[name].stackable]
SAMPLED = [LOSSES["sampled_softmax"](n_sampled=n) for n in (1, 2)]
HIDDEN = [(1,), (2,), (33,), (1, 33), (5, 1), (17, 2), (1, 20, 3), (1, 1)]
GRID = list(
    itertools.product(
        [*LOSS, *SAMPLED, *SAMPLED],
        HIDDEN,
        [1, 2, 25, 64, None],  # batch size; 101 training samples leave a last batch of 1 or of 37
        [1, 6],  # features
        [2, 3],  # classes
        [1, 2, 20],  # validation samples
        ["tanh", "gelu", "sigmoid", "silu", "selu", "softplus"],
        sorted(OPTIMIZERS),
        [0.0, 0.2],  # dropout
        [2, 3, 5],  # trials
    )
)
# Those that gave other bits in a cohort than alone before products were computed alike.
KNOWN = [
    (LOSSES["cross_entropy"](), (1, 33), 25, 6, 2, 20, "tanh", "adam", 0.0, 3),
    (LOSSES["cross_entropy"](), (5, 1), None, 1, 3, 20, "tanh", "adam", 0.0, 2),
    (SAMPLED[0], (33,), 25, 1, 2, 1, "tanh", "adam", 0.0, 5),
]
APART = [*KNOWN, *random.Random(1).sample(GRID, 21)]


def name_of(case):
    loss, hidden, batch, *rest = case
    return "-".join(map(str, [loss.name, getattr(loss, "n_sampled", ""), "x".join(map(str, hidden)), batch, *rest]))


@pytest.mark.parametrize("case", [*KNOWN, *random.Random(0).sample(GRID, 36)], ids=name_of)
def test_alone_in_any_order_and_beside_one_that_diverges(case):
    loss, hidden, batch, n_features, n_classes, n_val, activation, optimizer, dropout, n_trials = case
    dataset = blobs(n_train=101, n_val=n_val, n_features=n_features, n_classes=n_classes)
    plain = TrialSpec(
        loss=loss, model=MLP(hidden=hidden, activation=activation, dropout=dropout),
        trainer=TrainerSpec(epochs=2, batch_size=batch),
    )  # fmt: skip
    specs = [replace(plain, seed=s, optimizer=OPTIMIZERS[optimizer](lr=0.01 * (s + 1))) for s in range(n_trials)]
    alone = [train_trial(spec, dataset) for spec in specs]
    diverges = replace(specs[0], seed=9, optimizer=OPTIMIZERS[optimizer](lr=1e38))
    for others in ([*specs], [*reversed(specs)], [diverges, *specs[:1]]):
        for spec, result in zip(others, train_cohort(others, dataset), strict=True):
            if spec is not diverges:
                assert exactly(result) == exactly(alone[specs.index(spec)])


@pytest.mark.slow
def test_alone_here_and_alone_or_in_a_cohort_in_another_process(tmp_path):
    shards, names, alone = [], {}, {}
    for loss, hidden, batch, n_features, n_classes, n_val, activation, optimizer, dropout, n_trials in APART:
        data = Clouds(n_train=101, n_val=n_val, n_test=2, n_inputs=n_features, n_classes=n_classes)
        plain = TrialSpec(
            data=data, loss=loss, model=MLP(hidden=hidden, activation=activation, dropout=dropout),
            trainer=TrainerSpec(epochs=2, batch_size=batch),
        )  # fmt: skip
        specs = [replace(plain, seed=s, optimizer=OPTIMIZERS[optimizer](lr=0.01 * (s + 1))) for s in range(n_trials)]
        for shard in (specs, specs[:1]):
            jobs = [job(tmp_path, len(names) + place, trial=spec) for place, spec in enumerate(shard)]
            names |= {one.sweep.number: str(one.trial) for one in jobs}
            shards.append(jobs)
            for one in jobs:
                ((_, alone[one.sweep.number]),) = train_together([one])
    apart = trained(shards)
    assert apart.keys() == alone.keys()
    differing = [names[number] for number, found in apart.items() if told(found) != told(alone[number])]
    assert not differing


def told(found):
    """All numbers of a job's results, for each seed."""
    assert found.error is None
    return [exactly(result) for result in found.results]


@pytest.mark.parametrize(("hidden", "batch"), [((1000,), 333), ((500, 100), 128)])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_alone_with_two_threads_and_in_a_cohort_with_one_for_each_trial(hidden, batch, n_classes):
    """A large step of one trial has several threads; the products of its last layer are small all the same."""
    dataset = blobs(n_train=700, n_val=41, n_features=40, n_classes=n_classes)
    plain = TrialSpec(
        model=MLP(hidden=hidden), trainer=TrainerSpec(epochs=1, batch_size=batch), device=DeviceSpec(threads=2)
    )
    specs = [replace(plain, seed=seed) for seed in range(3)]
    for spec, result in zip(specs, train_cohort(specs, dataset), strict=True):
        alone = train_trial(spec, dataset)
        assert alone.device == "cpu (2 threads)"
        assert result.device == "cpu (1 thread)"
        assert exactly(replace(alone, device="")) == exactly(replace(result, device=""))
