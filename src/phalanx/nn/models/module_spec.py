"""A family of networks that a user wrote as an `nn.Module`: `@phalanx.model`.

Axes: T trials, B batch, D inputs, C classes.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from phalanx.core.errors import RequestError
from phalanx.core.extensions import ExtensionError, snake_case, source_of
from phalanx.core.registry import add_option, travelling
from phalanx.core.signatures import SignatureError, read_signature, reserved_in
from phalanx.core.specs import keys_of, static
from phalanx.nn.models.base import Backward, Batches, Depths, InputShape, ModelSpec, Way
from phalanx.nn.models.dropout import Dropout
from phalanx.nn.models.layout import Layout
from phalanx.nn.models.module_dropout import TrialStreams
from phalanx.nn.models.module_probe import find_way
from phalanx.nn.models.network import Network
from phalanx.nn.models.sampled_classes import SampledClasses

M = TypeVar("M", bound=type[nn.Module])
SIZES = ("n_features", "n_classes", "image_shape")  # what a constructor may ask for before the *


@dataclass(frozen=True)
class Built:
    """The network of a spec for data of known sizes, and how it trains."""

    network: Network
    way: Way


@dataclass(frozen=True, kw_only=True)
class ModuleSpec(ModelSpec):
    """Base of the specs that `model` makes of modules. Their keys are the module's keyword-only arguments."""

    _module: ClassVar[type[nn.Module]]
    _sizes: ClassVar[tuple[str, ...]]  # the arguments before the *
    together: str = static("auto", choices=("auto", "close", "never"))
    built: Built | None = static(None, internal=True, determines_numbers=False)  # noqa: RUF009

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return travelling(self)

    @property
    def needs_images(self) -> bool:
        """Whether the constructor asks for `image_shape`, so that the rows have to be images."""
        return "image_shape" in self._sizes

    def bound(self, shape: InputShape) -> ModuleSpec:
        """See `ModelSpec.bound`. Raises `RequestError` if the module cannot be built."""
        return self if self.built else replace(self, built=Built(_network(self, shape), Way(together=False)))

    def prepared(self, shape: InputShape, batches: Batches) -> ModuleSpec:
        """See `ModelSpec.prepared`. Raises `RequestError` if the module cannot be built or cannot compute a batch."""
        network = _network(replace(self, built=None), shape)
        try:
            way = _way(network, shape.n_classes, self.together, batches)
        except RequestError as error:
            raise RequestError(f"model={self.name} cannot be trained: {error} ({self.source})") from error
        return replace(self, built=Built(network, way))

    @property
    def way(self) -> Way:
        """See `ModelSpec.way`."""
        return self._built.way

    @property
    def _built(self) -> Built:
        if self.built is None:
            raise ValueError(f"model={self.name} has no network before `bound` tells it the sizes of its data")
        return self.built

    def layout(self, n_features: int, n_classes: int) -> Layout:
        """See `ModelSpec.layout`."""
        spec = self if self.built else self.bound(InputShape(n_features, n_classes))
        return spec._built.network.layout

    def initial(self, layout: Layout, seeds: Sequence[int]) -> Tensor:
        """What torch gives a new module after `torch.manual_seed(derive(seed, "init"))`."""
        return self._built.network.init(seeds)

    def masks(
        self, models: Sequence[ModelSpec], seeds: Sequence[int], layout: Layout, device: torch.device
    ) -> TrialStreams:
        """See `ModelSpec.masks`."""
        return TrialStreams(seeds, self._built.network.n_layers, device)

    def forward(
        self, tensors: Sequence[Tensor], x_TBD: Tensor, dropout: Dropout | None = None, depths: Depths = None
    ) -> Tensor:
        """See `ModelSpec.forward`: the module in its evaluation mode."""
        return self._built.network.forward(tensors, x_TBD, together=self.way.together)

    def vjp(
        self, tensors: Sequence[Tensor], x_TBD: Tensor, dropout: Dropout | None = None, depths: Depths = None,
        sampled: SampledClasses | None = None,
    ) -> tuple[Tensor, Backward]:  # fmt: skip
        """See `ModelSpec.vjp`: the module in its training mode, by autograd."""
        assert isinstance(dropout, TrialStreams), "a module needs the streams of `masks`"
        built = self._built
        logits_TBC, backward = built.network.vjp(tensors, x_TBD, dropout, together=built.way.together)
        if sampled is None:
            return logits_TBC, backward
        with torch.enable_grad():
            leaf_TBC = logits_TBC.requires_grad_()
            chosen_TBK = sampled.select(leaf_TBC)

        def backward_of_chosen(grad_TBK: Tensor, out: Sequence[Tensor]) -> None:
            (grad_TBC,) = torch.autograd.grad(chosen_TBK, leaf_TBC, grad_TBK)
            backward(grad_TBC, out)

        return chosen_TBK.detach(), backward_of_chosen

    def new_module(self, shape: InputShape) -> nn.Module:
        """A module whose first weights are drawn from torch's global generator. Raises `RequestError`."""
        given = {field.name: getattr(self, field.name) for field in keys_of(self) if field.name != "together"}
        sizes = [getattr(shape, name) for name in self._sizes]
        if self.needs_images and shape.image_shape is None:
            raise RequestError(
                f"model={self.name} asks for image_shape, and these data are no images; try data=digits, or let its "
                f"constructor ask for n_features ({self.source})"
            )
        try:
            return type(self)._module(*sizes, **given)
        except Exception as error:
            values = ", ".join(f"{name}={value!r}" for name, value in given.items())
            reason = f"{type(error).__name__}: {error}"
            raise RequestError(f"model={self.name} cannot be built with {values}: {reason} ({self.source})") from error


@functools.lru_cache(maxsize=64)
def _network(spec: ModuleSpec, shape: InputShape) -> Network:
    """The network of these values and sizes, one for all trials of a process."""
    image_shape = shape.image_shape if spec.needs_images else None
    try:
        return Network(lambda: spec.new_module(shape), image_shape)
    except RequestError as error:
        if f"model={spec.name}" in str(error):
            raise
        raise RequestError(f"model={spec.name} cannot be trained: {error} ({spec.source})") from error


@functools.lru_cache(maxsize=1)
def _ways() -> dict[tuple[Any, ...], Way]:
    return {}


def _way(network: Network, n_classes: int, asked: str, batches: Batches) -> Way:
    """The way of a structure, found once a process."""
    key = network, asked, batches.train_sizes, batches.eval_sizes, batches.precision, batches.samples.y_N.device
    if key not in _ways():
        _ways()[key] = find_way(network, n_classes, batches, asked)
    return _ways()[key]


def module_spec(module: type[nn.Module]) -> type[ModuleSpec]:
    """The spec class of a module. Raises `ExtensionError` if its signature cannot be read."""
    source = source_of(module)
    if not (isinstance(module, type) and issubclass(module, nn.Module)):
        raise ExtensionError(f"{source.file}: {module.__name__} must be a class derived from torch.nn.Module")
    try:
        sizes, arguments = read_signature(module, SIZES, reserved_in(ModuleSpec))
    except SignatureError as error:
        raise ExtensionError(f"{source.file}: {module.__name__}: {error}") from error
    name = snake_case(module.__name__)
    own: dict[str, Any] = {"name": name, "_module": module, "_sizes": sizes, "source": str(source)}
    made = dataclasses.make_dataclass(
        f"{module.__name__}Spec", [(a.name, a.kind, a.field) for a in arguments], bases=(ModuleSpec,),
        namespace={**own, "__doc__": module.__doc__, "__module__": module.__module__}, frozen=True, kw_only=True,
    )  # fmt: skip
    return made


def model(module: M) -> M:
    """Makes a class derived from `torch.nn.Module` an option of the config group `model`; returns it as it is.

    The option's name is the class's in snake case. The keyword-only arguments of the constructor are its keys. Before
    the `*` the constructor may ask for `n_features`, `n_classes` and `image_shape`, which follow from the data. Its
    `forward` takes rows (B, D), or images (B, height, width) if the constructor asks for `image_shape`, and returns
    logits (B, C).

    Args:
        module: The class.

    Raises:
        RequestError: The signature cannot be read, or the name is taken.

    Examples:
        >>> import phalanx
        >>> from torch import nn
        >>> @phalanx.model  # doctest: +SKIP
        ... class Linear(nn.Module):
        ...     def __init__(self, n_features, n_classes, *, bias: bool = True):
        ...         super().__init__()
        ...         self.layer = nn.Linear(n_features, n_classes, bias=bias)
        ...     def forward(self, x):
        ...         return self.layer(x)
    """
    add_option(module_spec(module), source_of(module))
    return module
