"""Model families: one file each. `MODELS` lists them by the name in `model.name`."""

from phalanx.core.registry import options
from phalanx.nn.models.base import Dropout, Layout, ModelSpec
from phalanx.nn.models.sampled_classes import SomeClasses

MODELS = options(ModelSpec, __name__, __path__)

__all__ = ["MODELS", "Dropout", "Layout", "ModelSpec", "SomeClasses"]
