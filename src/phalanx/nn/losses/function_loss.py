"""A loss that a user wrote as a function of logits and classes: `@phalanx.loss`.

Axes: T trials, B batch, C classes.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from phalanx.core.errors import RequestError
from phalanx.core.extensions import ExtensionError, source_of
from phalanx.core.registry import add_option, travelling
from phalanx.core.signatures import SignatureError, read_signature, reserved_in
from phalanx.core.specs import keys_of
from phalanx.nn.losses.base import LossSpec

F = TypeVar("F", bound=Callable[..., Any])
ARGUMENTS = ("logits", "y")
BASE = ("output", "label_smoothing", "class_weights")
SPLITS = ((0, 1), (1, 1), (2, 2), (0, 3))  # of four trials: the first, and how many, that are computed at once
LEARNING_RATES = {"sgd": 0.05, "adam": 0.0015, "adamw": 0.0015}  # those of cross-entropy


@dataclass(frozen=True, kw_only=True)
class FunctionLoss(LossSpec):
    """Base of the specs that `loss` makes of functions. Their keys are the function's keyword-only arguments."""

    _function: ClassVar[Callable[..., Tensor]]
    outputs: ClassVar[tuple[str, ...]] = ("logits",)
    output_advice: ClassVar[str] = "the function gets the logits"
    unsmoothed: ClassVar[tuple[str, str]] = (
        ", whose function knows classes and no smoothed targets", "loss.label_smoothing=0"
    )  # fmt: skip

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return travelling(self)

    def __call__(self, logits_TBC: Tensor, y_TB: Tensor, smoothing_T: Tensor | None = None) -> Tensor:
        """See `LossSpec.__call__`."""
        if _can_stack(self, logits_TBC.shape[1], logits_TBC.shape[2], logits_TBC.device):
            return torch.func.vmap(self._of_trial)(logits_TBC, y_TB)
        rows = [self._of_trial(logits_BC, y_B) for logits_BC, y_B in zip(logits_TBC, y_TB, strict=True)]
        return torch.stack(rows) if rows else logits_TBC.new_empty(y_TB.shape)

    def _of_trial(self, logits_BC: Tensor, y_B: Tensor) -> Tensor:
        """The loss of each sample of one trial, (B,)."""
        given = {field.name: getattr(self, field.name) for field in keys_of(self) if field.name not in BASE}
        try:
            loss_B = type(self)._function(logits_BC, y_B, **given)
        except RuntimeError as error:
            if "vmap" in str(error).lower():
                raise
            raise RequestError(f"loss={self.name} fails on a batch: {error} ({self.source})") from error
        if not isinstance(loss_B, Tensor) or loss_B.shape != y_B.shape:
            got = tuple(loss_B.shape) if isinstance(loss_B, Tensor) else type(loss_B).__name__
            raise RequestError(
                f"loss={self.name} must return one number a sample, of the shape {tuple(y_B.shape)}, got {got}; take "
                f"no mean, such as by reduction='none' ({self.source})"
            )
        return loss_B


@functools.lru_cache(maxsize=512)
def _can_stack(loss: FunctionLoss, n_batch: int, n_classes: int, device: torch.device) -> bool:
    """Whether the loss and its gradient have the same bits for any number of trials that are computed at once.

    It follows from the function and the sizes alone: four trials are compared with fewer.
    """
    stream = torch.Generator().manual_seed(0)
    logits_TBC = (3 * torch.randn(4, n_batch, n_classes, generator=stream)).to(device)
    y_TB = torch.randint(n_classes, (4, n_batch), generator=stream).to(device)
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            whole = _value_and_grad(loss, logits_TBC, y_TB)
            parts = [
                _value_and_grad(loss, logits_TBC[first : first + n], y_TB[first : first + n]) for first, n in SPLITS
            ]
    except RequestError:
        raise
    except RuntimeError:
        return False
    if any("batching rule" in str(warning.message) for warning in warned):
        return False
    return all(
        _same(part, whole_value[first : first + len(part)])
        for (first, _), found in zip(SPLITS, parts, strict=True)
        for part, whole_value in zip(found, whole, strict=True)
    )


def _value_and_grad(loss: FunctionLoss, logits_TBC: Tensor, y_TB: Tensor) -> tuple[Tensor, Tensor]:
    leaf_TBC = logits_TBC.detach().requires_grad_()
    with torch.enable_grad():
        loss_TB = torch.func.vmap(loss._of_trial, randomness="error")(leaf_TBC, y_TB)
        (grad_TBC,) = torch.autograd.grad(loss_TB.mean(1).sum(), leaf_TBC)
    return loss_TB.detach(), grad_TBC


def _same(one: Tensor, other: Tensor) -> bool:
    return torch.equal(one.nan_to_num(), other.nan_to_num())


def function_loss(function: Callable[..., Any]) -> type[FunctionLoss]:
    """The spec class of a function. Raises `ExtensionError` if its signature cannot be read."""
    source = source_of(function)
    name = function.__name__
    try:
        first, arguments = read_signature(
            function, tuple(inspect.signature(function).parameters)[:2], reserved_in(FunctionLoss)
        )
    except SignatureError as error:
        raise ExtensionError(f"{source.file}: {name}: {error}") from error
    if len(first) != len(ARGUMENTS):
        raise ExtensionError(f"{source.file}: {name} must take logits (B, C) and classes (B,) before the *")
    own: dict[str, Any] = {"name": name, "_function": staticmethod(function), "source": str(source)}
    return dataclasses.make_dataclass(
        f"{name}_loss", [(a.name, a.kind, a.field) for a in arguments], bases=(FunctionLoss,),
        namespace={**own, "__doc__": function.__doc__, "__module__": function.__module__}, frozen=True, kw_only=True,
    )  # fmt: skip


def loss(function: F) -> F:
    """Makes a function an option of the config group `loss`; returns it as it is.

    The function takes logits (B, C) and class indices (B,) of one trial, and returns the loss of each sample (B,). Its
    keyword-only arguments are the option's keys. Autograd computes its gradient.

    Args:
        function: The function.

    Raises:
        RequestError: The signature cannot be read, or the name is taken.

    Examples:
        >>> import phalanx, torch
        >>> @phalanx.loss  # doctest: +SKIP
        ... def focal(logits, y, *, gamma: float = 2.0):
        ...     nll = torch.nn.functional.cross_entropy(logits, y, reduction="none")
        ...     return (1 - (-nll).exp()) ** gamma * nll
    """
    add_option(function_loss(function), source_of(function), default_lr=LEARNING_RATES)
    return function
