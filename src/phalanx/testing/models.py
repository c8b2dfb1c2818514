"""The contract of a model family. Axes: T trials, B batch, D inputs, C classes, P parameters of one trial."""

import torch
from torch import Tensor

from phalanx.core.seeding import dropout_keys
from phalanx.nn.models import Dropout, Layout, ModelSpec, SampledClasses
from phalanx.testing.option import OptionContract

T, B, D, C = 3, 7, 6, 4
SEEDS = [5, 6, 7]


def _setup(spec: ModelSpec) -> tuple[Layout, Tensor, Tensor]:
    """The layout, initial parameters (T, P) and inputs (T, B, D)."""
    layout = spec.layout(D, C)
    return layout, spec.initial(layout, SEEDS), torch.randn(T, B, D, generator=torch.Generator().manual_seed(0))


def _dropout(layout: Layout) -> Dropout:
    keys = [dropout_keys(SEEDS, layer) for layer in range(len(layout.names))]
    return Dropout(torch.tensor([0.0, 0.3, 0.6]), keys)


class ModelContract(OptionContract):
    """Checks a `ModelSpec`: its layout, its initial weights, its passes, and their independence of other trials."""

    def test_initial_weights_depend_on_the_seed_alone(self, spec: ModelSpec) -> None:
        layout, params_TP, _ = _setup(spec)
        assert len(set(layout.names)) == len(layout.names) == len(layout.shapes)
        assert (params_TP.shape, params_TP.dtype) == ((T, layout.size), torch.float32)
        assert torch.equal(spec.initial(layout, SEEDS[1:2])[0], params_TP[1])
        assert not torch.equal(params_TP[0], params_TP[1])

    def test_a_trial_depends_on_no_other(self, spec: ModelSpec) -> None:
        layout, params_TP, x_TBD = _setup(spec)
        logits_TBC = spec.forward(layout.views(params_TP), x_TBD)
        assert logits_TBC.shape == (T, B, C)
        params_TP[0], x_TBD[0] = torch.nan, torch.nan
        beside_nan_TBC = spec.forward(layout.views(params_TP), x_TBD)
        alone_1BC = spec.forward(layout.views(params_TP[1:2]), x_TBD[1:2])
        self._assert_equal(beside_nan_TBC[1], logits_TBC[1])
        self._assert_equal(alone_1BC[0], logits_TBC[1])

    def test_a_sample_depends_on_no_other_when_evaluated(self, spec: ModelSpec) -> None:
        layout, params_TP, x_TBD = _setup(spec)
        logits_TBC = spec.forward(layout.views(params_TP), x_TBD)
        x_TBD[:, 0] = 100.0
        torch.testing.assert_close(spec.forward(layout.views(params_TP), x_TBD)[:, 1:], logits_TBC[:, 1:])

    def test_gradients_are_those_of_autograd(self, spec: ModelSpec) -> None:
        layout, params_TP, x_TBD = _setup(spec)
        y_TB = torch.arange(B).remainder(C).expand(T, -1)
        for sampled in (None, SampledClasses(y_TB, torch.tensor([[0, 2], [1, 3], [0, 3]]))):
            grads_TP, exact_TP = (torch.full_like(params_TP, torch.nan) for _ in range(2))
            logits, backward = spec.vjp(layout.views(params_TP), x_TBD, _dropout(layout), None, sampled)
            exact, by_autograd = ModelSpec.vjp(spec, layout.views(params_TP), x_TBD, _dropout(layout), None, sampled)
            grad = torch.randn(exact.shape, generator=torch.Generator().manual_seed(1))
            backward(grad.clone(), layout.views(grads_TP))
            by_autograd(grad, layout.views(exact_TP))
            torch.testing.assert_close(logits, exact, rtol=1e-5, atol=1e-6)
            torch.testing.assert_close(grads_TP, exact_TP, rtol=1e-4, atol=1e-6)

    def test_hidden_outputs_have_a_row_per_sample(self, spec: ModelSpec) -> None:
        layout, params_TP, x_TBD = _setup(spec)
        assert all(out.shape[:2] == (T, B) for out in spec.hidden_outputs(layout.views(params_TP), x_TBD))
