"""Multi-layer perceptrons: linear layers with an activation between them, T networks in each matrix product.

Axes: T trials, B batch, D inputs, H units, C classes, P parameters. Weights are (H, D), as in `torch.nn.Linear`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from phalanx.core.seeding import generator
from phalanx.core.specs import stacked, static
from phalanx.nn.models.activations import ACTIVATIONS
from phalanx.nn.models.base import Backward, Depths, ModelSpec
from phalanx.nn.models.dropout import Dropout
from phalanx.nn.models.initial import RULES, initialize
from phalanx.nn.models.layout import Layout
from phalanx.nn.models.sampled_classes import SampledClasses
from phalanx.nn.products import product, sum_of_batch

REGISTER = 16  # float32 numbers in the widest vector register of a CPU
TRANSPOSE_FROM = 75  # inputs times waste from which transposing a product pays off (benchmarks/README.md)


@dataclass(frozen=True, kw_only=True)
class MLP(ModelSpec):
    """A multi-layer perceptron; `hidden` gives the widths of its hidden layers.

    Examples:
        >>> from phalanx import MLP
        >>> MLP(hidden=(50, 20), activation="tanh").layout(n_features=784, n_classes=10).shapes
        ((50, 784), (50,), (20, 50), (20,), (10, 20), (10,))
    """

    name: ClassVar[str] = "mlp"
    hidden: tuple[int, ...] = static((64, 64), min_items=1, ge=1, advice="[64,64]")
    activation: str = static("relu", choices=tuple(ACTIVATIONS))
    dropout: float = stacked(0.0, ge=0, lt=1, advice="0.2")
    init: str = stacked("torch", choices=tuple(RULES), neutral=True)  # how first weights are drawn
    dropout_at: str = static("all", choices=("all", "last"))  # after every hidden layer, or after the last one only

    def layout(self, n_features: int, n_classes: int) -> Layout:
        """`layers.<i>.weight` (H, D) and `layers.<i>.bias` (H,) of each linear layer."""
        names, shapes = [], []
        for i, (n_in, n_out) in enumerate(pairwise((n_features, *self.hidden, n_classes))):
            names += [f"layers.{i}.weight", f"layers.{i}.bias"]
            shapes += [(n_out, n_in), (n_out,)]
        return Layout(tuple(names), tuple(shapes))

    def initial(self, layout: Layout, seeds: Sequence[int]) -> Tensor:
        """Each layer's weights and biases by the rule `init`; a row's random numbers depend on its seed alone."""
        flat_TP = torch.empty(len(seeds), layout.size)
        for row, seed in enumerate(seeds):
            stream = generator(seed, "init")
            views = layout.views(flat_TP[row : row + 1])
            for weight_1HD, bias_1H in zip(views[::2], views[1::2], strict=True):
                initialize(self.init, weight_1HD[0], bias_1H[0], stream)
        return flat_TP

    def forward(
        self, tensors: Sequence[Tensor], x_TBD: Tensor, dropout: Dropout | None = None, depths: Depths = None
    ) -> Tensor:
        """See `ModelSpec.forward`."""
        activation = ACTIVATIONS[self.activation]
        for layer, (weight_THD, bias_TH) in enumerate(zip(tensors[::2], tensors[1::2], strict=True)):
            if layer == self.n_hidden_layers:
                return _linear(x_TBD, weight_THD, bias_TH)
            n, skipped_TBD = _n_with_layer(layer, depths), x_TBD
            x_TBD = activation.apply(_linear(_first(x_TBD, n), _first(weight_THD, n), _first(bias_TH, n)))
            if (factors_TBH := self._factors(layer, dropout, x_TBD)) is not None:
                x_TBD = x_TBD * factors_TBH
            x_TBD = _append_skipped(x_TBD, skipped_TBD, n)
        raise AssertionError("the last layer returns")

    def vjp(
        self, tensors: Sequence[Tensor], x_TBD: Tensor, dropout: Dropout | None = None, depths: Depths = None,
        sampled: SampledClasses | None = None,
    ) -> tuple[Tensor, Backward]:  # fmt: skip
        """See `ModelSpec.vjp`. Written by hand: two products per layer, written into `out` directly."""
        activation = ACTIVATIONS[self.activation]
        weights, biases = tensors[::2], tensors[1::2]
        inputs: list[Tensor] = []  # of each layer
        saved: list[Tensor] = []  # the argument of each layer's derivative
        factors: list[Tensor | None] = []  # of each layer's dropout
        for layer in range(self.n_hidden_layers):
            n = _n_with_layer(layer, depths)
            inputs.append(x_TBD)
            z_TBH = _linear(_first(x_TBD, n), _first(weights[layer], n), _first(biases[layer], n))
            y_TBH = activation.apply(z_TBH)
            saved.append(y_TBH if activation.of_output else z_TBH)
            factors.append(factors_TBH := self._factors(layer, dropout, y_TBH))
            if factors_TBH is not None:  # a dropped unit has no gradient, whatever its y
                y_TBH = y_TBH * factors_TBH if activation.needs_y else y_TBH.mul_(factors_TBH)
            x_TBD = _append_skipped(y_TBH, x_TBD, n)
        inputs.append(x_TBD)
        logits = _linear if sampled is None else sampled.logits

        def backward(grad_TBH: Tensor, out: Sequence[Tensor]) -> None:
            for layer in reversed(range(self.n_hidden_layers + 1)):
                n = _n_with_layer(layer, depths) if layer < self.n_hidden_layers else None
                skipped_TBH, grad_TBH = grad_TBH, _first(grad_TBH, n)
                if layer < self.n_hidden_layers:
                    if (factors_TBH := factors[layer]) is not None:
                        grad_TBH = grad_TBH.mul_(factors_TBH)
                    if activation.slope is not None:
                        grad_TBH = grad_TBH.mul_(activation.slope(saved.pop()))
                if sampled is not None and layer == self.n_hidden_layers:
                    grad_TBH = sampled.backward(grad_TBH, inputs.pop(), weights[-1], out[-2:])
                    continue
                _write_gradients(grad_TBH, _first(inputs.pop(), n), out[2 * layer], out[2 * layer + 1], n)
                if layer:
                    grad_TBH = _append_skipped(product(grad_TBH, _first(weights[layer], n)), skipped_TBH, n)

        return logits(x_TBD, weights[-1], biases[-1]), backward

    def hidden_outputs(self, tensors: Sequence[Tensor], x_TBD: Tensor) -> list[Tensor]:
        """The outputs (T, B, H) of each hidden layer after its activation, without dropout."""
        outputs = []
        for weight_THD, bias_TH in zip(tensors[:-2:2], tensors[1:-2:2], strict=True):
            x_TBD = ACTIVATIONS[self.activation].apply(_linear(x_TBD, weight_THD, bias_TH))
            outputs.append(x_TBD)
        return outputs

    def _factors(self, layer: int, dropout: Dropout | None, x_TBH: Tensor) -> Tensor | None:
        if dropout is None or (self.dropout_at == "last" and layer < self.n_hidden_layers - 1):
            return None
        return dropout.factors(layer, x_TBH)

    def padded(self) -> dict[str, Any]:
        """Any `hidden` if f(0) = 0, so that padded units stay zero; of one depth if only the last layer has dropout."""
        if not ACTIVATIONS[self.activation].keeps_zero:
            return {}
        return {"model.hidden": self.n_hidden_layers if self.dropout_at == "last" else None}

    @property
    def n_hidden_layers(self) -> int:
        return len(self.hidden)

    @property
    def hidden_widths(self) -> tuple[int, ...]:
        return self.hidden

    def enclosing(self, others: Sequence[ModelSpec]) -> MLP:
        """The activations of a shallower network skip the layers that it lacks, which are at least as wide as they."""
        members = [model for model in (self, *others) if isinstance(model, MLP)]
        depth = max(model.n_hidden_layers for model in members)
        hidden = (
            max(model.hidden[min(layer, model.n_hidden_layers - 1)] for model in members) for layer in range(depth)
        )
        return replace(self, hidden=tuple(hidden))

    def embedded(self, inner: ModelSpec, n_features: int, n_classes: int) -> Tensor:
        layout = self.layout(n_features, n_classes)
        views = layout.views(torch.arange(layout.size)[None])
        places = []
        for layer, shape in enumerate(inner.layout(n_features, n_classes).shapes[::2]):
            outer = layer if layer < inner.n_hidden_layers else self.n_hidden_layers
            places += [views[2 * outer][0, : shape[0], : shape[1]], views[2 * outer + 1][0, : shape[0]]]
        return torch.cat([place.reshape(-1) for place in places])


def _linear(x_TBD: Tensor, weight_THD: Tensor, bias_TH: Tensor) -> Tensor:
    """Outputs (T, B, H). A CPU vectorizes a product along its last axis: the one that fills registers better."""
    waste = _waste(weight_THD.shape[1]) - _waste(x_TBD.shape[1])
    if x_TBD.shape[2] * waste < TRANSPOSE_FROM or x_TBD.device.type != "cpu":
        return product(x_TBD, weight_THD.transpose(1, 2), bias_TH[:, None])
    out_THB = product(weight_THD, x_TBD.transpose(1, 2), bias_TH[:, :, None])
    return out_THB.transpose(1, 2).contiguous()


def _waste(n: int) -> float:
    """The unused places of the registers that hold `n` numbers, as a fraction of `n`."""
    return -n % REGISTER / n


def _write_gradients(grad_TBH: Tensor, x_TBD: Tensor, weight_THD: Tensor, bias_TH: Tensor, n: int | None) -> None:
    """Writes a layer's gradients; zero for the trials after the first `n`, which lack the layer."""
    product(grad_TBH.transpose(1, 2), x_TBD, out_TMN=_first(weight_THD, n))
    sum_of_batch(grad_TBH, _first(bias_TH, n))
    if n is not None:
        weight_THD[n:].zero_()
        bias_TH[n:].zero_()


def _first(tensor: Tensor, n: int | None) -> Tensor:
    return tensor if n is None else tensor[:n]


def _n_with_layer(layer: int, depths: Depths) -> int | None:
    """How many trials have this hidden layer, the deepest being first; None if all have it."""
    n = None if depths is None else sum(depth > layer for depth in depths)
    return None if depths is None or n == len(depths) else n


def _append_skipped(x_TBH: Tensor, skipped_TBD: Tensor, n: int | None) -> Tensor:
    """`x_TBH` of the first `n` trials, then `skipped_TBD` of the other trials, padded or cut to the same width."""
    if n is None:
        return x_TBH
    width = x_TBH.shape[-1]
    rest_TBD = skipped_TBD[n:, :, :width]
    return torch.cat([x_TBH, F.pad(rest_TBD, (0, width - rest_TBD.shape[-1]))])
