"""Losses: one file each. `LOSSES` maps the name used in `loss=<name>` to its class.

Examples:
    >>> from phalanx import LOSSES, TrialSpec
    >>> sorted(LOSSES)
    ['cross_entropy', 'mse', 'nll', 'one_vs_all', 'sampled_softmax']
    >>> TrialSpec(loss=LOSSES["mse"](label_smoothing=0.1)).loss.output
    'softmax'
"""

from phalanx.core.registry import options
from phalanx.nn.losses.base import LossSpec
from phalanx.nn.losses.functional import OUTPUTS

LOSSES = options(LossSpec, __name__, __path__)

__all__ = ["LOSSES", "OUTPUTS", "LossSpec"]
