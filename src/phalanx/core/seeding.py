"""Random numbers that depend on (seed, purpose) and on nothing else.

A trial's initial weights, data order and dropout masks are the same alone, in any cohort, in any order, on any
device, and from any epoch on: nothing is drawn from a stream that somebody else may have advanced.

Axes: T trials, N samples, B batch, H units.
"""

from __future__ import annotations

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
    """The order in which each trial, given by (seed, epoch from 1), visits its samples: int64, shape (T, N)."""
    orders = [torch.randperm(n_samples, generator=generator(seed, "order", epoch)) for seed, epoch in streams]
    return torch.stack(orders) if orders else torch.empty(0, n_samples, dtype=torch.int64)


def dropout_keys(seeds: Sequence[int], layer: int) -> Tensor:
    """One 32-bit key a trial for the masks of one layer: int64, shape (T,)."""
    return torch.tensor([derive(seed, "dropout", layer) & _MASK for seed in seeds], dtype=torch.int64)


def draw_keys(seeds: Sequence[int]) -> Tensor:
    """One 32-bit key a trial for the classes that it draws: int64, shape (T,)."""
    return torch.tensor([derive(seed, "classes") & _MASK for seed in seeds], dtype=torch.int64)


def hashed_uniforms(keys_T: Tensor, step: int | Tensor, n_batch: int, n_units: int) -> Tensor:
    """Uniform numbers in [0, 1), shape (T, B, H), a function of (key, step, row, unit) alone.

    `step` is one for all trials, or one for each: int64, shape (T,).

    A counter-based hash instead of a generator: no state to advance, so a neighbour, a padded unit or a resumed
    run cannot shift the numbers. The mixer is the 32-bit finalizer "lowbias32" (C. Wellons, 2018).
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
