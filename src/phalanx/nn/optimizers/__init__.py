"""Optimizers: one file per family. `OPTIMIZERS` maps the name used in `optimizer=<name>` to its class.

Examples:
    >>> from phalanx import OPTIMIZERS, TrialSpec
    >>> sorted(OPTIMIZERS)
    ['adam', 'adamw', 'muon', 'nadam', 'rmsprop', 'sgd']
    >>> TrialSpec(optimizer=OPTIMIZERS["sgd"](lr=0.1, momentum=0.5)).optimizer.nesterov
    False
"""

from phalanx.core.registry import options
from phalanx.nn.optimizers.base import OptimizerSpec

OPTIMIZERS = options(OptimizerSpec, __name__, __path__)

__all__ = ["OPTIMIZERS", "OptimizerSpec"]
