"""Random numbers that are a function of (seed, purpose) alone.

A trial's initial weights, data order and dropout masks are the same alone and in any cohort, on any device, and after
resuming at any epoch, because no random stream is shared between trials or purposes.

Axes: T trials, N samples, B batch, H units.
"""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

FACTORS = (0x7FEB352D, 0x846CA68B)  # of the hashes
STEP_FACTOR = 0xC2B2AE3D - (1 << 32)  # as an int32

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
    """One 32-bit key per trial for the dropout masks of one layer: int32, shape (T,)."""
    return torch.tensor([_signed(derive(seed, "dropout", layer) & _MASK) for seed in seeds], dtype=torch.int32)


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


def mask_counters(n_batch: int, n_units: int, device: torch.device) -> Tensor:
    """A number for each row and each pair of units, as `hashed_bits` takes them: int32, shape (B, ceil(H / 2))."""
    row_B = torch.arange(n_batch, dtype=torch.int32, device=device) * _signed(0x9E3779B1)
    pair_H = torch.arange((n_units + 1) // 2, dtype=torch.int32, device=device) * _signed(0x85EBCA77)
    return row_B[:, None] + pair_H


def hashed_bits(keys_T: Tensor, step_ST: Tensor, counters_BH: Tensor) -> Tensor:
    """Uniform int16 numbers (S, T, B, H), H even, a function of (key, step, row, unit) alone.

    As `hashed_uniforms`, but several times as fast: one hash gives the numbers of two neighbouring units (the lower
    half is the first unit's), and wraps around in 32 bits. The mixer is "lowbias32" without its first shift.

    Args:
        keys_T: One key per trial (see `dropout_keys`).
        step_ST: The numbers of updates before each of S steps, int32.
        counters_BH: Of `mask_counters`.
    """
    step_key_ST = keys_T + step_ST * STEP_FACTOR
    x_STBH = counters_BH ^ step_key_ST[..., None, None]
    x_STBH.mul_(FACTORS[0])
    x_STBH.bitwise_xor_((x_STBH >> 15).bitwise_and_(0x1FFFF))  # >> copies the sign
    x_STBH.mul_(_signed(FACTORS[1]))
    x_STBH.bitwise_xor_((x_STBH >> 16).bitwise_and_(0xFFFF))
    return x_STBH.view(torch.int16)


def mask_bits(key: Tensor, step: Tensor, counters_BH: Tensor) -> Tensor:
    """As `hashed_bits` for one trial and step, by operations that `torch.func.vmap` can do: int16 numbers (B, H).

    Args:
        key: The trial's key, int32, shape ().
        step: The number of updates before this one, int32, shape ().
        counters_BH: Of `mask_counters`.
    """
    x_BH = (counters_BH ^ (key + step * STEP_FACTOR)) * FACTORS[0]
    x_BH = (x_BH ^ ((x_BH >> 15) & 0x1FFFF)) * _signed(FACTORS[1])
    return (x_BH ^ ((x_BH >> 16) & 0xFFFF)).view(torch.int16)


def _signed(x: int) -> int:
    """The int32 with the same bits as this unsigned number of 32 bits."""
    return x - (1 << 32) if x >> 31 else x


def _mix(x: Tensor) -> Tensor:
    x = x ^ (x >> 16)
    x = (x * FACTORS[0]) & _MASK
    x = x ^ (x >> 15)
    x = (x * FACTORS[1]) & _MASK
    return x ^ (x >> 16)
