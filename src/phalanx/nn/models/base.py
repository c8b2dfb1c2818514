"""The interface of a model family: parameter shapes, initial weights and a forward pass over T networks.

Axes: T trials, B batch, D inputs, H hidden or output units, C classes, P all parameters of one trial, flattened.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from phalanx.core.seeding import hashed_uniforms
from phalanx.core.specs import Spec
from phalanx.nn.models.sampled_classes import SampledClasses

Depths = Sequence[int] | None
Backward = Callable[[Tensor, Sequence[Tensor]], None]


@dataclass(frozen=True)
class Layout:
    """Names and shapes of one trial's tensors, which lie one after another in a flat row of P numbers."""

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]  # () for a scalar

    @property
    def size(self) -> int:
        """P, the number of parameters of one trial."""
        return sum(map(math.prod, self.shapes))

    def views(self, flat_TP: Tensor) -> list[Tensor]:
        """Each tensor as a view (T, *shape) of the flat rows, which shares their memory."""
        views, start = [], 0
        for shape in self.shapes:
            stop = start + math.prod(shape)
            views.append(flat_TP[:, start:stop].view(len(flat_TP), *shape))
            start = stop
        return views


@dataclass(frozen=True, kw_only=True)
class ModelSpec(Spec):
    """Base of all model families. To add one, write a file with a subclass that defines `layout`, `init` and `forward`,
    and a YAML file."""

    group: ClassVar[str] = "model"

    def layout(self, n_features: int, n_classes: int) -> Layout:
        """Names and shapes of one trial's parameters."""
        raise NotImplementedError

    def init(self, layout: Layout, seeds: Sequence[int]) -> Tensor:
        """Initial parameters (T, P) of one trial per seed, float32 on the CPU. A row depends on its seed alone."""
        raise NotImplementedError

    def forward(
        self, tensors: Sequence[Tensor], x_TBD: Tensor, dropout: Dropout | None = None, depths: Depths = None
    ) -> Tensor:
        """Logits (T, B, C).

        Args:
            tensors: The parameters, each (T, *shape), as `Layout.views` returns them.
            x_TBD: The input (T, B, D).
            dropout: The dropout masks of a training step; None when evaluating.
            depths: The depth of each trial in descending order, where they differ (see `padded`); else None.
        """
        raise NotImplementedError

    def vjp(
        self, tensors: Sequence[Tensor], x_TBD: Tensor, dropout: Dropout | None = None, depths: Depths = None,
        sampled: SampledClasses | None = None,
    ) -> tuple[Tensor, Backward]:  # fmt: skip
        """The forward pass of a training step, and its backward pass (a vector-Jacobian product).

        The base class uses autograd. A family that computes its own gradients saves autograd's overhead at each step.

        Args:
            tensors: The parameters, as in `forward`.
            x_TBD: The input (T, B, D).
            dropout: As in `forward`.
            depths: As in `forward`.
            sampled: The classes whose logits are needed; None for all.

        Returns:
            Logits, (T, B, C) or of the sampled classes (T, B, K), and `backward(grad, out)`, which writes the gradients
            by `tensors` into the tensors `out`, given that by the logits. It is called at most once.
        """
        leaves = [tensor.detach().requires_grad_() for tensor in tensors]
        with torch.enable_grad():
            logits_TBC = self.forward(leaves, x_TBD, dropout, depths)
            logits_TBC = logits_TBC if sampled is None else sampled.select(logits_TBC)

        def backward(grad_TBC: Tensor, out: Sequence[Tensor]) -> None:
            for target, grad in zip(out, torch.autograd.grad(logits_TBC, leaves, grad_TBC), strict=True):
                target.copy_(grad)

        return logits_TBC.detach(), backward

    def padded(self) -> dict[str, Any]:
        """Static fields that may differ in a cohort because smaller networks can be padded with zeros that stay zero.

        Maps the field's key to what still has to be equal in place of its value. A family that returns any also
        defines `depth`, `enclosing` and `embedded`.
        """
        return {}

    @property
    def depth(self) -> int:
        """The number of hidden layers."""
        return 0

    def enclosing(self, others: Sequence[ModelSpec]) -> ModelSpec:
        """The smallest network into which this one and all others can be embedded."""
        return self

    def embedded(self, inner: ModelSpec, n_features: int, n_classes: int) -> Tensor:
        """The position of each parameter of a smaller network in the flat row of this one: int64, (P of `inner`,).

        Args:
            inner: The smaller network.
            n_features: D.
            n_classes: C.
        """
        return torch.arange(self.layout(n_features, n_classes).size)

    def hidden_outputs(self, tensors: Sequence[Tensor], x_TBD: Tensor) -> list[Tensor]:
        """The outputs (T, B, H) of each hidden layer, for inspection; empty if a family has none to show."""
        return []


class Dropout:
    """The dropout masks of one training step, computed layer by layer.

    Args:
        rate_T: The dropout rate of each trial, from 0 to less than 1.
        keys: For each layer, one key per trial (see `dropout_keys`).
    """

    def __init__(self, rate_T: Tensor, keys: Sequence[Tensor]) -> None:
        self.rate_T11, self.keys = rate_T[:, None, None], keys
        self.step_T = torch.zeros_like(keys[0])  # the number of updates of each trial before this one

    def factors(self, layer: int, x_TBH: Tensor) -> Tensor:
        """Factors for `x_TBH`, which may hold the first trials only: 0 for a dropped unit, else 1 / (1 - rate)."""
        n_trials, n_batch, n_units = x_TBH.shape
        rate_T11 = self.rate_T11[:n_trials]
        uniform_TBH = hashed_uniforms(self.keys[layer][:n_trials], self.step_T[:n_trials], n_batch, n_units)
        return ((uniform_TBH >= rate_T11) / (1.0 - rate_T11)).to(x_TBH.dtype)
