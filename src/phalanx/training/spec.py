"""The full description of a trial, the key by which trials share a cohort, and the config digest."""

import hashlib
import json
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, SupportsIndex

from phalanx.core.baselines import UNUSED
from phalanx.core.device import DeviceSpec
from phalanx.core.errors import Fault
from phalanx.core.extensions import SOURCE, Source
from phalanx.core.metric_faults import unknown_metrics, unknown_objective
from phalanx.core.metrics import FURTHER, METRICS, objectives, split_name
from phalanx.core.specs import Spec, stacked, static, walk
from phalanx.data.base import DataSpec
from phalanx.data.digits import Digits
from phalanx.nn.losses.base import LossSpec
from phalanx.nn.losses.cross_entropy import CrossEntropy
from phalanx.nn.metrics.compute import Wanted
from phalanx.nn.metrics.function_metric import FunctionMetric, arrive, own_metrics
from phalanx.nn.models.base import ModelSpec
from phalanx.nn.models.estimator import EstimatorSpec
from phalanx.nn.models.mlp import MLP
from phalanx.nn.optimizers.adam import Adam
from phalanx.nn.optimizers.base import OptimizerSpec
from phalanx.nn.schedules.base import ScheduleSpec
from phalanx.nn.schedules.constant import Constant


@dataclass(frozen=True, kw_only=True)
class TrainerSpec(Spec):
    """Options of the training loop.

    Examples:
        >>> from phalanx import TrainerSpec, TrialSpec
        >>> TrialSpec(trainer=TrainerSpec(epochs=5, batch_size=None)).trainer.keep
        'best'
    """

    config_group: ClassVar[str] = "trainer"
    epochs: int = stacked(20, ge=1)
    batch_size: int | None = static(32, ge=1)  # samples per update; null: the whole training split
    drop_last: bool = static(False)  # leave out a last batch that is smaller
    patience: int | None = stacked(None, ge=1)  # stop after so many epochs without a better objective
    keep: str = static("best", choices=("best", "last"))  # the epoch whose weights are saved
    clip_norm: float | None = stacked(None, gt=0)  # the largest L2 norm of the gradient
    precision: str = static("float32", choices=("float32", "tf32", "bfloat16"))  # of matrix products in training
    expect_accuracy: float | None = stacked(None, gt=0, le=1, determines_numbers=False)  # of the overfit check
    zero_grad: bool = static(True)  # False: as without optimizer.zero_grad()
    metrics: tuple[str, ...] = static((), neutral=True)  # computed each epoch, beside loss, accuracy and likelihood
    average: str = stacked("none", choices=("none", "ema", "swa"), neutral=True)  # the weights to evaluate and save
    ema_decay: float = stacked(0.999, ge=0, lt=1, neutral=True)  # of the average after each update
    swa_start: int = stacked(10, ge=1, neutral=True)  # the first epoch at whose end weights are averaged
    init_seed: int | None = stacked(None, ge=0, neutral=True)  # of the initial weights; null: the trial's seed
    order_seed: int | None = stacked(None, ge=0, neutral=True)  # of the order of samples and dropout; null: the seed
    min_updates: int | None = stacked(None, ge=1, neutral=True, advice="4000")  # epochs are raised to reach so many
    raised_epochs: int | None = stacked(None, internal=True, determines_numbers=False)  # see `training.epochs`

    @property
    def n_epochs(self) -> int:
        """The epochs that a trial trains if nothing ends it before; with `min_updates` once its data are known."""
        return self.epochs if self.raised_epochs is None else self.raised_epochs

    def conflicts(self) -> list[Fault | str]:
        faults: list[Fault | str] = []
        if self.min_updates is None:  # with it the epochs follow from the data
            faults += swa_faults(self)
        if not METRICS.keys() >= set(self.metrics):
            faults.append(unknown_metrics("trainer.metrics", self.metrics))
        return faults


def swa_faults(trainer: TrainerSpec) -> list[Fault | str]:
    """A fault for a stochastic weight average that begins after the last epoch."""
    n_epochs = trainer.n_epochs
    if trainer.average != "swa" or trainer.swa_start <= n_epochs:
        return []
    epochs = f"trainer.epochs={n_epochs}"
    if trainer.raised_epochs is not None:
        epochs = f"{n_epochs}, the epochs with trainer.min_updates={trainer.min_updates},"
    allowed = f"at most {epochs} with trainer.average=swa"
    return [Fault("trainer.swa_start", trainer.swa_start, allowed, f"trainer.swa_start={-(-3 * n_epochs // 4)}")]


@dataclass(frozen=True, kw_only=True)
class TrialSpec(Spec):
    """One trial: everything that determines its results. Each config group is a frozen spec of its own.

    Examples:
        >>> from phalanx import LOSSES, MLP, TrialSpec
        >>> spec = TrialSpec(model=MLP(hidden=(32,)), loss=LOSSES["mse"](), seed=3)
        >>> spec.objective, spec.direction, spec.optimizer.name
        ('val_accuracy', 'maximize', 'adam')
    """

    data: DataSpec = field(default_factory=Digits)
    model: ModelSpec = field(default_factory=MLP)
    loss: LossSpec = field(default_factory=CrossEntropy)
    optimizer: OptimizerSpec = field(default_factory=Adam)
    schedule: ScheduleSpec = field(default_factory=Constant)
    trainer: TrainerSpec = field(default_factory=TrainerSpec)
    device: DeviceSpec = field(default_factory=DeviceSpec)
    objective: str = static("val_accuracy")
    seed: int = stacked(0, ge=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.model, EstimatorSpec):  # it has no such parts, so they are equal for all its trials
            trainer = TrainerSpec(epochs=1, batch_size=None, metrics=self.trainer.metrics)
            neutral = {"loss": CrossEntropy(), "optimizer": Adam(), "schedule": Constant(), "trainer": trainer}
            for name in UNUSED:
                object.__setattr__(self, name, neutral[name])

    def conflicts(self) -> list[Fault | str]:
        return [] if self.objective in objectives() else [unknown_objective(self.objective)]

    @property
    def init_seed(self) -> int:
        """The seed of the initial weights."""
        return self.seed if self.trainer.init_seed is None else self.trainer.init_seed

    @property
    def order_seed(self) -> int:
        """The seed of what is drawn in training: the order of samples, dropout masks, sampled classes."""
        return self.seed if self.trainer.order_seed is None else self.trainer.order_seed

    @property
    def direction(self) -> str:
        """`maximize` or `minimize`, which follows from the objective's name."""
        return objectives()[self.objective]

    @property
    def epoch_metrics(self) -> tuple[str, ...]:
        """The metrics that each epoch computes beside loss, accuracy and likelihood: the objective is one of them."""
        return Wanted.of([*self.trainer.metrics, split_name(self.objective)[1]]).names

    @property
    def final_metrics(self) -> tuple[str, ...]:
        """Those that are computed of the saved weights: all of Phalanx, and the user's own of each epoch."""
        return Wanted.of([*(info.name for info in FURTHER), *self.epoch_metrics]).names

    def own_metrics(self) -> dict[str, FunctionMetric]:
        """Those of them that a user wrote, by name."""
        own = own_metrics()
        return {name: own[name] for name in self.epoch_metrics if name in own}

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[Any, ...]:
        """Takes along the code of the metrics of the user's own."""
        files = [(name, own.source) for name, own in self.own_metrics().items()]
        if not files:
            return super().__reduce_ex__(protocol)
        return _arrived, (files, {f.name: getattr(self, f.name) for f in fields(self)})


def _arrived(metrics: list[tuple[str, Source]], values: dict[str, Any]) -> TrialSpec:
    for metric in metrics:
        arrive(*metric)
    return TrialSpec(**values)


def static_key(spec: TrialSpec) -> tuple[tuple[str, Any], ...]:
    """The static fields by dotted key, which are equal for trials that can share a cohort."""
    stackable = tuple(f"{part.config_group}." for part in parts_of(spec) if part.stackable)
    padded = spec.model.padded()
    return tuple(
        (key, padded.get(key, value))
        for key, constraint, value in walk(spec)
        if not constraint.stacked and not key.startswith(stackable)
    )


def parts_of(spec: TrialSpec) -> list[Spec]:
    """The specs of the config groups."""
    return [part for f in fields(spec) if isinstance(part := getattr(spec, f.name), Spec)]


def determining(spec: TrialSpec) -> dict[str, Any]:
    """Every field that determines the results, by dotted key, in JSON's types."""
    unused = tuple(f"{group}." for group in UNUSED) if isinstance(spec.model, EstimatorSpec) else ()
    fields = ((key, value) for key, constraint, value in walk(spec) if constraint.determines_numbers)
    found = {
        key: list(value) if isinstance(value, tuple) else value for key, value in fields if not key.startswith(unused)
    }
    found |= {f"{part.config_group}.{SOURCE}": part.source for part in parts_of(spec) if part.source}
    return found | {f"metric.{name}.{SOURCE}": str(own.source) for name, own in spec.own_metrics().items()}


def config_digest(spec: TrialSpec) -> str:
    """A digest of everything that determines the results, except the seed and the content of the data, which has a
    digest of its own. Device and paths are left out."""
    content = {key: value for key, value in determining(spec).items() if key != "seed"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
