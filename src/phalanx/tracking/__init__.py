"""MLflow: where runs and sweeps are logged for comparison. The only room that imports it, and only when used."""

from phalanx.tracking.content import RunRecord
from phalanx.tracking.courier import Tracker, tracker
from phalanx.tracking.reading import TrackedRun, read_experiment
from phalanx.tracking.spec import TrackingSpec

__all__ = ["RunRecord", "TrackedRun", "Tracker", "TrackingSpec", "read_experiment", "tracker"]
