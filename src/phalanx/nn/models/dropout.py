"""Dropout masks that are a function of each trial's key and step alone.

Axes: S steps, T trials, B batch, H units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from phalanx.core.seeding import hashed_bits, mask_counters

N_NUMBERS = 65536  # equally likely numbers that decide whether a unit is dropped
BLOCK = 1 << 17  # units whose masks are computed at a time on a CPU, so that they stay in its cache
MOST_AHEAD = 64  # steps of a small network whose masks are computed at a time


@dataclass(frozen=True)
class _Ahead:
    """The factors of some steps, the first of them after `start` calls of `advance`."""

    start: int
    factors_STBH: Tensor


class Dropout:
    """The dropout masks of the training steps, computed layer by layer.

    A rate is rounded to a multiple of 1/65536, at most 65535/65536; what is kept is divided by what the rate leaves.

    Args:
        rate_T: The dropout rate of each trial, from 0 to less than 1.
        keys: For each layer, one key per trial (see `dropout_keys`).

    Attributes:
        step_T: The number of updates of each trial before this one, int32.
        most_ahead: The largest number of steps computed at a time. 1 in a CUDA graph, which repeats what was captured.
    """

    def __init__(self, rate_T: Tensor, keys: Sequence[Tensor]) -> None:
        n_dropped_T = (rate_T.double() * N_NUMBERS).round().clamp(max=N_NUMBERS - 1)
        self.smallest_kept_T = (n_dropped_T - N_NUMBERS // 2).to(torch.int16)[:, None, None]
        self.scale_T = (N_NUMBERS / (N_NUMBERS - n_dropped_T)).float()[:, None, None]
        self.keys = keys
        self.step_T = torch.zeros_like(keys[0])
        self.most_ahead = MOST_AHEAD if rate_T.device.type == "cpu" else 1
        self._n_advanced = 0
        self._ahead: dict[tuple[int, torch.Size], _Ahead] = {}
        self._counters: dict[tuple[int, int], Tensor] = {}

    def start_at(self, step_T: Tensor) -> None:
        """Sets the number of updates of each trial, (T,)."""
        self.step_T.copy_(step_T)
        self._ahead.clear()

    def advance(self) -> None:
        """Goes on to the next step."""
        self.step_T.add_(1)
        self._n_advanced += 1

    def factors(self, layer: int, x_TBH: Tensor) -> Tensor:
        """Factors for `x_TBH`, which may hold the first trials only: 0 for a dropped unit, else 1 / (1 - rate)."""
        return self._factors(layer, x_TBH.shape, x_TBH.device).to(x_TBH.dtype)

    def _factors(self, layer: int, shape: torch.Size, device: torch.device) -> Tensor:
        most = min(self.most_ahead, BLOCK // max(1, shape.numel()))  # none if all trials lack the layer
        if most <= 1:
            return self._computed(layer, shape, 1, device)[0]
        ahead = self._ahead.get((layer, shape))
        if ahead is None or self._n_advanced >= ahead.start + len(ahead.factors_STBH):
            # Twice as many each time, since the last batch of an epoch has a shape of its own.
            n_steps = 1 if ahead is None else min(2 * len(ahead.factors_STBH), most)
            ahead = _Ahead(self._n_advanced, self._computed(layer, shape, n_steps, device))
            self._ahead[layer, shape] = ahead
        return ahead.factors_STBH[self._n_advanced - ahead.start]

    def _computed(self, layer: int, shape: torch.Size, n_steps: int, device: torch.device) -> Tensor:
        """The factors (S, T, B, H) of the next steps."""
        n_trials, n_batch, n_units = shape
        if (n_batch, n_units) not in self._counters:
            self._counters[n_batch, n_units] = mask_counters(n_batch, n_units, device)
        steps_ST = self.step_T + torch.arange(n_steps, dtype=torch.int32, device=device)[:, None]
        factors_STBH = torch.empty(n_steps, *shape, device=device)
        at_a_time = max(1, BLOCK // (n_steps * n_batch * n_units)) if device.type == "cpu" else n_trials
        for first in range(0, n_trials, at_a_time):
            part = slice(first, min(first + at_a_time, n_trials))
            bits_STBH = hashed_bits(self.keys[layer][part], steps_ST[:, part], self._counters[n_batch, n_units])
            kept_STBH = bits_STBH[..., :n_units].ge_(self.smallest_kept_T[part])
            factors_STBH[:, part].copy_(kept_STBH).mul_(self.scale_T[part])
        return factors_STBH
