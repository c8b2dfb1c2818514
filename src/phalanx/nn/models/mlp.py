"""Multi-layer perceptrons: linear layers with one activation between them, T networks in each product.

Axes: T trials, B batch, D inputs, H units, C classes, P parameters. Weights are (H, D), as in `torch.nn.Linear`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from phalanx.core.seeding import generator
from phalanx.core.specs import stacked, static
from phalanx.nn.models.base import Backward, Depths, Dropout, Layout, ModelSpec
from phalanx.nn.models.sampled_classes import SomeClasses

REGISTER = 16  # float32 numbers in the widest vector register of a CPU
TURN_FROM = 75  # inputs times waste from which a product is worth turning, and its result back (benchmarks/README.md)


@dataclass(frozen=True)
class Activation:
    """y = f(z) and its slope. Both may overwrite what they are given, which nobody needs afterwards."""

    apply: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor] | None  # None: 1 everywhere
    of_output: bool = True  # whether the slope is a function of y or of z
    keeps_zero: bool = True  # f(0) = 0


def _gelu(z: Tensor) -> Tensor:
    """z·Φ(z). torch's own rounds an element by its place in a tensor, so by the size of the cohort."""
    return 0.5 * z * (1 + torch.erf(z / math.sqrt(2)))


def _gelu_slope(z: Tensor) -> Tensor:
    """Φ(z) + z·φ(z), with the distribution and density of the normal law."""
    return 0.5 * (1 + torch.erf(z / math.sqrt(2))) + z * torch.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)


ACTIVATIONS = {
    "relu": Activation(torch.relu_, Tensor.sign_),  # y is 0 or positive, so that its sign is the slope
    "tanh": Activation(torch.tanh_, lambda y: y.square_().neg_().add_(1)),
    "gelu": Activation(_gelu, _gelu_slope, of_output=False),
    "sigmoid": Activation(  # as with gelu, not torch's own
        lambda z: torch.tanh(z.mul_(0.5)).mul(0.5).add_(0.5), lambda y: y.addcmul_(y, y, value=-1), keeps_zero=False
    ),
    "identity": Activation(lambda z: z, None),
}


@dataclass(frozen=True, kw_only=True)
class MLP(ModelSpec):
    """`hidden` widths between input and classes: `(50, 20)` on MNIST is 784-50-20-10, three linear layers."""

    name: ClassVar[str] = "mlp"
    hidden: tuple[int, ...] = static((64, 64), min_items=1, ge=1, advice="[64,64]")
    activation: str = static("relu", choices=tuple(ACTIVATIONS))
    dropout: float = stacked(0.0, ge=0, lt=1, advice="0.2")
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

    def forward(
        self, tensors: Sequence[Tensor], x_TBD: Tensor, dropout: Dropout | None = None, depths: Depths = None
    ) -> Tensor:
        """Logits (T, B, C)."""
        activation = ACTIVATIONS[self.activation]
        for layer, (weight_THD, bias_TH) in enumerate(zip(tensors[::2], tensors[1::2], strict=True)):
            if layer == self.depth:
                return _linear(x_TBD, weight_THD, bias_TH)
            n, through_TBD = _reaching(layer, depths), x_TBD
            x_TBD = activation.apply(_linear(_first(x_TBD, n), _first(weight_THD, n), _first(bias_TH, n)))
            if self._drops(layer, dropout):
                x_TBD = x_TBD * dropout.factors(layer, x_TBD)
            x_TBD = _past(x_TBD, through_TBD, n)
        raise AssertionError("the last layer returns")

    def vjp(
        self, tensors: Sequence[Tensor], x_TBD: Tensor, dropout: Dropout | None = None, depths: Depths = None,
        some: SomeClasses | None = None,
    ) -> tuple[Tensor, Backward]:  # fmt: skip
        """As in the base class, by hand: two products a layer and the slopes, straight into the gradients' buffer."""
        activation = ACTIVATIONS[self.activation]
        weights, biases = tensors[::2], tensors[1::2]
        inputs, kept, factors = [], [], []  # a layer's input; what its slope is taken of; its dropout
        for layer in range(self.depth):
            n = _reaching(layer, depths)
            inputs.append(x_TBD)
            z_TBH = _linear(_first(x_TBD, n), _first(weights[layer], n), _first(biases[layer], n))
            y_TBH = activation.apply(z_TBH)
            kept.append(y_TBH if activation.of_output else z_TBH)
            factors.append(dropout.factors(layer, y_TBH) if self._drops(layer, dropout) else None)
            x_TBD = _past(y_TBH if factors[-1] is None else y_TBH * factors[-1], x_TBD, n)
        inputs.append(x_TBD)
        logits = _linear if some is None else some.logits

        def backward(grad_TBH: Tensor, into: Sequence[Tensor]) -> None:
            for layer in reversed(range(self.depth + 1)):
                n = _reaching(layer, depths) if layer < self.depth else None
                through_TBH, grad_TBH = grad_TBH, _first(grad_TBH, n)
                if layer < self.depth:
                    if factors[layer] is not None:
                        grad_TBH = grad_TBH.mul_(factors[layer])
                    if activation.slope is not None:
                        grad_TBH = grad_TBH.mul_(activation.slope(kept.pop()))
                if some is not None and layer == self.depth:
                    grad_TBH = some.backward(grad_TBH, inputs.pop(), weights[-1], into[-2:])
                    continue
                _gradients(grad_TBH, _first(inputs.pop(), n), into[2 * layer], into[2 * layer + 1], n)
                if layer:
                    grad_TBH = _past(torch.bmm(grad_TBH, _first(weights[layer], n)), through_TBH, n)

        return logits(x_TBD, weights[-1], biases[-1]), backward

    def hidden_outputs(self, tensors: Sequence[Tensor], x_TBD: Tensor) -> list[Tensor]:
        """The outputs (T, B, H) of each hidden layer after its activation, without dropout."""
        outputs = []
        for weight_THD, bias_TH in zip(tensors[:-2:2], tensors[1:-2:2], strict=True):
            x_TBD = ACTIVATIONS[self.activation].apply(_linear(x_TBD, weight_THD, bias_TH))
            outputs.append(x_TBD)
        return outputs

    def _drops(self, layer: int, dropout: Dropout | None) -> bool:
        return dropout is not None and (self.dropout_at == "all" or layer == self.depth - 1)

    def padded(self) -> dict[str, Any]:
        """Any widths and depths, where a unit without weights stays zero; one depth if only the last layer drops."""
        if not ACTIVATIONS[self.activation].keeps_zero:
            return {}
        return {"model.hidden": self.depth if self.dropout_at == "last" else None}

    @property
    def depth(self) -> int:
        return len(self.hidden)

    def enclosing(self, others: Sequence[ModelSpec]) -> MLP:
        """What a shallower network has computed is carried past the layers it lacks, which are wide enough for it."""
        members = [self, *others]
        depth = max(model.depth for model in members)
        hidden = (max(model.hidden[min(layer, model.depth - 1)] for model in members) for layer in range(depth))
        return replace(self, hidden=tuple(hidden))

    def embedded(self, inner: ModelSpec, n_features: int, n_classes: int) -> Tensor:
        layout = self.layout(n_features, n_classes)
        views = layout.views(torch.arange(layout.size)[None])
        places = []
        for layer, shape in enumerate(inner.layout(n_features, n_classes).shapes[::2]):
            outer = layer if layer < inner.depth else self.depth
            places += [views[2 * outer][0, : shape[0], : shape[1]], views[2 * outer + 1][0, : shape[0]]]
        return torch.cat([place.reshape(-1) for place in places])


def _linear(x_TBD: Tensor, weight_THD: Tensor, bias_TH: Tensor) -> Tensor:
    """Outputs (T, B, H). A CPU's vector registers run along the last axis of a product: the one that fills them."""
    emptier = _waste(weight_THD.shape[1]) - _waste(x_TBD.shape[1])
    if x_TBD.shape[2] * emptier < TURN_FROM or x_TBD.device.type != "cpu":
        return torch.baddbmm(bias_TH[:, None], x_TBD, weight_THD.transpose(1, 2))
    out_THB = torch.baddbmm(bias_TH[:, :, None], weight_THD, x_TBD.transpose(1, 2))
    return out_THB.transpose(1, 2).contiguous()


def _waste(n: int) -> float:
    """What part more than `n` numbers the registers hold that take them."""
    return -n % REGISTER / n


def _gradients(grad_TBH: Tensor, x_TBD: Tensor, weight_THD: Tensor, bias_TH: Tensor, n: int | None) -> None:
    """Writes a layer's gradients; zero for the trials after the first `n`, which lack the layer."""
    torch.bmm(grad_TBH.transpose(1, 2), x_TBD, out=_first(weight_THD, n))
    torch.sum(grad_TBH, 1, out=_first(bias_TH, n))
    if n is not None:
        weight_THD[n:].zero_()
        bias_TH[n:].zero_()


def _first(tensor: Tensor, n: int | None) -> Tensor:
    return tensor if n is None else tensor[:n]


def _reaching(layer: int, depths: Depths) -> int | None:
    """How many trials have the hidden layer, the deepest being first; None for all of them."""
    n = None if depths is None else sum(depth > layer for depth in depths)
    return None if depths is None or n == len(depths) else n


def _past(x_TBH: Tensor, through_TBD: Tensor, n: int | None) -> Tensor:
    """`x_TBH` of the first `n` trials, followed by what the others carry past the layer, in the layer's width."""
    if n is None:
        return x_TBH
    width = x_TBH.shape[-1]
    rest_TBD = through_TBD[n:, :, :width]
    return torch.cat([x_TBH, F.pad(rest_TBD, (0, width - rest_TBD.shape[-1]))])
