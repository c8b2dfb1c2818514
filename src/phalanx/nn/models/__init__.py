"""Model families: one file each. `MODELS` maps the name in `model.name` to its class.

Examples:
    >>> from phalanx import MODELS
    >>> MODELS["mlp"](hidden=(50, 20)).layout(784, 10).size
    40480
"""

from phalanx.core.registry import options
from phalanx.nn.models.base import ModelSpec
from phalanx.nn.models.dropout import Dropout
from phalanx.nn.models.layout import Layout
from phalanx.nn.models.sampled_classes import SampledClasses

MODELS = options(ModelSpec, __name__, __path__)

__all__ = ["MODELS", "Dropout", "Layout", "ModelSpec", "SampledClasses"]
