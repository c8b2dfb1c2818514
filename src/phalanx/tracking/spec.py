"""What a person may ask of the tracking: the options under `tracking`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from phalanx.errors import Fault
from phalanx.fields import Law, Spec, static


@dataclass(frozen=True, kw_only=True)
class TrackingSpec(Spec):
    """Where runs are logged. `uri` may hold a password, so it is kept out of representations and messages."""

    group: ClassVar[str] = "tracking"
    kind: str = static("mlflow", choices=("mlflow", "none"))
    # null: MLFLOW_TRACKING_URI, else MLflow's own default, sqlite:///mlflow.db in the working folder
    uri: str | None = field(default=None, repr=False, metadata={"law": Law()})
    experiment: str = static("phalanx")
    keep: int = static(3, low=0)  # in a sweep, so many of the best trials get plots and keep their weights
    # seconds of training after which a trial's curves are logged while it trains, and how often; null: at its end
    live: float | None = static(5.0, low=0, low_open=True)
    register: str = static("sweep", choices=("none", "sweep", "all"))  # whose model joins MLflow's registry
    system_metrics: bool = static(False)  # CPU, memory, disk, network and GPU of the host

    def conflicts(self) -> list[Fault | str]:
        named = self.experiment.strip() != "" and len(self.experiment) <= 500
        return [] if named else ["tracking.experiment must be a name of 1 to 500 characters"]
