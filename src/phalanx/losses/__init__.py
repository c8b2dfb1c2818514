"""Losses: one file each. `LOSSES` lists them by the name used in `loss=<name>`."""

from phalanx.losses.base import OUTPUTS, LossSpec
from phalanx.registry import options

LOSSES = options(LossSpec, __name__, __path__)

__all__ = ["LOSSES", "OUTPUTS", "LossSpec"]
