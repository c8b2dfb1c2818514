"""MLflow: logs runs and sweeps, and reads them back. The only package that imports MLflow, and only when it is used."""

from phalanx.runs.options import TrackingSpec
from phalanx.tracking.client import Tracker, tracker
from phalanx.tracking.reading import TrackedRun, read_experiment
from phalanx.tracking.records import RunRecord

__all__ = ["RunRecord", "TrackedRun", "Tracker", "TrackingSpec", "read_experiment", "tracker"]
