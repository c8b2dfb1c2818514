"""A GPU of tensors without numbers: what a step does on a device is checked where there is none."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class FakeGpu(TorchDispatchMode):
    """Operations on the CPU are done; those with a tensor of the device `cuda` give tensors of it without numbers.

    A number that is fetched from the device is an error, as are operations on tensors of two devices. `crossings`
    counts the operations by name that copied between the devices or read a tensor of the host on the device: each of
    them makes the host wait for the device, and none of them can be part of a CUDA graph.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fake = FakeTensorMode(allow_non_fake_inputs=True)
        self.crossings, self.on_device = Counter[str](), Counter[str]()

    def __enter__(self) -> FakeGpu:
        self.fake.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self.fake.__exit__(*error)

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        if not any(isinstance(tensor, FakeTensor) for tensor in given) and not _names_cuda(kwargs):
            with unset_fake_temporarily():
                return function(*args, **kwargs)
        found = function(*args, **kwargs)
        devices = {leaf.device.type for leaf in [*given, *tree_leaves(found)] if isinstance(leaf, torch.Tensor)}
        self.on_device[str(function)] += 1
        if devices != {"cuda"}:
            self.crossings[str(function)] += 1
        return found


def _names_cuda(kwargs: dict[str, Any]) -> bool:
    device = kwargs.get("device")
    return device is not None and torch.device(device).type == "cuda"
