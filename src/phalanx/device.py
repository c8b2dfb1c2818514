"""Where a cohort trains: the option `device`, resolved to a torch device that is really there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch

from phalanx.errors import DeviceError
from phalanx.fields import Spec, static

ONE_THREAD_FLOPS = 3e7  # arithmetic a step below which one CPU thread is at least as fast


@dataclass(frozen=True, kw_only=True)
class DeviceSpec(Spec):
    """`auto` takes CUDA, then MPS, then the CPU. None of it enters the config digest."""

    group: ClassVar[str] = "device"
    kind: str = static("auto", choices=("auto", "cpu", "cuda", "mps"), determines_numbers=False)
    threads: int | None = static(None, low=1, determines_numbers=False)  # CPU threads; null: chosen by the work a step


def resolve(spec: DeviceSpec) -> torch.device:
    """The torch device for `spec`. Raises `DeviceError` if it is not there."""
    if spec.kind == "cuda" and not torch.cuda.is_available():
        raise DeviceError(_absent("cuda", "torch finds no CUDA GPU or was built without CUDA"))
    if spec.kind == "mps" and not torch.backends.mps.is_available():
        raise DeviceError(_absent("mps", "torch finds no Apple GPU"))
    if spec.kind != "auto":
        return torch.device(spec.kind)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


@contextlib.contextmanager
def threads(spec: DeviceSpec, flops_per_step: float) -> Iterator[None]:
    """Sets torch's CPU threads for training and puts them back afterwards.

    By default a step of little work takes one thread. A second one saves nothing there, and on a busy machine the two
    wait for each other: 20 to 80 times as long was measured with a digits-size network (benchmarks/README.md).
    """
    before = torch.get_num_threads()
    small = flops_per_step < ONE_THREAD_FLOPS
    torch.set_num_threads(spec.threads or (1 if small else before))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _absent(kind: str, reason: str) -> str:
    return f"device={kind} cannot be used: {reason} (torch {torch.__version__}); try device=auto or device=cpu"


def label(device: torch.device) -> str:
    """The device for people: `cpu (2 threads)`, `cuda (NVIDIA H200)`."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    if device.type == "cpu":
        n_threads = torch.get_num_threads()
        return f"cpu ({n_threads} thread{'s' * (n_threads > 1)})"
    return device.type
