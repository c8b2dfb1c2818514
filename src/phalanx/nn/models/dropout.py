"""Dropout masks that are a function of each trial's key and step alone.

Axes: S steps, T trials, B batch, H units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from phalanx.core.seeding import hashed_bits, mask_counters
from phalanx.nn.models.cpu_factors import CPUFactors, scratch_size

N_NUMBERS = 65536  # equally likely numbers that decide whether a unit is dropped
MOST_UNITS = 1 << 17  # units of several steps whose factors are computed at a time: half a MiB a layer
MOST_STEPS = 64


@dataclass
class _Ahead:
    """The factors of some steps, the first of them after `start` calls of `advance`."""

    factors: CPUFactors
    start: int


class Dropout:
    """The dropout masks of the training steps, computed layer by layer.

    A rate is rounded to a multiple of 1/65536, at most 65535/65536; what is kept is divided by what the rate leaves.

    Args:
        rate_T: The dropout rate of each trial, from 0 to less than 1.
        keys: For each layer, one key per trial (see `dropout_keys`).

    Attributes:
        step_T: The number of updates of each trial before this one, int32.
        in_graph: Whether steps may be captured in a CUDA graph, which repeats PyTorch's operations on the same tensors.
    """

    def __init__(self, rate_T: Tensor, keys: Sequence[Tensor]) -> None:
        n_dropped_T = (rate_T.double() * N_NUMBERS).round().clamp(max=N_NUMBERS - 1)
        self.smallest_kept_T = (n_dropped_T - N_NUMBERS // 2).to(torch.int16)[:, None, None]
        self.scale_T = (N_NUMBERS / (N_NUMBERS - n_dropped_T)).float()[:, None, None]
        self.keys = keys
        self.step_T = torch.zeros_like(keys[0])
        self.in_graph = rate_T.device.type != "cpu"
        self._one = torch.ones_like(self.step_T[:1])  # a tensor, since adding a number takes twice the time
        self._n_advanced = 0
        self._ahead: dict[tuple[int, torch.Size], _Ahead] = {}
        self._scratch = torch.empty(2, 0, dtype=torch.int32)
        self._counters: dict[tuple[int, int], Tensor] = {}

    def start_at(self, step_T: Tensor) -> None:
        """Sets the number of updates of each trial, (T,)."""
        if self.in_graph or not torch.equal(self.step_T, step_T.to(torch.int32)):
            self.step_T.copy_(step_T)
            self._ahead.clear()

    def advance(self) -> None:
        """Goes on to the next step."""
        self.step_T.add_(self._one)
        self._n_advanced += 1

    def factors(self, layer: int, x_TBH: Tensor) -> Tensor:
        """Factors for `x_TBH`, which may hold the first trials only: 0 for a dropped unit, else 1 / (1 - rate).

        They may not be changed, and are valid in this step only, since the next one may use their memory.
        """
        factors_TBH = self._in_graph(layer, x_TBH) if self.in_graph else self._on_cpu(layer, x_TBH.shape)
        return factors_TBH if x_TBH.dtype is torch.float32 else factors_TBH.to(x_TBH.dtype)

    def _on_cpu(self, layer: int, shape: torch.Size) -> Tensor:
        n_steps, place = 1, 0
        if (ahead := self._ahead.get((layer, shape))) is not None:
            n_steps, place = len(ahead.factors.steps), self._n_advanced - ahead.start
            if place < n_steps:
                return ahead.factors.steps[place]
        most = max(1, min(MOST_STEPS, MOST_UNITS // max(1, shape.numel())))  # 0 units if all trials lack the layer
        if ahead is not None and place == n_steps:  # not so for the last batch of each epoch, of a shape of its own
            n_steps = min(2 * n_steps, most)
        if ahead is None or n_steps > len(ahead.factors.steps):
            if most == 1:  # of a large layer no two shapes are kept
                self._ahead = {key: one for key, one in self._ahead.items() if key[0] != layer}
            ahead = self._ahead[layer, shape] = _Ahead(self._new_factors(layer, (n_steps, *shape)), 0)
        ahead.start = self._n_advanced
        ahead.factors.compute(self.step_T[: shape[0]])
        return ahead.factors.steps[0]

    def _new_factors(self, layer: int, shape: tuple[int, ...]) -> CPUFactors:
        if (size := scratch_size(shape)) > self._scratch.shape[1]:
            self._scratch = torch.empty(2, size, dtype=torch.int32)
        n = shape[1]
        return CPUFactors(self.keys[layer][:n], self.smallest_kept_T[:n], self.scale_T[:n], shape, self._scratch)

    def _in_graph(self, layer: int, x_TBH: Tensor) -> Tensor:
        n_trials, n_batch, n_units = x_TBH.shape
        if n_trials == 0:  # all lack the layer
            return torch.ones_like(x_TBH)
        if (n_batch, n_units) not in self._counters:
            self._counters[n_batch, n_units] = mask_counters(n_batch, n_units, x_TBH.device)
        keys_T, step_1T = self.keys[layer][:n_trials], self.step_T[None, :n_trials]
        bits_TBH = hashed_bits(keys_T, step_1T, self._counters[n_batch, n_units])[0, ..., :n_units]
        return bits_TBH.ge_(self.smallest_kept_T[:n_trials]).float().mul_(self.scale_T[:n_trials])
