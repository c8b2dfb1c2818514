"""First weights: each rule's formula, one stream a seed, and the same in a cohort of several rules."""

from __future__ import annotations

import math

import pytest
import torch
from support.datasets import blobs

from phalanx import MLP, TrainerSpec, TrialSpec
from phalanx.core.device import threads
from phalanx.core.errors import SpecError
from phalanx.nn.models.initial import RULES
from phalanx.training.loop import train_cohort, train_trial

D, H = 300, 200
BOUNDS = {"torch": D**-0.5, "kaiming": math.sqrt(6 / D), "xavier": math.sqrt(6 / (D + H))}


def first_layer(rule, seed=0, hidden=(H,)):
    model = MLP(hidden=hidden, init=rule)
    layout = model.layout(D, 3)
    weight_1HD, bias_1H = layout.views(model.initial(layout, [seed]))[:2]
    return weight_1HD[0], bias_1H[0]


@pytest.mark.parametrize("rule", BOUNDS)
def test_weights_are_uniform_between_the_bounds_of_the_rule(rule):
    weight_HD, bias_H = first_layer(rule)
    bound = BOUNDS[rule]
    assert 0.999 * bound < weight_HD.abs().max() <= bound
    # The standard error of the variance of 60,000 uniform numbers is 0.4 % of it.
    assert weight_HD.var().item() == pytest.approx(bound**2 / 3, rel=0.02)
    assert (bias_H == 0).all() == (rule != "torch")


@pytest.mark.parametrize("n_units", [H, D, 2 * D])
def test_orthogonal_weights_have_orthonormal_rows_or_columns(n_units):
    weight_HD, bias_H = first_layer("orthogonal", hidden=(n_units,))
    square = weight_HD @ weight_HD.T if n_units <= D else weight_HD.T @ weight_HD
    torch.testing.assert_close(square, torch.eye(len(square)), rtol=0, atol=1e-5)
    assert (bias_H == 0).all()


@pytest.mark.parametrize("rule", RULES)
def test_they_depend_on_the_seed_alone(rule):
    with threads(1):
        one = first_layer(rule, seed=5)[0]
    with threads(2):
        assert torch.equal(first_layer(rule, seed=5)[0], one)
    assert not torch.equal(first_layer(rule, seed=6)[0], one)


def test_a_cohort_of_several_rules_trains_each_as_alone():
    data = blobs(n_train=60, n_val=20)
    specs = [TrialSpec(model=MLP(hidden=(8, 7), init=rule), trainer=TrainerSpec(epochs=2)) for rule in RULES]
    results = train_cohort(specs, data)
    for spec, result in zip(specs, results, strict=True):
        alone = train_trial(spec, data)
        assert all(torch.equal(result.weights[name], alone.weights[name]) for name in alone.weights)
    assert len({result.metrics.val_loss for result in results}) == len(RULES)


def test_another_rule_is_refused():
    with pytest.raises(SpecError, match=r"model\.init must be one of torch, kaiming, xavier, orthogonal, got 'he'"):
        MLP(init="he")
