"""The contract of a loss. Axes: T trials, B batch, C classes, S sampled classes."""

import pytest
import torch
from torch import Tensor

from phalanx.core.errors import SpecError
from phalanx.nn.losses.base import LossSpec
from phalanx.nn.losses.functional import OUTPUTS
from phalanx.testing.option import OptionContract

T, B, C = 3, 5, 4


def _batch() -> tuple[Tensor, Tensor]:
    stream = torch.Generator().manual_seed(0)
    return 2 * torch.randn(T, B, C, generator=stream), torch.randint(C, (T, B), generator=stream)


def _smoothings(spec: LossSpec) -> list[Tensor | None]:
    """No smoothing, and a different one per trial if the loss supports it."""
    try:
        type(spec)(output=spec.output, label_smoothing=0.1)
    except SpecError:
        return [None]
    return [None, torch.tensor([0.0, 0.1, 0.5])]


class LossContract(OptionContract):
    """Checks a `LossSpec`: shapes, gradients, independence of samples and trials, and large logits."""

    def test_the_gradient_is_that_of_autograd(self, spec: LossSpec) -> None:
        logits_TBC, y_TB = _batch()
        for smoothing_T in _smoothings(spec):
            loss_TB, grad_TBC = spec.value_and_grad(logits_TBC.clone(), y_TB, smoothing_T)
            leaf_TBC = logits_TBC.double().requires_grad_()
            exact_TB = spec(leaf_TBC, y_TB, smoothing_T)
            (exact_TBC,) = torch.autograd.grad(exact_TB.mean(1).sum(), leaf_TBC)
            assert loss_TB.shape == (T, B)
            torch.testing.assert_close(loss_TB.double(), exact_TB.detach(), rtol=1e-4, atol=1e-6)
            torch.testing.assert_close(grad_TBC.double(), exact_TBC, rtol=1e-4, atol=1e-6)

    def test_the_gradient_is_the_slope(self, spec: LossSpec) -> None:
        logits_TBC, y_TB = _batch()
        for smoothing_T in _smoothings(spec):
            leaf_TBC = logits_TBC.double().requires_grad_()
            assert torch.autograd.gradcheck(lambda z, s=smoothing_T: spec(z, y_TB, s), leaf_TBC)

    def test_weights_of_samples_scale_their_part_of_the_gradient(self, spec: LossSpec) -> None:
        if type(spec).unweighted[0]:
            return
        logits_TBC, y_TB = _batch()
        weight_TB = torch.arange(T * B).reshape(T, B).remainder(4) / 2
        for smoothing_T in _smoothings(spec):
            loss_TB, grad_TBC = spec.weighted_value_and_grad(logits_TBC.clone(), y_TB, smoothing_T, weight_TB)
            leaf_TBC = logits_TBC.double().requires_grad_()
            exact_TB = spec(leaf_TBC, y_TB, smoothing_T)
            (exact_TBC,) = torch.autograd.grad((weight_TB * exact_TB).mean(1).sum(), leaf_TBC)
            torch.testing.assert_close(loss_TB.double(), exact_TB.detach(), rtol=1e-4, atol=1e-6)
            torch.testing.assert_close(grad_TBC.double(), exact_TBC, rtol=1e-4, atol=1e-6)

    def test_no_smoothing_is_a_smoothing_of_zero(self, spec: LossSpec) -> None:
        logits_TBC, y_TB = _batch()
        for _ in _smoothings(spec)[1:]:
            torch.testing.assert_close(spec(logits_TBC, y_TB), spec(logits_TBC, y_TB, torch.zeros(T)))

    def test_a_sample_depends_on_no_other_sample_or_trial(self, spec: LossSpec) -> None:
        logits_TBC, y_TB = _batch()
        loss_TB, grad_TBC = spec.value_and_grad(logits_TBC.clone(), y_TB)
        alone_1B, alone_1BC = spec.value_and_grad(logits_TBC[1:2].clone(), y_TB[1:2])
        self._assert_equal(alone_1B[0], loss_TB[1])
        self._assert_equal(alone_1BC[0], grad_TBC[1])
        logits_TBC[0], logits_TBC[1, 0] = torch.nan, 50.0
        self._assert_equal(spec(logits_TBC, y_TB)[1, 1:], loss_TB[1, 1:])

    def test_large_logits_give_finite_losses_and_gradients(self, spec: LossSpec) -> None:
        logits_TBC = torch.tensor([[[1e4, -1e4, 0.0], [-1e4, 1e4, 0.0], [1e4, 1e4, 1e4]]])
        loss_TB, grad_TBC = spec.value_and_grad(logits_TBC, torch.tensor([[0, 0, 2]]))
        assert loss_TB.isfinite().all()
        assert grad_TBC.isfinite().all()

    def test_probabilities_sum_to_one(self, spec: LossSpec) -> None:
        logits_TBC, _ = _batch()
        p_TBC = spec.log_probabilities(logits_TBC).exp()
        torch.testing.assert_close(p_TBC.sum(-1), torch.ones(T, B))

    def test_outputs_that_it_does_not_accept_are_rejected(self, spec: LossSpec) -> None:
        for output in OUTPUTS.keys() - set(spec.outputs):
            with pytest.raises(SpecError, match=r"loss\.output must be"):
                type(spec)(output=output)

    def test_sampled_classes_depend_on_the_seed_and_step_alone(self, spec: LossSpec) -> None:
        sampler, alone = (spec.class_sampler(seeds, C, torch.device("cpu")) for seeds in ([1, 2, 3], [2]))
        if sampler is None or alone is None:
            return
        assert not spec.stackable, "a loss whose steps compute other logits cannot share a cohort with other losses"
        for step in (0, 7):
            for source in (sampler, alone):
                source.step_T.fill_(step)
            classes_TS = sampler()
            assert ((classes_TS >= 0) & (classes_TS < C)).all()
            assert torch.equal(alone()[0], classes_TS[1])
