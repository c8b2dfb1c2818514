"""Multi-layer perceptrons: linear layers with one activation between them, T networks in each product.

Axes: T trials, B batch, D inputs, H units, C classes, P parameters. Weights are (H, D), as in `torch.nn.Linear`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from phalanx.fields import stacked, static
from phalanx.models.base import Backward, Dropout, Layout, ModelSpec
from phalanx.seeding import generator


@dataclass(frozen=True)
class Activation:
    """y = f(z) and its slope. Both may overwrite what they are given, which nobody needs afterwards."""

    apply: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor] | None  # None: 1 everywhere
    of_output: bool = True  # whether the slope is a function of y or of z


def _gelu_slope(z: Tensor) -> Tensor:
    """Φ(z) + z·φ(z), with the distribution and density of the normal law."""
    return 0.5 * (1 + torch.erf(z / math.sqrt(2))) + z * torch.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)


ACTIVATIONS = {
    "relu": Activation(torch.relu_, Tensor.sign_),  # y is 0 or positive, so that its sign is the slope
    "tanh": Activation(torch.tanh_, lambda y: y.square_().neg_().add_(1)),
    "gelu": Activation(F.gelu, _gelu_slope, of_output=False),
    "sigmoid": Activation(torch.sigmoid_, lambda y: y.addcmul_(y, y, value=-1)),
    "identity": Activation(lambda z: z, None),
}


@dataclass(frozen=True, kw_only=True)
class MLP(ModelSpec):
    """`hidden` widths between input and classes: `(50, 20)` on MNIST is 784-50-20-10, three linear layers."""

    name: ClassVar[str] = "mlp"
    hidden: tuple[int, ...] = static((64, 64), min_items=1, low=1, advice="[64,64]")
    activation: str = static("relu", choices=tuple(ACTIVATIONS))
    dropout: float = stacked(0.0, low=0, high=1, high_open=True, advice="0.2")
    dropout_at: str = static("all", choices=("all", "last"))  # after every hidden layer, or the last one only

    def layout(self, n_features: int, n_classes: int) -> Layout:
        """`layers.<i>.weight` (H, D) and `layers.<i>.bias` (H,) for each linear layer."""
        names, shapes = [], []
        for i, (n_in, n_out) in enumerate(pairwise((n_features, *self.hidden, n_classes))):
            names += [f"layers.{i}.weight", f"layers.{i}.bias"]
            shapes += [(n_out, n_in), (n_out,)]
        return Layout(tuple(names), tuple(shapes))

    def init(self, layout: Layout, seeds: Sequence[int]) -> Tensor:
        """As `torch.nn.Linear`: weights and biases uniform in ±1/sqrt(D)."""
        flat_TP = torch.empty(len(seeds), layout.size)
        for row, seed in enumerate(seeds):
            stream = generator(seed, "init")
            views = layout.views(flat_TP[row : row + 1])
            for weight_1HD, bias_1H in zip(views[::2], views[1::2], strict=True):
                bound = weight_1HD.shape[2] ** -0.5
                weight_1HD.uniform_(-bound, bound, generator=stream)
                bias_1H.uniform_(-bound, bound, generator=stream)
        return flat_TP

    def forward(self, tensors: Sequence[Tensor], x_TBD: Tensor, dropout: Dropout | None = None) -> Tensor:
        """Logits (T, B, C)."""
        activation = ACTIVATIONS[self.activation]
        for layer, (weight_THD, bias_TH) in enumerate(zip(tensors[::2], tensors[1::2], strict=True)):
            x_TBD = _linear(x_TBD, weight_THD, bias_TH)
            if layer < len(self.hidden):
                x_TBD = activation.apply(x_TBD)
                if self._drops(layer, dropout):
                    x_TBD = x_TBD * dropout.factors(layer, x_TBD)
        return x_TBD

    def tracked(
        self, tensors: Sequence[Tensor], x_TBD: Tensor, dropout: Dropout | None = None
    ) -> tuple[Tensor, Backward]:
        """As in the base class, by hand: two products a layer and the slopes, straight into the gradients' buffer."""
        activation = ACTIVATIONS[self.activation]
        weights, biases = tensors[::2], tensors[1::2]
        inputs, kept, factors = [], [], []  # a layer's input; what its slope is taken of; its dropout
        for layer, (weight_THD, bias_TH) in enumerate(zip(weights, biases, strict=True)):
            inputs.append(x_TBD)
            x_TBD = z_TBH = _linear(x_TBD, weight_THD, bias_TH)
            if layer < len(self.hidden):
                x_TBD = activation.apply(z_TBH)
                kept.append(x_TBD if activation.of_output else z_TBH)
                factors.append(dropout.factors(layer, x_TBD) if self._drops(layer, dropout) else None)
                if factors[-1] is not None:
                    x_TBD = x_TBD * factors[-1]

        def backward(grad_TBH: Tensor, into: Sequence[Tensor]) -> None:
            for layer in reversed(range(len(weights))):
                torch.bmm(grad_TBH.transpose(1, 2), inputs.pop(), out=into[2 * layer])
                torch.sum(grad_TBH, 1, out=into[2 * layer + 1])
                if layer:
                    grad_TBH = torch.bmm(grad_TBH, weights[layer])
                    if factors[layer - 1] is not None:
                        grad_TBH.mul_(factors[layer - 1])
                    if activation.slope is not None:
                        grad_TBH.mul_(activation.slope(kept.pop()))

        return x_TBD, backward

    def _drops(self, layer: int, dropout: Dropout | None) -> bool:
        return dropout is not None and (self.dropout_at == "all" or layer == len(self.hidden) - 1)


def _linear(x_TBD: Tensor, weight_THD: Tensor, bias_TH: Tensor) -> Tensor:
    return torch.baddbmm(bias_TH[:, None], x_TBD, weight_THD.transpose(1, 2))
