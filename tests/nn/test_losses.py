"""Every loss on every output it takes: against float64, at logits where a careless form overflows."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import reference
from support.cohorts import OUTPUTS
from support.datasets import blobs

from phalanx import LOSSES, TrainerSpec, TrialSpec
from phalanx.report.run_figures.predicted import predict_split
from phalanx.runs.model_file import load_model, save_model, saved_logits
from phalanx.training.loop import train_trial

FORMS = [(name, output) for name, cls in LOSSES.items() for output in cls.outputs]
CASES = [(*form, s) for form in FORMS for s in (0.0, 0.1) if not (s and form[0] == "sampled_softmax")]
T, B, C = 3, 6, 4
HUGE = 1e7  # exp(1e7) is infinite in every floating-point type


def in_float64(name, output, logits_BC, y_B, smoothing):
    """The reference's loss of each sample by itself, in float64."""
    loss = reference.criterion(name, output, smoothing)
    return torch.stack([loss(z[None], y[None]) for z, y in zip(logits_BC.double(), y_B, strict=True)])


def per_sample(name, output, logits_BC, y_B, smoothing=0.0):
    smoothing_T = torch.tensor([smoothing]) if smoothing else None
    return LOSSES[name](output=output, label_smoothing=smoothing)(logits_BC[None], y_B[None], smoothing_T)[0]


@pytest.mark.parametrize(("name", "output", "smoothing"), CASES)
def test_huge_logits_give_finite_losses_and_gradients_that_are_right_to_1e6(name, output, smoothing):
    logits_BC = torch.tensor(
        [[HUGE, -HUGE, 0], [-HUGE, HUGE, 0], [-HUGE, -HUGE, -HUGE], [HUGE, HUGE, HUGE], [0, 0, -HUGE], [1, 2, 3]]
    ).repeat(3, 1)
    y_B = torch.arange(3).repeat_interleave(6)
    exact_BC = logits_BC.double().requires_grad_()
    ours_B, exact_B = (
        per_sample(name, output, logits_BC, y_B, smoothing),
        in_float64(name, output, exact_BC, y_B, smoothing),
    )
    torch.testing.assert_close(ours_B.double(), exact_B, rtol=1e-6, atol=1e-6)
    smoothing_T = torch.tensor([smoothing]) if smoothing else None
    found_TB, ours_grad_TBC = LOSSES[name](output=output).value_and_grad(logits_BC[None], y_B[None], smoothing_T)
    assert torch.equal(found_TB[0], ours_B)
    (exact_grad,) = torch.autograd.grad(exact_B.mean(), exact_BC)
    torch.testing.assert_close(ours_grad_TBC[0].double(), exact_grad, rtol=1e-5, atol=1e-7)


@given(st.lists(st.floats(-30, 30, width=32), min_size=12, max_size=12), st.sampled_from(CASES))
@settings(max_examples=200, deadline=None)
def test_ordinary_logits_agree_with_float64(numbers, case):
    *form, smoothing = case
    logits_BC, y_B = torch.tensor(numbers).reshape(3, 4), torch.tensor([0, 3, 1])
    ours_B = per_sample(*form, logits_BC, y_B, smoothing)
    torch.testing.assert_close(ours_B.double(), in_float64(*form, logits_BC, y_B, smoothing), rtol=1e-5, atol=1e-6)


def test_the_saved_network_of_one_vs_all_answers_with_its_sigmoids(tmp_path):
    data = blobs()
    for name in ("one_vs_all", "cross_entropy"):
        spec = TrialSpec(loss=LOSSES[name](), trainer=TrainerSpec(epochs=2))
        result = train_trial(spec, data)
        save_model(tmp_path / f"{name}.safetensors", spec, data, result)
        saved, x_ND = load_model(tmp_path / f"{name}.safetensors"), data.test.x_ND
        logits_NC = saved_logits(saved.model, saved.weights, x_ND, 3)
        sigmoid_NC = torch.sigmoid(logits_NC)
        wanted_NC = sigmoid_NC / sigmoid_NC.sum(-1, keepdim=True) if name == "one_vs_all" else logits_NC.softmax(-1)
        torch.testing.assert_close(torch.from_numpy(saved.predict(x_ND.numpy())), wanted_NC)
        torch.testing.assert_close(torch.from_numpy(predict_split(spec, data, result).p_NC), wanted_NC)  # the plots'
        p_true_N = wanted_NC.gather(1, data.test.y_N[:, None])
        assert result.metrics.test_likelihood == pytest.approx(p_true_N.log().mean().exp().item(), rel=1e-5)


def test_one_vs_all_asks_each_class_by_itself():
    """Another class's logit changes this class's answer in a softmax, and not here."""
    y_B, one, other = torch.tensor([0]), torch.tensor([[2.0, -1.0, 0.5]]), torch.tensor([[2.0, -1.0, 9.0]])
    (grad_one,), (grad_other,) = (
        torch.autograd.grad(per_sample("one_vs_all", "logits", z.requires_grad_(), y_B).sum(), z) for z in (one, other)
    )
    assert torch.equal(grad_one[0, :2], grad_other[0, :2])
    assert grad_one[0, 0] == pytest.approx((torch.sigmoid(torch.tensor(2.0)) - 1).item() / 3)


@pytest.mark.parametrize("name", LOSSES)
def test_probabilities_are_positive_and_sum_to_one(name):
    logits_TBC = torch.tensor([[[3.0, -2.0, 0.5], [HUGE, -HUGE, 0], [-HUGE, -HUGE, -HUGE]]])
    p_TBC = LOSSES[name]().log_probabilities(logits_TBC).exp()
    torch.testing.assert_close(p_TBC.sum(-1), torch.ones(1, 3))
    assert torch.equal(p_TBC.argmax(-1)[0, :2], torch.tensor([0, 0]))


def test_the_probabilities_of_one_vs_all_are_its_sigmoids_divided_by_their_sum():
    logits_TBC = torch.tensor([[[3.0, -2.0, 0.5]]])
    sigmoids = torch.sigmoid(logits_TBC)
    torch.testing.assert_close(LOSSES["one_vs_all"]().log_probabilities(logits_TBC).exp(), sigmoids / sigmoids.sum())


@pytest.mark.parametrize("smoothing", [None, [0.0, 0.2, 0.5]])
@pytest.mark.parametrize(("name", "output"), OUTPUTS)
def test_a_losss_gradient_is_that_of_each_trials_mean(name, output, smoothing):
    torch.manual_seed(0)
    loss = LOSSES[name](output=output)
    logits_TBC, y_TB = 3 * torch.randn(T, B, C), torch.randint(0, C, (T, B))
    smoothing_T = None if smoothing is None else torch.tensor(smoothing)
    loss_TB, grad_TBC = loss.value_and_grad(logits_TBC.clone(), y_TB, smoothing_T)
    wide_TBC = logits_TBC.double().requires_grad_()
    # Written out once more, in float64 and without the loss's own code.
    out = {"logits": wide_TBC, "softmax": wide_TBC.softmax(-1), "log_softmax": wide_TBC.log_softmax(-1)}[output]
    s_T11 = torch.zeros(T, 1, 1) if smoothing is None else smoothing_T[:, None, None]
    target_TBC = torch.eye(C)[y_TB].double() * (1 - s_T11) + s_T11 / C
    if name == "mse":
        expected_TB = (out - target_TBC).square().mean(-1)
    elif name == "one_vs_all":
        p_TBC = out.sigmoid()
        expected_TB = -(target_TBC * p_TBC.log() + (1 - target_TBC) * (1 - p_TBC).log()).mean(-1)
    else:
        log_p = {"cross_entropy": out.log_softmax(-1), "nll": out if output == "log_softmax" else (out + 1e-7).log()}
        expected_TB = -(target_TBC * log_p[name]).sum(-1)
    expected_TB.mean(1).sum().backward()
    torch.testing.assert_close(loss_TB.double(), expected_TB.detach(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(grad_TBC.double(), wide_TBC.grad, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(loss(logits_TBC, y_TB, smoothing_T), loss_TB, rtol=1e-6, atol=1e-6)
    leaf_TBC = logits_TBC.clone().requires_grad_()  # and with autograd, as in a notebook
    loss(leaf_TBC, y_TB, smoothing_T).mean(1).sum().backward()
    torch.testing.assert_close(leaf_TBC.grad, grad_TBC, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("size", [1e7, 1e30])
@pytest.mark.parametrize("name", ["nll", "cross_entropy"])
def test_logits_of_any_size_keep_their_differences(name, size):
    logits_TBC = torch.tensor([[[size, -size, 0.0], [0.0, 1.0, 2.0], [size, size, size]]])
    loss_TB, grad_TBC = LOSSES[name]().value_and_grad(logits_TBC, torch.tensor([[0, 2, 1]]))
    expected = torch.tensor([[0.0, 0.407606, 1.098612]])
    torch.testing.assert_close(loss_TB, expected, rtol=1e-6, atol=1e-6)
    assert grad_TBC.isfinite().all()
