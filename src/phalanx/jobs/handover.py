"""Results that a scheduler hands over to the Hydra job that writes them down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from phalanx.core.errors import (
    TrainingInterrupted,
)
from phalanx.core.result import TrialResult
from phalanx.runs.fencing import FencingToken


@dataclass(frozen=True)
class JobResult:
    """What `phalanx.jobs.scheduler` has trained of a job before the job itself is run: a result for each seed."""

    results: Sequence[TrialResult]
    interrupt: TrainingInterrupted | None = None
    error: Exception | None = None
    note: str = ""
    fence: FencingToken | None = None  # as it stood when the training began


ready: dict[Path, JobResult] = {}  # by the job's folder
