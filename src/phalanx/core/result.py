"""What a trial leaves: frozen results, and their form in `result.json`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from phalanx.core.errors import Failure

if TYPE_CHECKING:
    from torch import Tensor


class Status(StrEnum):
    """How a trial ended. Only a completed or pruned one has an objective value."""

    COMPLETED = "completed"
    PRUNED = "pruned"
    DIVERGED = "diverged"
    FAILED = "failed"


def ended_as(stored: Mapping[str, Any]) -> str:
    """The status in a `result.json`; `interrupted` for a trial that failed only because it was stopped."""
    return "interrupted" if stored.get("failure") == Failure.INTERRUPTED else stored["status"]


def values_of(stored: Mapping[str, Any]) -> float | tuple[float, ...]:
    """What a job with this `result.json` gives to its sweeper: one objective, or all of them; NaN for none."""
    values = [math.nan if objective["value"] is None else objective["value"] for objective in stored["objectives"]]
    return values[0] if len(values) == 1 else tuple(values)


@dataclass(frozen=True)
class EpochMetrics:
    """One row of `metrics.csv`. Training numbers are means over the epoch's batches, taken while the weights move;
    validation numbers are taken after the epoch. Likelihood is the geometric mean of p(true class)."""

    epoch: int  # from 1
    train_loss: float
    train_accuracy: float
    train_likelihood: float
    val_loss: float
    val_accuracy: float
    val_likelihood: float
    lr: float  # at the epoch's last step
    seconds: float  # wall time of the epoch, shared equally among the trials of the cohort


@dataclass(frozen=True)
class Metrics:
    """Numbers at the weights that are saved, each over its whole split; None where it was not computed."""

    train_loss: float | None = None
    train_accuracy: float | None = None
    train_likelihood: float | None = None
    val_loss: float | None = None
    val_accuracy: float | None = None
    val_likelihood: float | None = None
    test_loss: float | None = None
    test_accuracy: float | None = None
    test_likelihood: float | None = None


def limits_of(metric: str) -> tuple[float, float]:
    """The range that a metric cannot leave: shares and probabilities from 0 to 1, losses and costs from 0."""
    return (0.0, 1.0 if metric.endswith(("accuracy", "likelihood")) else math.inf)


@dataclass(frozen=True)
class Objective:
    """What the trial was asked to be good at, and how good it was; `value` is None if it never got that far."""

    name: str
    value: float | None
    direction: str


@dataclass(frozen=True)
class Timing:
    """When a trial was in its cohort, in seconds since 1970, and the cohort's own short name."""

    started: float
    ended: float
    cohort: str


@dataclass(frozen=True)
class Snapshot:
    """A trial between two epochs: with its spec and its data, all that the rest of its training depends on.

    Random numbers and scheduled rates follow from the seed and the number of epochs, so there are no generators here.
    """

    history: tuple[EpochMetrics, ...]
    best_epoch: int | None
    tensors: dict[str, Tensor]  # its row of the weights, of those to save, and of the optimizer's state; on the CPU


@dataclass(frozen=True)
class TrialResult:
    """Everything about one trained trial. `weights` are the saved ones, in the layout of `torch.nn.Linear`."""

    status: Status
    objective: Objective
    metrics: Metrics
    history: tuple[EpochMetrics, ...]
    best_epoch: int | None
    epochs: int  # epochs that were trained
    train_seconds: float  # this trial's share of the cohort's wall time
    samples_per_second: float
    device: str
    seed: int
    config_digest: str
    data_digest: str
    n_parameters: int
    error: str | None = None
    timing: Timing | None = None
    weights: dict[str, Tensor] | None = field(default=None, repr=False, compare=False)

    def to_json(self) -> dict[str, Any]:
        """The part of `result.json` that training knows; plain types only."""
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("history", "weights")}
        plain["status"] = str(self.status)
        plain["objective"], plain["metrics"] = asdict(self.objective), asdict(self.metrics)
        plain["timing"] = self.timing and asdict(self.timing)
        return plain

    @classmethod
    def from_json(
        cls, stored: Mapping[str, Any], history: Sequence[EpochMetrics], weights: dict[str, Tensor] | None
    ) -> TrialResult:
        """What `to_json` gave, and more keys beside. Raises `KeyError`, `TypeError` or `ValueError` if it did not."""
        known = {f.name for f in fields(cls)}
        parts = {
            "status": Status(stored["status"]),
            "objective": Objective(**stored["objective"]),
            "metrics": Metrics(**stored["metrics"]),
            "timing": Timing(**timing) if (timing := stored.get("timing")) else None,
            "history": tuple(history),
            "weights": weights,
        }
        return cls(**{**{key: value for key, value in stored.items() if key in known}, **parts})


State = Snapshot | TrialResult | None  # of a trial: on its way, ended, or not begun
