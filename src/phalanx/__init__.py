"""Phalanx: experiment sweeps for neural-network classifiers whose trials train together.

from phalanx import TrialSpec, load_dataset, train_trial, train_cohort
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

# Imported when first used: `import phalanx` alone must not pay seconds for torch.
_HOME = {
    "TrialSpec": "training.spec",
    "TrainerSpec": "training.spec",
    "DeviceSpec": "core.device",
    "MLP": "nn.models.mlp",
    "DATASETS": "data",
    "LOSSES": "nn.losses",
    "MODELS": "nn.models",
    "OPTIMIZERS": "nn.optimizers",
    "SCHEDULES": "nn.schedules",
    "load_dataset": "data",
    "partition": "training.cohort",
    "train_cohort": "training.loop",
    "train_trial": "training.loop",
    "Callback": "core.callbacks",
    "Status": "core.result",
    "TrialResult": "core.result",
    "PhalanxError": "core.errors",
    "RequestError": "core.errors",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'phalanx' has no attribute {name!r}")
    return getattr(importlib.import_module(f"phalanx.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
