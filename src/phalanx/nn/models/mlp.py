"""Multi-layer perceptrons: linear layers with an activation between them, T networks in each matrix product.

Axes: T trials, B batch, D inputs, H units, C classes, P parameters. Weights are (H, D), as in `torch.nn.Linear`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from phalanx.core.errors import Fault, RequestError
from phalanx.core.seeding import generator
from phalanx.core.specs import stacked, static
from phalanx.nn.models.activations import ACTIVATIONS
from phalanx.nn.models.base import Backward, Batches, Depths, InputShape, ModelSpec
from phalanx.nn.models.dropout import Dropout
from phalanx.nn.models.initial import RULES, initialize
from phalanx.nn.models.layout import Layout
from phalanx.nn.models.norms import AXES, Norm, NormState, norm_of, norm_tensors
from phalanx.nn.models.sampled_classes import SampledClasses
from phalanx.nn.products import product, sum_of_batch

REGISTER = 16  # float32 numbers in the widest vector register of a CPU
TRANSPOSE_FROM = 75  # inputs times waste from which transposing a product pays off (benchmarks/README.md)


_Parts = tuple[Sequence[Tensor], Sequence[Tensor], Sequence[Tensor]]


class _HiddenStep(NamedTuple):
    """What the backward pass of a hidden layer needs; `n` trials have the layer, None: all."""

    x_TBD: Tensor
    argument_TBH: Tensor  # of the activation's derivative
    factors_TBH: Tensor | None  # of dropout
    norm: Norm | None
    norm_state: NormState | None
    n: int | None


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
    norm: str = static("none", choices=("none", *AXES), neutral=True)  # between each hidden layer and its activation
    residual: bool = static(False, neutral=True)  # add a hidden layer's input to its output where widths are equal

    def conflicts(self) -> list[Fault | str]:
        if not self.residual or any(map(self._adds_input, range(self.n_hidden_layers))):
            return []
        allowed = f"false where no hidden layer is as wide as the one before it, as in model.hidden={list(self.hidden)}"
        return [Fault("model.residual", True, allowed, "model=mlp3 model.residual=true")]

    def prepared(self, shape: InputShape, batches: Batches) -> MLP:
        """See `ModelSpec.prepared`. Raises `RequestError` for a batch norm of one sample, which has no variance."""
        if self.norm == "batch" and 1 in batches.train_sizes:
            advice = "trainer.batch_size=32" if max(batches.train_sizes) == 1 else "trainer.drop_last=true"
            raise RequestError(
                "model.norm=batch cannot train on a batch of one sample, which has no variance, and "
                f"{'each' if max(batches.train_sizes) == 1 else 'the last'} batch has one; try {advice} or "
                "model.norm=layer"
            )
        return self

    def layout(self, n_features: int, n_classes: int) -> Layout:
        """`layers.<i>.weight` (H, D) and `layers.<i>.bias` (H,) of each linear layer, and then those of the norms:
        `norms.<i>.weight` and `norms.<i>.bias` (H,); of batch norms `running_mean` and `running_var`, not trained."""
        shapes: dict[str, tuple[int, ...]] = {}
        for i, (n_in, n_out) in enumerate(pairwise((n_features, *self.hidden, n_classes))):
            shapes |= {f"layers.{i}.weight": (n_out, n_in), f"layers.{i}.bias": (n_out,)}
        of_norms, n_buffers = norm_tensors(self.norm, self.hidden)
        shapes |= of_norms
        dtypes = (torch.float32,) * len(shapes) if n_buffers else ()
        return Layout(tuple(shapes), tuple(shapes.values()), dtypes, n_buffers)

    def initial(self, layout: Layout, seeds: Sequence[int]) -> Tensor:
        """Each layer's weights and biases by the rule `init`; a row's random numbers depend on its seed alone."""
        flat_TP = torch.empty(len(seeds), layout.size)
        for row, seed in enumerate(seeds):
            stream = generator(seed, "init")
            weights, biases, _ = self._parts(layout.views(flat_TP[row : row + 1]))
            for weight_1HD, bias_1H in zip(weights, biases, strict=True):
                initialize(self.init, weight_1HD[0], bias_1H[0], stream)
        for name, view in zip(layout.names, layout.views(flat_TP), strict=True):
            if name.startswith("norms."):
                view.fill_(1.0 if name.endswith(("weight", "var")) else 0.0)
        return flat_TP

    def forward(
        self, tensors: Sequence[Tensor], x_TBD: Tensor, dropout: Dropout | None = None, depths: Depths = None
    ) -> Tensor:
        """See `ModelSpec.forward`."""
        weights, biases, norms = self._parts(tensors)
        for layer in range(self.n_hidden_layers):
            n, skipped_TBD = _n_with_layer(layer, depths), x_TBD
            norm = norm_of(self.norm, norms, layer, self.n_hidden_layers)
            z_TBH = _linear(_first(x_TBD, n), _first(weights[layer], n), _first(biases[layer], n))
            x_TBD = ACTIVATIONS[self.activation].apply(z_TBH if norm is None else norm.evaluate(z_TBH))
            if (factors_TBH := self._factors(layer, dropout, x_TBD)) is not None:
                x_TBD = x_TBD * factors_TBH
            if self._adds_input(layer):
                x_TBD = x_TBD + skipped_TBD
            x_TBD = _append_skipped(x_TBD, skipped_TBD, n)
        return _linear(x_TBD, weights[-1], biases[-1])

    def vjp(
        self, tensors: Sequence[Tensor], x_TBD: Tensor, dropout: Dropout | None = None, depths: Depths = None,
        sampled: SampledClasses | None = None,
    ) -> tuple[Tensor, Backward]:  # fmt: skip
        """See `ModelSpec.vjp`. Written by hand: two products per layer, written into `out` directly. A batch norm takes
        the statistics of the batch, and updates the running ones in `tensors`."""
        weights, biases, _ = parts = self._parts(tensors)
        steps: list[_HiddenStep] = []
        for layer in range(self.n_hidden_layers):
            x_TBD, step = self._hidden_step(layer, parts, x_TBD, dropout, _n_with_layer(layer, depths))
            steps.append(step)
        logits = _linear if sampled is None else sampled.logits

        def backward(grad_TBH: Tensor, out: Sequence[Tensor]) -> None:
            own_out = self._parts(out)
            if sampled is not None:
                grad_TBH = sampled.backward(grad_TBH, x_TBD, weights[-1], (own_out[0][-1], own_out[1][-1]))
            else:
                _write_gradients(grad_TBH, x_TBD, own_out[0][-1], own_out[1][-1], None)
                grad_TBH = product(grad_TBH, weights[-1])
            while steps:
                grad_TBH = self._hidden_backward(len(steps) - 1, steps.pop(), grad_TBH, weights, own_out)

        return logits(x_TBD, weights[-1], biases[-1]), backward

    def _hidden_step(
        self, layer: int, parts: _Parts, x_TBD: Tensor, dropout: Dropout | None, n: int | None
    ) -> tuple[Tensor, _HiddenStep]:
        """The output of a hidden layer in training, and what its backward pass needs."""
        activation, (weights, biases, norms) = ACTIVATIONS[self.activation], parts
        norm, state = norm_of(self.norm, norms, layer, self.n_hidden_layers), None
        z_TBH = _linear(_first(x_TBD, n), _first(weights[layer], n), _first(biases[layer], n))
        if norm is not None:
            z_TBH, state = norm.train(z_TBH)
        y_TBH = activation.apply(z_TBH)
        argument_TBH, factors_TBH = y_TBH if activation.of_output else z_TBH, self._factors(layer, dropout, y_TBH)
        if factors_TBH is not None:  # a dropped unit has no gradient, whatever its y
            y_TBH = y_TBH * factors_TBH if activation.needs_y else y_TBH.mul_(factors_TBH)
        if self._adds_input(layer):
            y_TBH = y_TBH + x_TBD
        return _append_skipped(y_TBH, x_TBD, n), _HiddenStep(x_TBD, argument_TBH, factors_TBH, norm, state, n)

    def _hidden_backward(
        self, layer: int, step: _HiddenStep, grad_TBH: Tensor, weights: Sequence[Tensor], out: _Parts
    ) -> Tensor:
        """Writes the gradients of a hidden layer; returns that by its input, or of the first layer any tensor."""
        activation, n = ACTIVATIONS[self.activation], step.n
        skipped_TBH, grad_TBH = grad_TBH, _first(grad_TBH, n)
        if adds_input := self._adds_input(layer):
            grad_TBH = grad_TBH.clone()
        if step.factors_TBH is not None:
            grad_TBH = grad_TBH.mul_(step.factors_TBH)
        if activation.slope is not None:
            grad_TBH = grad_TBH.mul_(activation.slope(step.argument_TBH))
        if step.norm is not None and step.norm_state is not None:
            grad_TBH = step.norm.backward(grad_TBH, step.norm_state, out[2][2 * layer : 2 * layer + 2])
        _write_gradients(grad_TBH, _first(step.x_TBD, n), out[0][layer], out[1][layer], n)
        if self.norm == "batch":
            out[1][layer].zero_()  # the norm subtracts the bias again; the sum would be nothing but rounding errors
        if layer == 0:
            return grad_TBH
        grad_TBD = product(grad_TBH, _first(weights[layer], n))
        return _append_skipped(grad_TBD.add_(skipped_TBH) if adds_input else grad_TBD, skipped_TBH, n)

    def hidden_outputs(self, tensors: Sequence[Tensor], x_TBD: Tensor) -> list[Tensor]:
        """Outputs (T, B, H) of each hidden layer after its activation, before dropout and the sum with the input."""
        weights, biases, norms = self._parts(tensors)
        outputs = []
        for layer in range(self.n_hidden_layers):
            norm = norm_of(self.norm, norms, layer, self.n_hidden_layers)
            z_TBH = _linear(x_TBD, weights[layer], biases[layer])
            outputs.append(ACTIVATIONS[self.activation].apply(z_TBH if norm is None else norm.evaluate(z_TBH)))
            x_TBD = outputs[-1] + x_TBD if self._adds_input(layer) else outputs[-1]
        return outputs

    def _parts(self, tensors: Sequence[Tensor]) -> _Parts:
        """The weights and the biases of the linear layers, and the tensors of the norms."""
        n_linear = 2 * (self.n_hidden_layers + 1)
        return tensors[:n_linear:2], tensors[1:n_linear:2], tensors[n_linear:]

    def _adds_input(self, layer: int) -> bool:
        """Whether this hidden layer's input, the output of the hidden layer before it, is added to its output."""
        return self.residual and layer > 0 and self.hidden[layer] == self.hidden[layer - 1]

    def _factors(self, layer: int, dropout: Dropout | None, x_TBH: Tensor) -> Tensor | None:
        if dropout is None or (self.dropout_at == "last" and layer < self.n_hidden_layers - 1):
            return None
        return dropout.factors(layer, x_TBH)

    def padded(self) -> dict[str, Any]:
        """Any `hidden` if f(0) = 0, so that padded units stay zero; of one depth if only the last layer has dropout.
        A norm would count padded units, and which layers add their input depends on their widths."""
        if not ACTIVATIONS[self.activation].keeps_zero or self.norm != "none" or self.residual:
            return {}
        return {"model.hidden": self.n_hidden_layers if self.dropout_at == "last" else None}

    @property
    def n_hidden_layers(self) -> int:
        return len(self.hidden)

    @property
    def hidden_widths(self) -> tuple[int, ...]:
        return self.hidden

    @property
    def traits(self) -> str:
        norm = "" if self.norm == "none" else f" {self.norm} norm"
        return f"{self.activation}{norm}{' residual' if self.residual else ''}"

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
    waste = _waste(weight_THD.size(1)) - _waste(x_TBD.size(1))
    if x_TBD.size(2) * waste < TRANSPOSE_FROM or not x_TBD.is_cpu:
        return product(x_TBD, weight_THD.mT, bias_TH.unsqueeze(1))
    out_THB = product(weight_THD, x_TBD.mT, bias_TH.unsqueeze(2))
    return out_THB.transpose(1, 2).contiguous()


def _waste(n: int) -> float:
    """The unused places of the registers that hold `n` numbers, as a fraction of `n`."""
    return -n % REGISTER / n


def _write_gradients(grad_TBH: Tensor, x_TBD: Tensor, weight_THD: Tensor, bias_TH: Tensor, n: int | None) -> None:
    """Writes a layer's gradients; zero for the trials after the first `n`, which lack the layer."""
    product(grad_TBH.mT, x_TBD, out_TMN=_first(weight_THD, n))
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
