"""What a model family is: shapes, initial weights and a forward pass, all with a leading trial axis.

Axes: T trials, B batch, D inputs, H hidden or output units, C classes, P all parameters of one trial, flattened.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from phalanx.core.specs import Spec
from phalanx.nn.models.sampled_classes import SomeClasses

Depths = Sequence[int] | None
Backward = Callable[[Tensor, Sequence[Tensor]], None]


@dataclass(frozen=True)
class Layout:
    """Where each tensor of one trial lies in its flat row of P numbers."""

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]

    @property
    def size(self) -> int:
        """P, the number of parameters of one trial."""
        return sum(_count(shape) for shape in self.shapes)

    def views(self, flat_TP: Tensor) -> list[Tensor]:
        """Each named tensor as a view (T, *shape) into the flat rows: writing to one writes to the other."""
        views, start = [], 0
        for shape in self.shapes:
            stop = start + _count(shape)
            views.append(flat_TP[:, start:stop].unflatten(1, shape))
            start = stop
        return views


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for n in shape:
        count *= n
    return count


@dataclass(frozen=True, kw_only=True)
class ModelSpec(Spec):
    """A family of networks. Adding one is one file with one subclass, and one YAML."""

    group: ClassVar[str] = "model"

    def layout(self, n_features: int, n_classes: int) -> Layout:
        """Names and shapes of one trial's parameters."""
        raise NotImplementedError

    def init(self, layout: Layout, seeds: Sequence[int]) -> Tensor:
        """Initial parameters of one trial a seed, shape (T, P), float32 on the CPU."""
        raise NotImplementedError

    def forward(
        self, tensors: Sequence[Tensor], x_TBD: Tensor, dropout: Dropout | None = None, depths: Depths = None
    ) -> Tensor:
        """Logits (T, B, C) from the views of `Layout.views`; `dropout` only while training.

        `depths` says how deep each trial really is where they differ, the deepest first (see `padded`).
        """
        raise NotImplementedError

    def vjp(
        self, tensors: Sequence[Tensor], x_TBD: Tensor, dropout: Dropout | None = None, depths: Depths = None,
        some: SomeClasses | None = None,
    ) -> tuple[Tensor, Backward]:  # fmt: skip
        """Logits, and a function that writes the gradients of `tensors` where it is told, given that of the logits.

        The logits are those of `some` classes, (T, B, K), where not all are wanted.
        It is called at most once. This form is autograd's and serves every family; one that knows its own gradients
        saves autograd's cost a step.
        """
        leaves = [tensor.detach().requires_grad_() for tensor in tensors]
        with torch.enable_grad():
            logits_TBC = self.forward(leaves, x_TBD, dropout, depths)
            logits_TBC = logits_TBC if some is None else some.of(logits_TBC)

        def backward(grad_TBC: Tensor, into: Sequence[Tensor]) -> None:
            for target, grad in zip(into, torch.autograd.grad(logits_TBC, leaves, grad_TBC), strict=True):
                target.copy_(grad)

        return logits_TBC.detach(), backward

    def padded(self) -> dict[str, Any]:
        """Static fields that may differ in a cohort, since smaller networks are padded with zeros that stay zero.

        By key, with what still has to be equal in place of the value. A family that fills this in also has `depth`,
        `enclosing` and `embedded`.
        """
        return {}

    @property
    def depth(self) -> int:
        """How many hidden layers there are."""
        return 0

    def enclosing(self, others: Sequence[ModelSpec]) -> ModelSpec:
        """The smallest network that this one and all others fit into."""
        return self

    def embedded(self, inner: ModelSpec, n_features: int, n_classes: int) -> Tensor:
        """Where each parameter of `inner` lies in the flat row of this one: int64, shape (P of inner,)."""
        return torch.arange(self.layout(n_features, n_classes).size)

    def hidden_outputs(self, tensors: Sequence[Tensor], x_TBD: Tensor) -> list[Tensor]:
        """The outputs (T, B, H) of each hidden layer, to look at; none where a family has nothing to show."""
        return []


class Dropout:
    """The masks of one training step, made layer by layer when the model asks."""

    def __init__(self, rate_T: Tensor, keys: Sequence[Tensor]) -> None:
        self.rate_T11 = rate_T[:, None, None]
        self.keys = keys  # one (T,) key tensor a layer
        self.step_T = torch.zeros_like(keys[0])  # updates that each trial has made before this one

    @classmethod
    def of(cls, rates: Sequence[float], keys: Callable[[], Sequence[Tensor]], device: torch.device) -> Dropout | None:
        """Dropout at each trial's own rate; None where nobody drops anything."""
        return cls(torch.tensor(rates, dtype=torch.float32, device=device), keys()) if any(rates) else None

    def factors(self, layer: int, x_TBH: Tensor) -> Tensor:
        """By what `x_TBH` is multiplied: 0 for the part of each trial's units that is dropped, else 1 / (1 - rate).

        `x_TBH` may hold the first trials alone.
        """
        from phalanx.core.seeding import hashed_uniforms

        n_trials, n_batch, n_units = x_TBH.shape
        rate_T11 = self.rate_T11[:n_trials]
        uniform_TBH = hashed_uniforms(self.keys[layer][:n_trials], self.step_T[:n_trials], n_batch, n_units)
        return ((uniform_TBH >= rate_T11) / (1.0 - rate_T11)).to(x_TBH.dtype)
