"""On a CPU a trial gives the same numbers to the last bit alone and in any cohort."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from phalanx import LOSSES, MLP, OPTIMIZERS, TrainerSpec, TrialSpec, load_dataset, train_cohort, train_trial
from phalanx.nn.models.activations import ACTIVATIONS

# Odd sizes on purpose: rows of parameters that are not aligned, batches that are not full, tensors with odd ends.
CASES = [
    ((64, 64), 32, 3, "adam", "relu", "cross_entropy"),
    ((33, 17), 29, 9, "sgd", "tanh", "mse"),
    ((257, 129, 31), 17, 5, "adamw", "gelu", "cross_entropy"),
    ((7,), 1000, 33, "sgd", "sigmoid", "nll"),
    ((512, 256), 128, 6, "adam", "relu", "mse"),
    ((50, 20), 1, 2, "sgd", "relu", "cross_entropy"),  # a single row, as the last batch may be
    ((300, 10), 48, 5, "sgd", "relu", "cross_entropy"),  # a product that is turned
]


@pytest.mark.skipif(not torch.backends.mkl.is_available(), reason="this torch multiplies by another library than MKL")
@pytest.mark.parametrize(("hidden", "batch", "n_trials", "optimizer", "activation", "loss"), CASES)
def test_alone_and_in_a_cohort(hidden, batch, n_trials, optimizer, activation, loss):
    plain = TrialSpec(
        loss=LOSSES[loss](), model=MLP(hidden=hidden, activation=activation, dropout=0.1),
        trainer=TrainerSpec(epochs=1, batch_size=batch),
    )  # fmt: skip
    specs = [replace(plain, seed=s, optimizer=OPTIMIZERS[optimizer](lr=0.002 * (s + 1))) for s in range(n_trials)]
    dataset = load_dataset(plain.data)
    together = train_cohort(specs, dataset)
    for place in (n_trials // 2, n_trials - 1):
        alone = train_trial(specs[place], dataset)
        assert alone.metrics == together[place].metrics
        assert all(alone.weights[name].equal(together[place].weights[name]) for name in alone.weights)


@pytest.mark.parametrize("loss", ["cross_entropy", "sampled_softmax"])
def test_initial_weights_and_order_have_seeds_of_their_own(loss):
    """Seed 3 with the order of 7, and seed 7 with the weights of 3, are one training, in a cohort with others too."""
    own = {"n_sampled": 4} if loss == "sampled_softmax" else {}
    plain = TrialSpec(
        loss=LOSSES[loss](**own), model=MLP(hidden=(9,), dropout=0.3), trainer=TrainerSpec(epochs=2, batch_size=29)
    )

    def spec(seed, **seeds):
        return replace(plain, seed=seed, trainer=replace(plain.trainer, **seeds))

    specs = [spec(3, order_seed=7), spec(7, init_seed=3), spec(3), spec(7), spec(5, init_seed=3, order_seed=7)]
    found = train_cohort(specs, load_dataset(plain.data))
    weights = [torch.cat([tensor.flatten() for tensor in result.weights.values()]) for result in found]
    assert weights[0].equal(weights[1])
    assert weights[0].equal(weights[4])
    assert not any(one.equal(other) for i, one in enumerate(weights[1:4]) for other in weights[i + 2 : 4])
    drawn = [one.model.initial(one.model.layout(64, 10), [one.init_seed]) for one in specs[:3]]
    assert drawn[0].equal(drawn[1])
    assert drawn[0].equal(drawn[2])


@pytest.mark.parametrize("activation", ACTIVATIONS.values(), ids=ACTIVATIONS)
def test_an_activation_rounds_alike_alone_and_in_a_cohort(activation):
    """Whatever the sizes: vector instructions compute what fills a register, another function what is left over."""
    stream = torch.Generator().manual_seed(0)
    for n_batch, n_units in [(1, 1), (3, 5), (7, 33), (29, 17), (32, 64), (33, 31), (64, 50)]:
        z_TBH = 2 * torch.randn(5, n_batch, n_units, generator=stream)
        for place in range(len(z_TBH)):
            assert activation.apply(z_TBH.clone())[place].equal(activation.apply(z_TBH[place : place + 1].clone())[0])
            if activation.slope is not None:
                assert activation.slope(z_TBH.clone())[place].equal(activation.slope(z_TBH[place].clone()))


def test_alone_and_beside_other_losses():
    """The likelihood is the loss for some of them, and a number of its own for others."""
    losses = [LOSSES["cross_entropy"](), LOSSES["mse"](), LOSSES["nll"](), LOSSES["cross_entropy"](label_smoothing=0.1)]
    specs = [TrialSpec(loss=loss, model=MLP(hidden=(9,)), trainer=TrainerSpec(epochs=2)) for loss in losses]
    dataset = load_dataset(specs[0].data)
    for spec, together in zip(specs, train_cohort(specs, dataset), strict=True):
        alone = train_trial(spec, dataset)
        assert alone.metrics == together.metrics
        curves = ([replace(row, seconds=0.0) for row in result.history] for result in (alone, together))
        assert next(curves) == next(curves)


def test_alone_and_beside_networks_of_other_shapes():
    shapes = [(8,), (31,), (64,), (16, 5), (40, 40), (9, 64, 24), (33, 33, 33), (8,)]
    specs = [
        TrialSpec(seed=seed, model=MLP(hidden=hidden, dropout=0.1 * (seed % 2)), trainer=TrainerSpec(epochs=2))
        for seed, hidden in enumerate(shapes)
    ]
    dataset = load_dataset(specs[0].data)
    for spec, together in zip(specs, train_cohort(specs, dataset), strict=True):
        alone = train_trial(spec, dataset)
        assert alone.metrics == together.metrics
        assert all(alone.weights[name].equal(together.weights[name]) for name in alone.weights)
