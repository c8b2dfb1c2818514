"""What a CUDA graph is, on the CPU: the operations of one step, with the very memory that they worked on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Recorder(TorchDispatchMode):
    """Keeps the operations that are done; a number that is fetched from the device is an error."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = function(*args, **(kwargs or {}))
        assert "_local_scalar_dense" not in str(function), "a number was fetched from the device"
        self.operations.append((function, args, kwargs or {}, found))
        return found

    @torch.no_grad()
    def replay(self) -> None:
        """Does the operations once more, in the same memory."""
        for function, args, kwargs, found in self.operations:
            again = function(*args, **kwargs)
            for old, new in zip(tree_leaves(found), tree_leaves(again), strict=True):  # some return several tensors
                if isinstance(old, torch.Tensor) and new.data_ptr() != old.data_ptr():
                    old.copy_(new)


def record(body: Callable[[], None]) -> Callable[[], None]:
    """Stands for `phalanx.training.cuda_graph.cuda_graph`: makes a step, and returns what repeats it."""
    dropout = body.__self__.stack.dropout  # type: ignore[attr-defined]
    if dropout is not None:
        dropout.in_graph = True  # as on a GPU
    with Recorder() as recorder:
        body()
    return recorder.replay
