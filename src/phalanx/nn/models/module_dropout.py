"""`nn.Dropout` modules whose masks are a function of the trial's key and step, under `torch.func.vmap` too.

Axes: T trials, B batch, H all units of a sample, L dropout modules of a network.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from phalanx.core.seeding import dropout_keys, mask_bits, mask_counters
from phalanx.nn.models.dropout import N_NUMBERS, Dropout

AGAIN = 0x27D4EB2F  # added to the key for each further call of a module within one step


class HashedDropout(nn.Module):
    """Takes the place of a dropout module, by its class alone; `key` and `step` are set before each training step.

    One number decides about a unit, or about a channel with all that is in it, as in the module that it replaces.
    """

    p: float
    n_kept_together: int  # the dimensions behind batch and channel; -1 where each unit is dropped by itself
    key: Tensor
    step: Tensor
    n_calls: int

    def forward(self, x: Tensor) -> Tensor:
        n_dropped = min(round(self.p * N_NUMBERS), N_NUMBERS - 1)
        if not self.training or n_dropped == 0:
            return x
        if self.p == 1.0:
            return x * 0.0
        by_unit = self.n_kept_together < 0 or x.dim() < 3
        shape = x.shape if by_unit else x.shape[:2]
        counters = mask_counters(shape[0], math.prod(shape[1:]), x.device)
        bits_BH = mask_bits(self.key + self.n_calls * AGAIN, self.step, counters)[:, : math.prod(shape[1:])]
        self.n_calls += 1
        factors_BH = (bits_BH >= n_dropped - N_NUMBERS // 2).to(x.dtype) * (N_NUMBERS / (N_NUMBERS - n_dropped))
        return x * factors_BH.reshape(*shape, *[1] * (x.dim() - len(shape)))


KINDS: dict[type[nn.Module], int] = {nn.Dropout: -1, nn.Dropout1d: 1, nn.Dropout2d: 2, nn.Dropout3d: 3}


def replace_dropout(module: nn.Module) -> list[HashedDropout]:
    """Replaces the dropout modules inside a network; returns them in their order."""
    found: list[HashedDropout] = []
    for part in module.modules():
        if type(part) in KINDS:
            kind = KINDS[type(part)]
            part.__class__ = HashedDropout
            hashed = cast(HashedDropout, part)
            hashed.n_kept_together = kind
            found.append(hashed)
    return found


class TrialStreams(Dropout):
    """The random numbers of networks that are modules: keys for dropout modules, and seeds for generators.

    Args:
        seeds: The seed of each trial.
        n_layers: L.
        device: Where the keys are.
    """

    def __init__(self, seeds: Sequence[int], n_layers: int, device: torch.device) -> None:
        keys = [dropout_keys(seeds, layer).to(device) for layer in range(max(n_layers, 1))]
        super().__init__(torch.zeros(len(seeds), device=device), keys)
        self.seeds, self.keys_TL = list(seeds), torch.stack(keys, 1)
