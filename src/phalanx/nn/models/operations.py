"""Counts the arithmetic of a module, without timing it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

PRODUCTS = {"linear", "matmul", "__matmul__", "mm", "bmm", "baddbmm", "addmm"}
FORWARD_AND_BACKWARD = 3  # a backward pass has two products for each one of the forward pass


class OperationCounter(TorchFunctionMode):
    """Adds up the operations of what is called inside its block, roughly: products, convolutions, one per element else.

    torch's own `FlopCounterMode` imports its compiler, which takes seconds.
    """

    def __init__(self) -> None:
        super().__init__()
        self.forward = 0.0

    @property
    def total(self) -> float:
        """Operations of the forward and backward passes."""
        return FORWARD_AND_BACKWARD * self.forward

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        if isinstance(found, Tensor):
            self.forward += found.numel() * _per_element(getattr(func, "__name__", ""), args)
        return found


def _per_element(name: str, args: Any) -> float:
    """Operations of one number of the result."""
    tensors = [arg for arg in args if isinstance(arg, Tensor)]
    if name in PRODUCTS and tensors and tensors[0].dim():
        return 2.0 * tensors[-2 if len(tensors) > 2 and name != "linear" else 0].shape[-1]
    if name.startswith("conv") and len(tensors) > 1:
        return 2.0 * math.prod(tensors[1].shape[1:])
    return 1.0
