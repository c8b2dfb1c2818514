"""Multi-layer perceptrons: the backward pass written by hand against autograd's."""

from __future__ import annotations

import pytest
import torch

from phalanx import MLP
from phalanx.core.seeding import dropout_keys
from phalanx.nn.models import Dropout, ModelSpec
from phalanx.nn.models.activations import ACTIVATIONS

T, B, D, C = 3, 6, 5, 4


@pytest.mark.parametrize("dropout_at", ["all", "last"])
@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_gradients_by_hand_are_those_of_autograd(activation, dropout_at):
    torch.manual_seed(0)
    model = MLP(hidden=(7, 6), activation=activation, dropout_at=dropout_at)
    layout = model.layout(D, C)
    params_TP = model.initial(layout, range(T))
    x_TBD, grad_TBC = torch.randn(T, B, D), torch.randn(T, B, C)
    found = []
    for vjp in (model.vjp, lambda *a: ModelSpec.vjp(model, *a)):
        dropout = Dropout(torch.tensor([0.0, 0.3, 0.6]), [dropout_keys(range(T), layer) for layer in range(3)])
        grads_TP = torch.full_like(params_TP, torch.nan)
        logits_TBC, backward = vjp(layout.views(params_TP), x_TBD, dropout)
        backward(grad_TBC, layout.views(grads_TP))
        found.append((logits_TBC, grads_TP))
    for by_hand, by_autograd in zip(*found, strict=True):
        torch.testing.assert_close(by_hand, by_autograd, rtol=1e-5, atol=1e-6)
