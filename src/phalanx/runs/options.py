"""The options of the config groups `checkpoint` and `tracking`."""

from dataclasses import dataclass, field
from typing import ClassVar

from phalanx.core.errors import Fault
from phalanx.core.specs import Spec, static


@dataclass(frozen=True, kw_only=True)
class CheckpointSpec(Spec):
    """How often checkpoints are written. No part of a trial: trials that differ in it share a cohort."""

    config_group: ClassVar[str] = "checkpoint"
    every_epochs: int | None = static(None, ge=1, advice="10")
    every_minutes: float | None = static(10.0, gt=0)


@dataclass(frozen=True, kw_only=True)
class TrackingSpec(Spec):
    """Where runs are logged. `uri` may hold a password, so it is kept out of representations and messages."""

    config_group: ClassVar[str] = "tracking"
    kind: str = static("mlflow", choices=("mlflow", "none"))
    # null: MLFLOW_TRACKING_URI, else MLflow's own default, sqlite:///mlflow.db in the working folder
    uri: str | None = field(default=None, repr=False)
    # null: MLFLOW_EXPERIMENT_NAME or MLFLOW_EXPERIMENT_ID if set, else phalanx
    experiment: str | None = static(None)
    keep: int = static(3, ge=0)  # how many of the best trials of a sweep keep their weights and get plots
    # Seconds of training before the first log of a trial's curves and between two; null: only at the trial's end
    live: float | None = static(5.0, gt=0)
    register: str = static("sweep", choices=("none", "sweep", "all"))  # whose models join MLflow's registry
    system_metrics: bool = static(False)  # CPU, memory, disk, network and GPU of the host

    def conflicts(self) -> list[Fault | str]:
        named = self.experiment is None or (self.experiment.strip() != "" and len(self.experiment) <= 500)
        return [] if named else ["tracking.experiment must be a name of 1 to 500 characters"]
