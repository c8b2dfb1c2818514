"""The runs of a comparison."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MEASURED = ("n_parameters", "train_seconds", "samples_per_second", "best_epoch", "epochs")


@dataclass(frozen=True)
class Run:
    """One trained seed: its flat config (`optimizer.lr: 0.1`) without seed, device and tracking, and its numbers."""

    place: str  # where it was read, for messages
    config: Mapping[str, Any]
    seed: int
    status: str
    values: Mapping[str, float | None]  # by metric
    objective: str
    data: str | None  # the data's digest


@dataclass(frozen=True)
class Read:
    """The runs of all sources, and notes on runs that were left out."""

    runs: tuple[Run, ...]
    notes: tuple[str, ...]
