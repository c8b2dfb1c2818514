"""Losses that are functions of one trial's logits and classes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from phalanx import LOSSES, MLP, TrialSpec
from phalanx.core.errors import RequestError, SpecError
from phalanx.core.extensions import ExtensionError
from phalanx.nn.losses.function_loss import _can_stack, function_loss
from phalanx.nn.losses.stacked import StackedLoss
from phalanx.testing import LossContract
from phalanx.training.loop import train_trial


def focal(logits, y, *, gamma: float = 2.0):
    nll = F.cross_entropy(logits, y, reduction="none")
    return (1 - (-nll).exp()) ** gamma * nll


def plain(logits, classes, *, scale: float = 1.0):
    return scale * F.cross_entropy(logits, classes, reduction="none")


def sorted_first(logits, y):
    """Depends on values, which vmap cannot follow."""
    return F.cross_entropy(logits, y, reduction="none") * (2 if logits.max() > 0 else 1)


def mean(logits, y):
    return F.cross_entropy(logits, y)


def failing(logits, y):
    return F.nll_loss(logits[:, 0], y, reduction="none")


FOCAL, PLAIN, SORTED = map(function_loss, (focal, plain, sorted_first))
CPU = torch.device("cpu")


class TestFunctions(LossContract):
    @pytest.fixture(params=["focal", "gamma", "plain", "by values"])
    def spec(self, request):
        return {"focal": FOCAL(), "gamma": FOCAL(gamma=1.5), "plain": PLAIN(), "by values": SORTED()}[request.param]


def test_it_trains_as_the_built_in_one(dataset):
    own, built_in = (
        train_trial(TrialSpec(model=MLP(hidden=(8,)), loss=loss), dataset)
        for loss in (PLAIN(), LOSSES["cross_entropy"]())
    )
    assert [row.val_loss for row in own.history] == pytest.approx([r.val_loss for r in built_in.history], rel=1e-4)
    assert own.metrics.test_likelihood == pytest.approx(built_in.metrics.test_likelihood, rel=1e-4)


def test_its_source_is_part_of_the_digest_and_so_are_its_keys(dataset):
    digests = {
        train_trial(TrialSpec(loss=loss), dataset).config_digest for loss in (FOCAL(), FOCAL(gamma=1.0), PLAIN())
    }
    assert len(digests) == 3
    assert FOCAL.source.startswith("test_function_losses.py, digest ")


def test_losses_of_one_function_with_several_values_share_a_cohort():
    logits_TBC, y_TB = torch.randn(3, 5, 4), torch.randint(4, (3, 5))
    loss = StackedLoss([FOCAL(gamma=2.0), PLAIN(), FOCAL(gamma=1.0)], CPU)
    loss_TB, grad_TBC = loss.value_and_grad(logits_TBC, y_TB)
    for place, spec in enumerate(loss.specs):
        leaf_BC = logits_TBC[place].clone().requires_grad_()
        own_B = type(spec)._function(leaf_BC, y_TB[place], **({} if place == 1 else {"gamma": 2.0 - place / 2}))
        own_B.mean().backward()
        torch.testing.assert_close(loss_TB[place], own_B.detach())
        torch.testing.assert_close(grad_TBC[place], leaf_BC.grad)


def test_what_vmap_cannot_compute_is_computed_trial_by_trial():
    assert _can_stack(PLAIN(), 16, 4, CPU)
    assert not _can_stack(SORTED(), 16, 4, CPU)


def test_a_function_that_takes_the_mean_is_refused_with_its_file():
    with pytest.raises(RequestError, match=r"loss=mean must return one number a sample, of the shape \(5,\), got \(\); "
                       r"take no mean, such as by reduction='none' \(test_function_losses\.py, digest"):  # fmt: skip
        function_loss(mean)()(torch.randn(2, 5, 3), torch.zeros(2, 5, dtype=torch.int64))


def test_a_function_that_fails_is_refused_with_its_file():
    with pytest.raises(RequestError, match=r"loss=failing fails on a batch: .*\(test_function_losses\.py, digest"):
        function_loss(failing)()(torch.randn(2, 5, 3), torch.zeros(2, 5, dtype=torch.int64))


def test_it_knows_no_other_output_and_no_smoothing():
    with pytest.raises(SpecError, match=r"loss\.label_smoothing must be 0 with loss=focal"):
        FOCAL(label_smoothing=0.1)
    with pytest.raises(SpecError, match=r"loss\.output must be logits with loss=focal"):
        FOCAL(output="softmax")


def test_a_signature_without_logits_and_classes_is_refused():
    def one(logits): ...

    with pytest.raises(ExtensionError, match=r"one must take logits \(B, C\) and classes \(B,\) before the \*"):
        function_loss(one)
