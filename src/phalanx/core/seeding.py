"""Random numbers that are a function of (seed, purpose) alone.

A trial's initial weights, data order and dropout masks are the same alone and in any cohort, on any device, and after
resuming at any epoch, because no random stream is shared between trials or purposes.

Axes: T trials, N samples, B batch, H units.
"""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

_MASK = 0xFFFFFFFF


def derive(seed: int, *purpose: str | int) -> int:
    """A 63-bit seed for one purpose, e.g. `derive(3, "order", epoch)`; stable across versions and machines."""
    text = "/".join(map(str, (seed, *purpose)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def generator(seed: int, *purpose: str | int) -> torch.Generator:
    """A CPU generator for one purpose. CPU, so that every device sees the same numbers."""
    return torch.Generator().manual_seed(derive(seed, *purpose))


def permutations(streams: Sequence[tuple[int, int]], n_samples: int) -> Tensor:
    """The order of samples of each trial, given by (seed, epoch from 1): int64, shape (T, N)."""
    orders = [torch.randperm(n_samples, generator=generator(seed, "order", epoch)) for seed, epoch in streams]
    return torch.stack(orders) if orders else torch.empty(0, n_samples, dtype=torch.int64)


def dropout_keys(seeds: Sequence[int], layer: int) -> Tensor:
    """One 32-bit key per trial for the dropout masks of one layer: int64, shape (T,)."""
    return torch.tensor([derive(seed, "dropout", layer) & _MASK for seed in seeds], dtype=torch.int64)


def draw_keys(seeds: Sequence[int]) -> Tensor:
    """One 32-bit key per trial for sampling classes: int64, shape (T,)."""
    return torch.tensor([derive(seed, "classes") & _MASK for seed in seeds], dtype=torch.int64)


def hashed_uniforms(keys_T: Tensor, step: int | Tensor, n_batch: int, n_units: int) -> Tensor:
    """Uniform float32 numbers (T, B, H) in [0, 1), a function of (key, step, row, unit) alone.

    A counter-based hash replaces a generator: it has no state, so neither another trial nor a padded unit nor a
    resumed run can shift the numbers. The mixer is the 32-bit finalizer "lowbias32" (C. Wellons, 2018).

    Args:
        keys_T: One key per trial, int64, shape (T,), from 0 to 2**32 - 1.
        step: The number of updates before this one: one for all trials, or int64 of shape (T,).
        n_batch: Rows B of the result.
        n_units: Columns H of the result.
    """
    device = keys_T.device
    row_B = torch.arange(n_batch, device=device, dtype=torch.int64) * 0x9E3779B1
    unit_H = torch.arange(n_units, device=device, dtype=torch.int64) * 0x85EBCA77
    step_key_T = _mix((keys_T + (step * 0xC2B2AE3D)) & _MASK)
    counter_BH = (row_B[:, None] + unit_H[None, :]) & _MASK
    bits_TBH = _mix(counter_BH[None] ^ step_key_T[:, None, None])
    return (bits_TBH >> 8).to(torch.float32) * (1.0 / (1 << 24))


def _mix(x: Tensor) -> Tensor:
    x = x ^ (x >> 16)
    x = (x * 0x7FEB352D) & _MASK
    x = x ^ (x >> 15)
    x = (x * 0x846CA68B) & _MASK
    return x ^ (x >> 16)
