"""Optimizers: one file a family. `OPTIMIZERS` lists them by the name used in `optimizer=<name>`."""

from phalanx.core.registry import options
from phalanx.nn.optimizers.base import OptimizerSpec

OPTIMIZERS = options(OptimizerSpec, __name__, __path__)

__all__ = ["OPTIMIZERS", "OptimizerSpec"]
