"""Results of a trial: its status, metrics, history and weights, and their form in `result.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from phalanx.core.metrics import split_name

if TYPE_CHECKING:
    from torch import Tensor


class Status(StrEnum):
    """How a trial ended. Only a completed or pruned one has an objective value.

    Examples:
        >>> from phalanx import Status
        >>> [status.value for status in Status]
        ['completed', 'pruned', 'diverged', 'failed']
    """

    COMPLETED = "completed"
    PRUNED = "pruned"
    DIVERGED = "diverged"
    FAILED = "failed"


class Failure(StrEnum):
    """The kinds of failure that a sweep distinguishes."""

    DIVERGED = "diverged"
    CONFIG = "config"
    DATA = "data"
    CRASH = "crash"
    OUT_OF_MEMORY = "out_of_memory"
    TIMEOUT = "timeout"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class EpochMetrics:
    """One row of `metrics.csv`. Training metrics are means over the epoch, each batch before its update; validation
    metrics are computed after the epoch. The likelihood is the geometric mean of p(true class)."""

    epoch: int  # from 1
    train_loss: float
    train_accuracy: float
    train_likelihood: float
    val_loss: float
    val_accuracy: float
    val_likelihood: float
    lr: float  # at the epoch's last step
    seconds: float  # the epoch's wall time divided by the number of trials in the chunk
    further: Mapping[str, float] = field(default_factory=dict)  # such as `val_f1_macro`: those that were asked for

    def __getitem__(self, name: str) -> float:
        value: float = self.further[name] if name in self.further else getattr(self, name)
        return value

    def flat(self) -> dict[str, float]:
        """All numbers by name: the columns of `metrics.csv`."""
        return _flat(self)


@dataclass(frozen=True)
class Metrics:
    """Metrics of the saved weights, each over a whole split; None where it was not computed or is not defined.

    Examples:
        >>> from phalanx import TrainerSpec, TrialSpec, load_dataset, train_trial
        >>> spec = TrialSpec(trainer=TrainerSpec(epochs=2))
        >>> metrics = train_trial(spec, load_dataset(spec.data)).metrics
        >>> metrics["test_accuracy"] == metrics.test_accuracy
        True
    """

    train_loss: float | None = None
    train_accuracy: float | None = None
    train_likelihood: float | None = None
    val_loss: float | None = None
    val_accuracy: float | None = None
    val_likelihood: float | None = None
    test_loss: float | None = None
    test_accuracy: float | None = None
    test_likelihood: float | None = None
    further: Mapping[str, float | None] = field(default_factory=dict)  # all other metrics, such as `test_f1_macro`

    def __getitem__(self, name: str) -> float | None:
        value: float | None = self.further[name] if name in self.further else getattr(self, name)
        return value

    def flat(self) -> dict[str, float | None]:
        """All metrics by name, as `result.json` has them."""
        return _flat(self)

    @classmethod
    def from_flat(cls, values: Mapping[str, float | None]) -> Metrics:
        """The metrics by name as an object."""
        return cls(**unflat(cls, values))


def _flat(metrics: EpochMetrics | Metrics) -> dict[str, Any]:
    return {**{f.name: getattr(metrics, f.name) for f in fields(metrics) if f.name != "further"}, **metrics.further}


def unflat(cls: type[EpochMetrics] | type[Metrics], values: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `cls` for numbers by name. Raises `ValueError` for a name that is none of a metric."""
    known = {f.name for f in fields(cls)} - {"further"}
    further = {name: value for name, value in values.items() if name not in known}
    if odd := [name for name in further if not split_name(name)[0]]:
        raise ValueError(f"{', '.join(odd)} is no name of a metric")
    return {**{name: value for name, value in values.items() if name in known}, "further": further}


@dataclass(frozen=True)
class ClassCounts:
    """Numbers of samples of one split by class: that have the class, that were predicted as it, and both."""

    split: str  # `val` or `test`
    true: tuple[int, ...]
    predicted: tuple[int, ...]
    hit: tuple[int, ...]

    @classmethod
    def from_json(cls, stored: Mapping[str, Any] | None) -> ClassCounts | None:
        """The counts as `result.json` has them; None for none. Raises `ValueError` if they are not of equal length."""
        if not stored:
            return None
        parts = [tuple(stored[key]) for key in ("true", "predicted", "hit")]
        if len({len(part) for part in parts}) != 1:
            raise ValueError("the counts of the classes are not of equal length")
        return cls(stored["split"], *parts)


@dataclass(frozen=True)
class Objective:
    """The optimized metric: its value (None if the trial has none) and `maximize` or `minimize`."""

    name: str
    value: float | None
    direction: str


@dataclass(frozen=True)
class Timing:
    """When a trial joined and left its cohort, in seconds since 1970, and the cohort's random name."""

    started: float
    ended: float
    cohort: str


@dataclass(frozen=True)
class Snapshot:
    """The state of a trial between two epochs: with its spec and its data, it determines the rest of the training.

    It holds no random generators: random numbers and scheduled rates follow from the seed and the number of epochs.
    """

    history: tuple[EpochMetrics, ...]
    best_epoch: int | None
    tensors: dict[str, Tensor]  # current weights, weights to save and optimizer state; on the CPU


@dataclass(frozen=True)
class TrialResult:
    """The result of one trial. `weights` are the saved ones by name, on the CPU.

    Examples:
        >>> from phalanx import TrainerSpec, TrialResult, TrialSpec, load_dataset, train_trial
        >>> spec = TrialSpec(trainer=TrainerSpec(epochs=2))
        >>> result: TrialResult = train_trial(spec, load_dataset(spec.data))
        >>> result.status.value, result.epochs, result.objective.name
        ('completed', 2, 'val_accuracy')
        >>> result.metrics.test_accuracy > 0.5
        True
        >>> tuple(result.weights["layers.0.weight"].shape)
        (64, 64)
    """

    status: Status
    objective: Objective
    metrics: Metrics
    history: tuple[EpochMetrics, ...]
    best_epoch: int | None
    epochs: int  # trained epochs
    train_seconds: float  # sum of `EpochMetrics.seconds`
    samples_per_second: float
    device: str
    seed: int
    config_digest: str
    data_digest: str
    n_parameters: int
    error: str | None = None
    timing: Timing | None = None
    way: str | None = None  # how a network or optimizer of the user's own trained, and why: together, or one by one
    notes: tuple[str, ...] = ()  # why metrics are None
    classes: ClassCounts | None = None  # of the test split, or of validation where that is not read
    weights: dict[str, Tensor] | None = field(default=None, repr=False, compare=False)

    def to_json(self) -> dict[str, Any]:
        """The fields of `result.json` that training knows, as plain types."""
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("history", "weights")}
        plain["status"] = str(self.status)
        plain["objective"], plain["metrics"] = asdict(self.objective), self.metrics.flat()
        plain["timing"] = self.timing and asdict(self.timing)
        plain["classes"] = self.classes and asdict(self.classes)
        return plain

    @classmethod
    def from_json(
        cls, stored: Mapping[str, Any], history: Sequence[EpochMetrics], weights: dict[str, Tensor] | None
    ) -> TrialResult:
        """Rebuilds a result.

        Args:
            stored: The output of `to_json`; other keys are ignored.
            history: The rows of `metrics.csv`.
            weights: The saved weights, or None.

        Raises:
            KeyError, TypeError, ValueError: `stored` is not such an output.
        """
        known = {f.name for f in fields(cls)}
        parts = {
            "status": Status(stored["status"]),
            "objective": Objective(**stored["objective"]),
            "metrics": Metrics.from_flat(stored["metrics"]),
            "timing": Timing(**timing) if (timing := stored.get("timing")) else None,
            "history": tuple(history),
            "notes": tuple(stored.get("notes") or ()),
            "classes": ClassCounts.from_json(stored.get("classes")),
            "weights": weights,
        }
        return cls(**{**{key: value for key, value in stored.items() if key in known}, **parts})


State = Snapshot | TrialResult | None  # of a trial: running, ended, or not started
