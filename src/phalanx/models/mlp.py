"""Multi-layer perceptrons: linear layers with one activation between them, T networks in each product.

Axes: T trials, B batch, D inputs, H units, C classes, P parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from phalanx.fields import stacked, static
from phalanx.models.base import Dropout, Layout, ModelSpec
from phalanx.seeding import generator

ACTIVATIONS = {
    "relu": F.relu,
    "tanh": torch.tanh,
    "gelu": F.gelu,
    "sigmoid": torch.sigmoid,
    "identity": lambda x: x,
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
        """`layers.<i>.weight` (D, H) and `layers.<i>.bias` (H,) for each linear layer."""
        names, shapes = [], []
        for i, (n_in, n_out) in enumerate(pairwise((n_features, *self.hidden, n_classes))):
            names += [f"layers.{i}.weight", f"layers.{i}.bias"]
            shapes += [(n_in, n_out), (n_out,)]
        return Layout(tuple(names), tuple(shapes))

    def init(self, layout: Layout, seeds: Sequence[int]) -> Tensor:
        """As `torch.nn.Linear`: weights and biases uniform in ±1/sqrt(D), drawn in its (H, D) order."""
        flat_TP = torch.empty(len(seeds), layout.size)
        for row, seed in enumerate(seeds):
            stream = generator(seed, "init")
            views = layout.views(flat_TP[row : row + 1])
            for weight_1DH, bias_1H in zip(views[::2], views[1::2], strict=True):
                n_in, n_out = weight_1DH.shape[1:]
                bound = n_in**-0.5
                weight_1DH[0] = torch.empty(n_out, n_in).uniform_(-bound, bound, generator=stream).T
                bias_1H[0] = torch.empty(n_out).uniform_(-bound, bound, generator=stream)
        return flat_TP

    def forward(self, tensors: Sequence[Tensor], x_TBD: Tensor, dropout: Dropout | None = None) -> Tensor:
        """Logits (T, B, C)."""
        activate = ACTIVATIONS[self.activation]
        last = len(self.hidden)
        for layer, (weight_TDH, bias_TH) in enumerate(zip(tensors[::2], tensors[1::2], strict=True)):
            x_TBD = torch.baddbmm(bias_TH[:, None], x_TBD, weight_TDH)
            if layer < last:
                x_TBD = activate(x_TBD)
                if dropout is not None and (self.dropout_at == "all" or layer == last - 1):
                    x_TBD = dropout(layer, x_TBD)
        return x_TBD
