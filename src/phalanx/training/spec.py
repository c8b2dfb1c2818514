"""The full description of a trial, the key by which trials share a cohort, and the config digest."""

import hashlib
import json
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from phalanx.core.device import DeviceSpec
from phalanx.core.errors import Fault
from phalanx.core.specs import Spec, stacked, static, walk
from phalanx.data.base import DataSpec
from phalanx.data.digits import Digits
from phalanx.nn.losses.base import LossSpec
from phalanx.nn.losses.cross_entropy import CrossEntropy
from phalanx.nn.models.base import ModelSpec
from phalanx.nn.models.mlp import MLP
from phalanx.nn.optimizers.adam import Adam
from phalanx.nn.optimizers.base import OptimizerSpec
from phalanx.nn.schedules.base import ScheduleSpec
from phalanx.nn.schedules.constant import Constant

OBJECTIVES = {"val_accuracy": "maximize", "val_loss": "minimize", "val_likelihood": "maximize"}
COSTS = {"n_parameters": "minimize", "train_seconds": "minimize"}  # further objectives of a multi-objective search


@dataclass(frozen=True, kw_only=True)
class TrainerSpec(Spec):
    """Options of the training loop.

    Examples:
        >>> from phalanx import TrainerSpec, TrialSpec
        >>> TrialSpec(trainer=TrainerSpec(epochs=5, batch_size=None)).trainer.keep
        'best'
    """

    group: ClassVar[str] = "trainer"
    epochs: int = stacked(20, ge=1)
    batch_size: int | None = static(32, ge=1)  # samples per update; null: the whole training split
    drop_last: bool = static(False)  # leave out a last batch that is smaller
    patience: int | None = stacked(None, ge=1)  # stop after so many epochs without a better objective
    keep: str = static("best", choices=("best", "last"))  # the epoch whose weights are saved
    clip_norm: float | None = stacked(None, gt=0)  # the largest L2 norm of the gradient
    precision: str = static("float32", choices=("float32", "tf32", "bfloat16"))  # of matrix products in training
    expect_accuracy: float | None = stacked(None, gt=0, le=1, determines_numbers=False)  # of the overfit check
    zero_grad: bool = static(True)  # False: as without optimizer.zero_grad()


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

    def conflicts(self) -> list[Fault | str]:
        if self.objective in OBJECTIVES:
            return []
        allowed = "one of " + ", ".join(OBJECTIVES)
        if self.objective.startswith("test"):
            allowed += " (the test split is for the final report and never chooses anything)"
        return [Fault("objective", self.objective, allowed, "objective=val_accuracy")]

    @property
    def direction(self) -> str:
        """`maximize` or `minimize`, which follows from the objective's name."""
        return OBJECTIVES[self.objective]


def static_key(spec: TrialSpec) -> tuple[tuple[str, Any], ...]:
    """The static fields by dotted key, which are equal for trials that can share a cohort."""
    stackable = tuple(f"{part.group}." for part in parts_of(spec) if part.stackable)
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
    fields = ((key, value) for key, constraint, value in walk(spec) if constraint.determines_numbers)
    return {key: list(value) if isinstance(value, tuple) else value for key, value in fields}


def config_digest(spec: TrialSpec) -> str:
    """A digest of everything that determines the results, except the seed and the content of the data, which has a
    digest of its own. Device and paths are left out."""
    content = {key: value for key, value in determining(spec).items() if key != "seed"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
