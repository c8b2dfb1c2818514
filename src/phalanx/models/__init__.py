"""Model families: one file each. `MODELS` lists them by the name in `model.name`."""

from phalanx.models.base import Dropout, Layout, ModelSpec
from phalanx.models.some_classes import SomeClasses
from phalanx.registry import options

MODELS = options(ModelSpec, __name__, __path__)

__all__ = ["MODELS", "Dropout", "Layout", "ModelSpec", "SomeClasses"]
