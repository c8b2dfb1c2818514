"""Where a cohort trains: the option `device`, resolved to a torch device that is really there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from phalanx.errors import DeviceError
from phalanx.fields import Spec, static


@dataclass(frozen=True, kw_only=True)
class DeviceSpec(Spec):
    """`auto` takes CUDA, then MPS, then the CPU. None of it enters the config digest."""

    group: ClassVar[str] = "device"
    kind: str = static("auto", choices=("auto", "cpu", "cuda", "mps"), determines_numbers=False)
    threads: int | None = static(None, low=1, determines_numbers=False)  # CPU threads of torch; null: torch's choice


def resolve(spec: DeviceSpec) -> torch.device:
    """The torch device for `spec`, after setting the thread count. Raises `DeviceError` if it is not there."""
    if spec.threads is not None:
        torch.set_num_threads(spec.threads)
    if spec.kind == "cuda" and not torch.cuda.is_available():
        raise DeviceError(_absent("cuda", "torch finds no CUDA GPU or was built without CUDA"))
    if spec.kind == "mps" and not torch.backends.mps.is_available():
        raise DeviceError(_absent("mps", "torch finds no Apple GPU"))
    if spec.kind != "auto":
        return torch.device(spec.kind)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _absent(kind: str, reason: str) -> str:
    return f"device={kind} cannot be used: {reason} (torch {torch.__version__}); try device=auto or device=cpu"


def label(device: torch.device) -> str:
    """The device for people: `cpu (2 threads)`, `cuda (NVIDIA H200)`."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return f"cpu ({torch.get_num_threads()} threads)" if device.type == "cpu" else device.type
