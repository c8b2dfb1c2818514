"""Clipping by the norm of the gradient, against torch's own in float64."""

from __future__ import annotations

import math

import pytest
import torch

from phalanx.nn.optimizers.base import clip

LARGEST = torch.finfo(torch.float32).max


def by_torch(grads_P, max_norm):
    parameter = torch.nn.Parameter(torch.zeros(len(grads_P), dtype=torch.float64))
    parameter.grad = grads_P.double()
    torch.nn.utils.clip_grad_norm_([parameter], max_norm)
    return parameter.grad


@pytest.mark.parametrize("size", [1e-20, 1e-3, 1.0, 1e10, 1e18, 1e19, 1e20, 1e30, 1e37])
@pytest.mark.parametrize("max_norm", [1e-3, 1.0, 1e25])
def test_a_finite_gradient_of_any_size_is_clipped_as_in_float64(size, max_norm):
    grads_P = size * torch.randn(300, generator=torch.Generator().manual_seed(0))
    clipped_1P = grads_P[None].clone()
    clip(clipped_1P, torch.tensor([max_norm]))
    torch.testing.assert_close(clipped_1P[0].double(), by_torch(grads_P, max_norm), rtol=1e-5, atol=0.0)


def test_a_norm_beyond_float32_is_clipped_too():
    grads_1P = torch.full((1, 10_000), LARGEST)
    clip(grads_1P, torch.tensor([1.0]))
    torch.testing.assert_close(grads_1P, torch.full((1, 10_000), 0.01))


def test_a_trial_is_clipped_as_alone_beside_gradients_of_any_size():
    grads_TP = torch.randn(5, 33, generator=torch.Generator().manual_seed(0))
    grads_TP *= torch.tensor([1.0, 1e30, math.inf, math.nan, 1e30])[:, None]
    norms_T = torch.tensor([0.5, 0.5, 0.5, 0.5, math.inf])
    together_TP = grads_TP.clone()
    clip(together_TP, norms_T)
    for place in range(5):
        alone_1P = grads_TP[place : place + 1].clone()
        clip(alone_1P, norms_T[place : place + 1])
        torch.testing.assert_close(together_TP[place : place + 1], alone_1P, rtol=0, atol=0, equal_nan=True)
    assert together_TP[4].equal(grads_TP[4])  # an infinite norm leaves it unchanged
    assert not together_TP[2:4].isfinite().any()


def test_an_ordinary_gradient_has_the_bits_of_the_plain_formula():
    grads_TP = torch.randn(4, 1000, generator=torch.Generator().manual_seed(0))
    norms_T = torch.tensor([0.1, 1.0, 5.0, 1e3])
    plain_TP = grads_TP * (norms_T / (torch.linalg.vector_norm(grads_TP, dim=1) + 1e-6)).clamp(max=1.0)[:, None]
    clip(grads_TP, norms_T)
    assert grads_TP.equal(plain_TP)
