"""MLflow: where runs and sweeps are logged for comparison. The only room that imports it, and only when used."""

from phalanx.runs.options import TrackingSpec
from phalanx.tracking.client import Tracker, tracker
from phalanx.tracking.content import RunRecord
from phalanx.tracking.reading import TrackedRun, read_experiment

__all__ = ["RunRecord", "TrackedRun", "Tracker", "TrackingSpec", "read_experiment", "tracker"]
