"""Losses: one file each. `LOSSES` lists them by the name used in `loss=<name>`."""

from phalanx.core.registry import options
from phalanx.nn.losses.base import LossSpec
from phalanx.nn.losses.functional import OUTPUTS

LOSSES = options(LossSpec, __name__, __path__)

__all__ = ["LOSSES", "OUTPUTS", "LossSpec"]
