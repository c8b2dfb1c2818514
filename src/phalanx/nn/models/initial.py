"""Initial weights of linear layers, by the rules that have a name. Axes: D inputs, H units."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor, nn

from phalanx.core.device import threads

Rule = Callable[[Tensor, Tensor, Generator], None]


def _torch(weight_HD: Tensor, bias_H: Tensor, stream: Generator) -> None:
    """Weights and biases uniform in ±1/sqrt(D)."""
    bound = weight_HD.shape[1] ** -0.5
    weight_HD.uniform_(-bound, bound, generator=stream)
    bias_H.uniform_(-bound, bound, generator=stream)


def _kaiming(weight_HD: Tensor, bias_H: Tensor, stream: Generator) -> None:
    """Weights uniform in ±sqrt(6/D), which keeps the variance behind relu (He et al., 2015)."""
    nn.init.kaiming_uniform_(weight_HD, nonlinearity="relu", generator=stream)
    bias_H.zero_()


def _xavier(weight_HD: Tensor, bias_H: Tensor, stream: Generator) -> None:
    """Weights uniform in ±sqrt(6/(D + H)), for tanh and the like (Glorot and Bengio, 2010)."""
    nn.init.xavier_uniform_(weight_HD, generator=stream)
    bias_H.zero_()


def _orthogonal(weight_HD: Tensor, bias_H: Tensor, stream: Generator) -> None:
    """Weights with orthonormal rows or columns, whichever are fewer (Saxe et al., 2014)."""
    with threads(1):  # several would change the last bits of the decomposition
        nn.init.orthogonal_(weight_HD, generator=stream)
    bias_H.zero_()


RULES: dict[str, Rule] = {"torch": _torch, "kaiming": _kaiming, "xavier": _xavier, "orthogonal": _orthogonal}


@torch.no_grad()
def initialize(rule: str, weight_HD: Tensor, bias_H: Tensor, stream: Generator) -> None:
    """Draws a layer's first weights in place.

    Args:
        rule: A name in `RULES`; the biases are 0 but with `torch`, the rule of `torch.nn.Linear`.
        weight_HD: Weights (H, D).
        bias_H: Biases (H,).
        stream: The generator of the random numbers.
    """
    RULES[rule](weight_HD, bias_H, stream)
