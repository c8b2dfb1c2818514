"""Optimizers: one file a family. `OPTIMIZERS` lists them by the name used in `optimizer=<name>`."""

from phalanx.optimizers.base import OptimizerSpec
from phalanx.registry import options

OPTIMIZERS = options(OptimizerSpec, __name__, __path__)

__all__ = ["OPTIMIZERS", "OptimizerSpec"]
