"""The option `device`, and the torch device, threads and precision that follow from it."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch

from phalanx.core.errors import DeviceError
from phalanx.core.specs import Spec, static

# By default, Intel's MKL rounds a product depending on the alignment of its operands, which differs between a single
# trial and a cohort. This makes it reproducible, at no measurable cost. MKL reads it once, at the first product.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")


@dataclass(frozen=True, kw_only=True)
class DeviceSpec(Spec):
    """Where to train. `auto` takes CUDA, else MPS, else the CPU. The config digest leaves all of it out.

    Examples:
        >>> from phalanx import DeviceSpec, TrialSpec
        >>> TrialSpec(device=DeviceSpec(kind="cpu", threads=1)).device.threads
        1
    """

    config_group: ClassVar[str] = "device"
    kind: str = static("auto", choices=("auto", "cpu", "cuda", "mps"), determines_numbers=False)
    threads: int | None = static(None, ge=1, determines_numbers=False)  # CPU threads in total; null: torch's default
    pad: bool | None = static(None, determines_numbers=False)  # pad networks to one shape; null: on a GPU only


def resolve(spec: DeviceSpec) -> torch.device:
    """The torch device for `spec`. Raises `DeviceError` if it is not available."""
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
def threads(n_threads: int) -> Iterator[None]:
    """Sets torch's number of CPU threads and restores it afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def precision(kind: str, device: torch.device) -> Iterator[None]:
    """For `tf32`, lets CUDA round the operands of float32 products to 10 bits; raises `DeviceError` without CUDA."""
    if kind == "tf32" and device.type != "cuda":
        raise DeviceError(f"trainer.precision=tf32 needs device=cuda, got {device.type}; try trainer.precision=float32")
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if kind == "tf32" else before)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _absent(kind: str, reason: str) -> str:
    return f"device={kind} cannot be used: {reason} (torch {torch.__version__}); try device=auto or device=cpu"


def label(device: torch.device, n_threads: int) -> str:
    """The device as shown to users: `cpu (2 threads)`, `cuda (NVIDIA H200)`."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    if device.type == "cpu":
        return f"cpu ({n_threads} thread{'s' * (n_threads > 1)})"
    return device.type
