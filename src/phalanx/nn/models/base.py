"""The interface of a model family: parameter shapes, initial weights and a forward pass over T networks.

Axes: T trials, B batch, D inputs, H hidden or output units, C classes, P all parameters of one trial, flattened.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from phalanx.core.seeding import dropout_keys
from phalanx.core.specs import Spec
from phalanx.nn.models.dropout import Dropout
from phalanx.nn.models.layout import Layout
from phalanx.nn.models.sampled_classes import SampledClasses

Depths = Sequence[int] | None
Backward = Callable[[Tensor, Sequence[Tensor]], None]


@dataclass(frozen=True)
class InputShape:
    """The sizes of a data set that a network is built for.

    Attributes:
        n_features: D.
        n_classes: C.
        image_shape: Height and width, whose product is D, where the rows are images.
    """

    n_features: int
    n_classes: int
    image_shape: tuple[int, int] | None = None


class Samples(Protocol):
    """Samples with features."""

    @property
    def y_N(self) -> Tensor: ...

    def __len__(self) -> int: ...

    def rows(self, index_TB: Tensor, n_trials: int) -> Tensor:
        """The features (T, B, D) of these samples of each trial."""
        ...


@dataclass(frozen=True)
class Batches:
    """What a training computes with.

    Attributes:
        samples: Training samples.
        train_sizes: The sizes of its batches.
        eval_sizes: How many samples are evaluated at once.
        precision: That of the products in training steps.
    """

    samples: Samples
    train_sizes: tuple[int, ...]
    eval_sizes: tuple[int, ...]
    precision: str = "float32"


@dataclass(frozen=True)
class Way:
    """How the trials of a family train.

    Attributes:
        together: Whether several train in one program; else one after another.
        one_thread: Whether each chunk computes with one thread, since more would change the last bits.
        note: The way and its reason, for logs and results; empty where there is nothing to say.
        flops: Operations of one trial per step; None for those of a product of each weight with each sample.
    """

    together: bool = True
    one_thread: bool = False
    note: str = ""
    flops: float | None = None


@dataclass(frozen=True, kw_only=True)
class ModelSpec(Spec):
    """Base of all model families. To add one, write a file with a subclass that defines `layout`, `initial` and
    `forward`, and a YAML file."""

    config_group: ClassVar[str] = "model"

    def bound(self, shape: InputShape) -> ModelSpec:
        """This family for data of these sizes. Most families need nothing beyond `layout`, and return themselves."""
        return self

    def prepared(self, shape: InputShape, batches: Batches) -> ModelSpec:
        """As `bound`, for a training, and with the `way` that its trials train."""
        return self.bound(shape)

    @property
    def way(self) -> Way:
        """How the trials train; known when `prepared`."""
        return Way()

    def layout(self, n_features: int, n_classes: int) -> Layout:
        """Names and shapes of one trial's parameters."""
        raise NotImplementedError

    def initial(self, layout: Layout, seeds: Sequence[int]) -> Tensor:
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

    def masks(
        self, models: Sequence[ModelSpec], seeds: Sequence[int], layout: Layout, device: torch.device
    ) -> Dropout | None:
        """The random numbers of training steps, one trial per model and seed; None where no trial needs any."""
        rates = [getattr(model, "dropout", 0.0) for model in models]
        if not any(rates):
            return None
        keys = [dropout_keys(seeds, layer).to(device) for layer in range(len(layout.names))]  # at most one a tensor
        return Dropout(torch.tensor(rates, dtype=torch.float32, device=device), keys)

    def padded(self) -> dict[str, Any]:
        """Static fields that may differ in a cohort because smaller networks can be padded with zeros that stay zero.

        Maps the field's key to what still has to be equal in place of its value. A family that returns any also
        defines `n_hidden_layers`, `enclosing` and `embedded`.
        """
        return {}

    @property
    def n_hidden_layers(self) -> int:
        """The number of hidden layers."""
        return 0

    @property
    def hidden_widths(self) -> tuple[int, ...]:
        """The units of each hidden layer, for titles; empty for a family whose networks are no such chain."""
        return ()

    @property
    def traits(self) -> str:
        """What else to say of a network in its title, such as its activation."""
        return ""

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
