"""Activations and their derivatives, composed of functions that round an element alike wherever it lies in a tensor.

`torch.sigmoid`, `silu`, `selu` and `softplus` round it depending on its place, thus on the size of the cohort; `exp`,
`expm1`, `log1p`, `tanh` and `erf` do not.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

LEAK = 0.01  # the slope of leaky_relu below zero, as torch's default
SELU_SCALE, SELU_ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717  # Klambauer et al., 2017


@dataclass(frozen=True)
class Activation:
    """y = f(z) and its derivative. Both may overwrite their argument."""

    apply: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor] | None  # the derivative; None: 1 everywhere
    of_output: bool = True  # whether the derivative is a function of y or of z
    keeps_zero: bool = True  # f(0) = 0
    of_sign: bool = False  # whether the derivative depends on the sign of y alone

    @property
    def needs_y(self) -> bool:
        """Whether the derivative needs y as it was before dropout."""
        return self.of_output and not self.of_sign


def _gelu(z: Tensor) -> Tensor:
    """z·Φ(z)."""
    return 0.5 * z * (1 + torch.erf(z / math.sqrt(2)))


def _gelu_slope(z: Tensor) -> Tensor:
    """Φ(z) + z·φ(z), with the distribution function and density of the normal distribution."""
    return 0.5 * (1 + torch.erf(z / math.sqrt(2))) + z * torch.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)


def _sigmoid(z: Tensor) -> Tensor:
    """σ(z) = (1 + tanh(z/2)) / 2; does not overwrite `z`."""
    return torch.tanh(z * 0.5).mul(0.5).add_(0.5)


def _silu_slope(z: Tensor) -> Tensor:
    """σ(z)·(1 + z·(1 - σ(z)))."""
    sigmoid = _sigmoid(z)
    return sigmoid * (1 + z * (1 - sigmoid))


def _selu(z: Tensor) -> Tensor:
    return SELU_SCALE * torch.where(z > 0, z, SELU_ALPHA * torch.expm1(z))


def _softplus(z: Tensor) -> Tensor:
    """log(1 + exp(z)), written so that it does not overflow."""
    return z.clamp(min=0) + torch.log1p(torch.exp(-z.abs()))


ACTIVATIONS = {
    "relu": Activation(torch.relu_, Tensor.sign_, of_sign=True),  # the derivative is the sign of y
    "leaky_relu": Activation(
        lambda z: torch.where(z > 0, z, LEAK * z), lambda y: torch.where(y > 0, 1.0, LEAK).to(y.dtype), of_sign=True
    ),
    "gelu": Activation(_gelu, _gelu_slope, of_output=False),
    "silu": Activation(lambda z: z * _sigmoid(z), _silu_slope, of_output=False),
    "selu": Activation(_selu, lambda y: torch.where(y > 0, SELU_SCALE, y + SELU_SCALE * SELU_ALPHA)),
    "softplus": Activation(_softplus, lambda y: torch.expm1(-y).neg_(), keeps_zero=False),
    "tanh": Activation(torch.tanh_, lambda y: y.square_().neg_().add_(1)),
    "sigmoid": Activation(_sigmoid, lambda y: y.addcmul_(y, y, value=-1), keeps_zero=False),
    "identity": Activation(lambda z: z, None, of_sign=True),
}
