"""Candidate sampling: what is drawn, that it is right on average, and that with all classes it is the full softmax."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.datasets import blobs

from phalanx import LOSSES, MLP, TrainerSpec, TrialSpec
from phalanx.core.seeding import draw_keys
from phalanx.nn.losses.sampled_softmax import SampledSoftmax, StratifiedSampler
from phalanx.nn.models import ModelSpec, SampledClasses
from phalanx.training.loop import train_trial
from phalanx.training.spec import static_key

CPU = torch.device("cpu")
SEEDS = st.lists(st.integers(0, 10**6), min_size=1, max_size=4)


@given(st.integers(2, 3000), st.integers(1, 3000), SEEDS, st.integers(0, 10**5))
@settings(max_examples=100, deadline=None)
def test_each_step_draws_one_class_of_each_stratum_whatever_other_trials_draw(n_classes, n_sampled, seeds, step):
    sampler, alone = (
        SampledSoftmax(n_sampled=n_sampled).class_sampler(some, n_classes, CPU) for some in (seeds, seeds[-1:])
    )
    for each in (sampler, alone):
        each.step_T += step
    classes_TS = sampler()
    assert classes_TS.shape == (len(seeds), min(n_sampled, n_classes))
    assert (classes_TS >= sampler.first_S).all()
    assert (classes_TS < sampler.first_S + sampler.length_S).all()
    assert sampler.length_S.sum() == n_classes
    assert sampler.length_S.max() - sampler.length_S.min() <= 1
    assert torch.equal(alone()[0], classes_TS[-1])


def test_all_classes_of_a_stratum_are_drawn_as_often_and_one_step_says_nothing_of_the_next():
    sampler, counts, pairs = StratifiedSampler(draw_keys([7]), 12, 3), torch.zeros(12), torch.zeros(4, 4)
    before = None
    for _ in range(8000):
        classes_S = sampler()[0]
        counts[classes_S] += 1
        if before is not None:
            pairs[before, classes_S[0]] += 1
        before = classes_S[0]
        sampler.step_T += 1
    assert counts.sub(2000).abs().max() < 5 * math.sqrt(2000)
    assert pairs.sub(500).abs().max() < 5 * math.sqrt(500)


def test_each_seed_draws_its_own_classes():
    one_S, other_S = SampledSoftmax(n_sampled=30).class_sampler([0, 1], 3000, CPU)()
    assert (one_S == other_S).float().mean() < 0.2


def full(logits_BC, y_B):
    """Loss (B,) and gradient (B, C) of cross-entropy."""
    loss_TB, grad_TBC = LOSSES["cross_entropy"]().value_and_grad(logits_BC[None], y_B[None])
    return loss_TB[0], grad_TBC[0]


def sampled(sampler, logits_BC, y_B):
    """The same of one draw."""
    classes_TS = sampler()
    sampled_classes = SampledClasses(y_B[None], classes_TS)
    loss_TB, grad_TBK = sampler.value_and_grad(sampled_classes.select(logits_BC[None]), y_B[None], classes_TS)
    grad_BC = torch.zeros_like(logits_BC)
    grad_BC.scatter_add_(1, classes_TS.expand(len(y_B), -1), grad_TBK[0, :, 1:])
    return loss_TB[0], grad_BC.scatter_add_(1, y_B[:, None], grad_TBK[0, :, :1])


def test_with_all_classes_drawn_it_is_the_full_softmax():
    logits_BC, y_B = 3 * torch.randn(20, 9, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 9
    found, exact = sampled(StratifiedSampler(draw_keys([0]), 9, 9), logits_BC, y_B), full(logits_BC, y_B)
    for ours, theirs in zip(found, exact, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)


def test_the_estimated_sum_is_right_on_average_and_the_gradient_nears_the_full_one_as_more_are_drawn():
    stream = torch.Generator().manual_seed(1)
    logits_BC, y_B = torch.randn(16, 64, generator=stream), torch.randint(64, (16,), generator=stream)
    exact_loss_B, exact_BC = full(logits_BC, y_B)
    own_B = logits_BC.gather(1, y_B[:, None])[:, 0]
    errors = []
    for n_sampled in (2, 8, 32):
        sampler, total_B, error = StratifiedSampler(draw_keys([3]), 64, n_sampled), torch.zeros(16), 0.0
        for _ in range(1500):
            loss_B, grad_BC = sampled(sampler, logits_BC, y_B)
            total_B += (loss_B + own_B).exp() / 1500
            error += (grad_BC - exact_BC).norm().item() / 1500
            sampler.step_T += 1
        torch.testing.assert_close(total_B, (exact_loss_B + own_B).exp(), rtol=0.15, atol=0)
        errors.append(error / exact_BC.norm().item())
    assert errors[0] > 1.5 * errors[1]
    assert errors[1] > 1.5 * errors[2]


class ByAutograd(ModelSpec):
    """The same networks without gradients of their own."""

    def __init__(self, model):
        object.__setattr__(self, "model", model)

    def forward(self, tensors, x_TBD, dropout=None, depths=None):
        return self.model.forward(tensors, x_TBD, dropout, depths)


@pytest.mark.parametrize("hidden", [(5,), (6, 5)])
def test_the_last_layer_by_hand_has_autograds_gradients(hidden):
    model, stream = MLP(hidden=hidden, activation="tanh"), torch.Generator().manual_seed(0)
    layout = model.layout(4, 30)
    params_TP, x_TBD = model.initial(layout, [1, 2]), torch.randn(2, 8, 4, generator=stream)
    y_TB = torch.randint(3, (2, 8), generator=stream)  # the same class several times in a batch
    sampler = StratifiedSampler(draw_keys([1, 2]), 30, 7)
    classes_TS, found = sampler(), []
    for family in (model, ByAutograd(model)):
        grads_TP = torch.full_like(params_TP, 9.0)  # what was there before has to go
        logits_TBK, backward = family.vjp(layout.views(params_TP), x_TBD, sampled=SampledClasses(y_TB, classes_TS))
        backward(sampler.value_and_grad(logits_TBK, y_TB, classes_TS)[1], layout.views(grads_TP))
        found.append((logits_TBK, grads_TP))
    for ours, exact in zip(*found, strict=True):
        torch.testing.assert_close(ours, exact, rtol=1e-5, atol=1e-7)


def test_a_step_knows_neither_accuracy_nor_likelihood_and_the_end_knows_both():
    spec = TrialSpec(loss=SampledSoftmax(n_sampled=4), trainer=TrainerSpec(epochs=3))
    result = train_trial(spec, blobs(n_train=120, n_classes=10))
    for row in result.history:
        assert math.isfinite(row.train_loss)
        assert math.isnan(row.train_accuracy)
        assert math.isnan(row.train_likelihood)
        assert math.isfinite(row.val_accuracy)
    assert 0 < result.metrics.train_accuracy <= 1
    assert result.metrics.train_likelihood == pytest.approx(math.exp(-result.metrics.train_loss))


def test_a_trial_with_all_classes_drawn_trains_as_with_cross_entropy():
    data, trainer = blobs(n_train=120, n_classes=10), TrainerSpec(epochs=3)
    one, other = (
        train_trial(TrialSpec(loss=loss, trainer=trainer), data).history
        for loss in (SampledSoftmax(n_sampled=1000), LOSSES["cross_entropy"]())
    )
    for a, b in zip(one, other, strict=True):
        assert (a.train_loss, a.val_loss) == pytest.approx((b.train_loss, b.val_loss), rel=1e-4)


def test_it_shares_no_cohort_with_other_losses_or_another_number_of_classes():
    losses = (SampledSoftmax(), SampledSoftmax(n_sampled=5), LOSSES["mse"]())
    keys = [static_key(TrialSpec(loss=loss)) for loss in losses]
    assert len(set(keys)) == 3
    assert static_key(TrialSpec(loss=SampledSoftmax(), seed=4)) == keys[0]
