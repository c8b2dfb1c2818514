"""Phalanx: experiment sweeps for neural-network classifiers whose trials train together.

Examples:
    >>> from phalanx import TrainerSpec, TrialSpec, load_dataset, train_cohort
    >>> specs = [TrialSpec(seed=seed, trainer=TrainerSpec(epochs=2)) for seed in range(3)]
    >>> results = train_cohort(specs, load_dataset(specs[0].data))
    >>> [result.epochs for result in results]
    [2, 2, 2]
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the same names `_HOME`, for type checkers
    from phalanx.core.callbacks import Callback
    from phalanx.core.device import DeviceSpec
    from phalanx.core.errors import PhalanxError, RequestError
    from phalanx.core.result import Status, TrialResult
    from phalanx.core.signatures import Range
    from phalanx.data import DATASETS, load_dataset
    from phalanx.data.function_data import dataset
    from phalanx.nn.losses import LOSSES
    from phalanx.nn.losses.function_loss import loss
    from phalanx.nn.metrics.function_metric import metric
    from phalanx.nn.models import MODELS
    from phalanx.nn.models.mlp import MLP
    from phalanx.nn.models.module_spec import model
    from phalanx.nn.optimizers import OPTIMIZERS
    from phalanx.nn.optimizers.class_optimizer import optimizer
    from phalanx.nn.schedules import SCHEDULES
    from phalanx.training.loop import train_cohort, train_trial
    from phalanx.training.partition import partition
    from phalanx.training.spec import TrainerSpec, TrialSpec

__version__ = "0.1.0"

# Imported when first used, so that `import phalanx` alone does not load torch.
_HOME = {
    "TrialSpec": "training.spec",
    "TrainerSpec": "training.spec",
    "DeviceSpec": "core.device",
    "MLP": "nn.models.mlp",
    "model": "nn.models.module_spec",
    "loss": "nn.losses.function_loss",
    "dataset": "data.function_data",
    "optimizer": "nn.optimizers.class_optimizer",
    "metric": "nn.metrics.function_metric",
    "Range": "core.signatures",
    "DATASETS": "data",
    "LOSSES": "nn.losses",
    "MODELS": "nn.models",
    "OPTIMIZERS": "nn.optimizers",
    "SCHEDULES": "nn.schedules",
    "load_dataset": "data",
    "partition": "training.partition",
    "train_cohort": "training.loop",
    "train_trial": "training.loop",
    "Callback": "core.callbacks",
    "Status": "core.result",
    "TrialResult": "core.result",
    "PhalanxError": "core.errors",
    "RequestError": "core.errors",
}

__all__ = [
    "DATASETS", "LOSSES", "MLP", "MODELS", "OPTIMIZERS", "SCHEDULES", "Callback", "DeviceSpec", "PhalanxError",
    "Range", "RequestError", "Status", "TrainerSpec", "TrialResult", "TrialSpec", "dataset", "load_dataset", "loss",
    "metric", "model", "optimizer", "partition", "train_cohort", "train_trial",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'phalanx' has no attribute {name!r}")
    return getattr(importlib.import_module(f"phalanx.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
