"""Class weights: their formula, every loss with them, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from support.datasets import blobs

from phalanx import LOSSES, MLP, TrainerSpec, TrialSpec
from phalanx.core.errors import SpecError
from phalanx.data.base import Split
from phalanx.nn.losses.class_weights import class_weights
from phalanx.nn.losses.cross_entropy import CrossEntropy
from phalanx.nn.losses.function_loss import function_loss
from phalanx.nn.losses.stacked import StackedLoss
from phalanx.training.data_check import check_with_data
from phalanx.training.loop import train_cohort, train_trial
from phalanx.training.spec import config_digest

CPU = torch.device("cpu")
C, B = 3, 30
COUNTS = [18, 9, 3]


def batch(n_trials=1):
    """Logits, and classes whose counts are `COUNTS` in each trial."""
    stream = torch.Generator().manual_seed(0)
    y_B = torch.arange(C).repeat_interleave(torch.tensor(COUNTS))
    return 2 * torch.randn(n_trials, B, C, generator=stream), y_B.repeat(n_trials, 1)


def focal(logits, y, *, gamma: float = 2.0):
    nll = torch.nn.functional.cross_entropy(logits, y, reduction="none")
    return (1 - (-nll).exp()) ** gamma * nll


def centred(logits, y):
    """A loss whose samples depend on each other."""
    return torch.nn.functional.cross_entropy(logits - logits.mean(0), y, reduction="none")


@dataclass(frozen=True, kw_only=True)
class Unweighted(CrossEntropy):
    name: ClassVar[str] = "unweighted"
    unweighted: ClassVar[tuple[str, str]] = (", which has its own", "loss=cross_entropy")


@pytest.mark.parametrize("seed", range(5))
def test_balanced_weights_are_those_of_scikit_learn(seed):
    y_N = np.random.default_rng(seed).choice(6, 200, p=[0.5, 0.2, 0.15, 0.1, 0.04, 0.01])
    counts = np.bincount(y_N, minlength=6)
    there = np.flatnonzero(counts)  # scikit-learn refuses a class without a row
    expected = compute_class_weight("balanced", classes=there, y=y_N)
    np.testing.assert_allclose(class_weights("balanced", counts)[there], expected, rtol=1e-12)
    assert not class_weights("balanced", counts)[counts == 0].any()


def test_weights_have_the_mean_one_over_the_training_rows():
    for wanted in ("none", "balanced", (1.0, 5.0, 0.0)):
        found = class_weights(wanted, COUNTS)
        assert np.average(found, weights=COUNTS) == pytest.approx(1, rel=1e-12)
    np.testing.assert_allclose(class_weights((2.0, 10.0, 0.0), COUNTS), class_weights((1.0, 5.0, 0.0), COUNTS))
    assert class_weights((1.0, 5.0, 0.0), COUNTS)[1] == pytest.approx(5 * 30 / (18 + 5 * 9))


def test_the_gradient_over_the_whole_split_is_that_of_torchs_weighted_cross_entropy():
    logits_TBC, y_TB = batch()
    for wanted in ("balanced", (1.0, 5.0, 0.0)):
        loss = StackedLoss([CrossEntropy(class_weights=wanted)], CPU, [COUNTS])
        loss_TB, grad_TBC = loss.value_and_grad(logits_TBC.clone(), y_TB)
        leaf_BC = logits_TBC[0].double().requires_grad_()
        given = torch.tensor(class_weights(wanted, COUNTS))
        torch.nn.CrossEntropyLoss(weight=given)(leaf_BC, y_TB[0]).backward()
        torch.testing.assert_close(grad_TBC[0].double(), leaf_BC.grad, rtol=1e-4, atol=1e-7)
        plain_B = torch.nn.functional.cross_entropy(logits_TBC[0], y_TB[0], reduction="none")
        torch.testing.assert_close(loss_TB[0], plain_B)  # the loss that is recorded has no weights
        assert torch.equal(loss(logits_TBC, y_TB), loss_TB)


@pytest.mark.parametrize("function", [focal, centred])
def test_a_loss_of_ones_own_has_them_too(function):
    logits_TBC, y_TB = batch(2)
    own = function_loss(function)
    loss = StackedLoss([own(class_weights="balanced"), own(class_weights=(1.0, 2.0, 3.0))], CPU, [COUNTS] * 2)
    assert len(loss.kinds) == 1  # computed at once
    loss_TB, grad_TBC = loss.value_and_grad(logits_TBC.clone(), y_TB)
    for place, wanted in enumerate(("balanced", (1.0, 2.0, 3.0))):
        leaf_BC = logits_TBC[place].double().requires_grad_()
        exact_B = function(leaf_BC, y_TB[place])
        (torch.tensor(class_weights(wanted, COUNTS))[y_TB[place]] * exact_B).mean().backward()
        torch.testing.assert_close(grad_TBC[place].double(), leaf_BC.grad, rtol=1e-4, atol=1e-7)
        torch.testing.assert_close(loss_TB[place].double(), exact_B.detach(), rtol=1e-4, atol=1e-6)


def test_trials_with_and_without_weights_have_the_same_bits_alone_and_in_a_cohort():
    data = blobs()
    losses = [
        CrossEntropy(), CrossEntropy(class_weights="balanced"), LOSSES["mse"](class_weights=(1.0, 5.0, 0.5)),
        LOSSES["mse"](), LOSSES["one_vs_all"](label_smoothing=0.1, class_weights="balanced"),
        function_loss(focal)(class_weights=(0.0, 1.0, 1.0)), function_loss(focal)(),
    ]  # fmt: skip
    specs = [TrialSpec(loss=loss, model=MLP(hidden=(9,)), trainer=TrainerSpec(epochs=2)) for loss in losses]
    results = train_cohort(specs, data)
    for spec, together in zip(specs, results, strict=True):
        alone = train_trial(spec, data)
        assert alone.metrics == together.metrics
        assert all(alone.weights[name].equal(together.weights[name]) for name in alone.weights)
    assert len({result.weights["layers.0.weight"].sum().item() for result in results}) == len(results)


def test_no_weights_change_no_digest_and_weights_do():
    assert config_digest(TrialSpec(loss=CrossEntropy(class_weights="none"))) == config_digest(TrialSpec())
    wanted = ("none", "balanced", (1.0, 5.0), (5.0, 1.0))
    assert len({config_digest(TrialSpec(loss=CrossEntropy(class_weights=w))) for w in wanted}) == 4


@pytest.mark.parametrize(
    "wanted", [(1.0, -1.0), (float("nan"), 1.0), (float("inf"), 1.0), (), (0.0, 0.0), "blanced", 3]
)
def test_weights_that_are_none_are_refused(wanted):
    with pytest.raises(SpecError, match=r"loss\.class_weights must be .*; try loss\.class_weights=balanced"):
        CrossEntropy(class_weights=wanted)


def test_a_loss_that_takes_none_says_so():
    assert Unweighted().class_weights == "none"
    with pytest.raises(
        SpecError, match=r"must be none with loss=unweighted, which has its own, got 'balanced'; try loss"
    ):
        Unweighted(class_weights="balanced")


def test_weights_for_other_classes_are_refused_with_the_other_faults_of_the_data():
    data = blobs()
    spec = TrialSpec(loss=CrossEntropy(class_weights=(1.0, 5.0)), objective="val_auroc")
    kept_N = data.val.y_N != 2
    thinned = replace(data, val=Split(data.val.x_ND[kept_N], data.val.y_N[kept_N]))
    with pytest.raises(SpecError) as caught:
        check_with_data(spec, thinned)
    texts = list(map(str, caught.value.faults))
    assert [text.split(" must")[0] for text in texts] == ["objective", "loss.class_weights"]
    names = ", ".join(map(repr, data.classes))
    assert f"3 numbers, one for each class in the order {names}, got [1.0, 5.0]" in texts[1]
    assert texts[1].endswith("try 'loss.class_weights=[1,5,1]'")


def test_weights_that_are_zero_for_every_training_sample_are_refused():
    data = blobs()
    kept_N = data.train.y_N == 0
    thinned = replace(data, train=Split(data.train.x_ND[kept_N], data.train.y_N[kept_N]))
    check_with_data(TrialSpec(loss=CrossEntropy(class_weights=(0.0, 1.0, 0.0))), data)
    with pytest.raises(SpecError, match="not 0 for all classes of the training samples"):
        check_with_data(TrialSpec(loss=CrossEntropy(class_weights=(0.0, 1.0, 0.0))), thinned)
