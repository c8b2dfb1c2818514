"""Objects for jobs that Hydra starts in this process: results that a scheduler has trained, and trials to report to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from phalanx.core.errors import (
    TrainingInterrupted,
)
from phalanx.core.result import TrialResult
from phalanx.runs.fencing import FencingToken

if TYPE_CHECKING:
    from phalanx.study import Trial

T = TypeVar("T")


class Handover(Generic[T]):
    """Passes one object to a job, by the job's folder. Hydra gives a job nothing but its config, hence a global."""

    def __init__(self) -> None:
        self._items: dict[Path, T] = {}

    def put(self, folder: Path, item: T) -> None:
        """Leaves `item` for the job of that folder."""
        self._items[folder.absolute()] = item

    def take(self, folder: Path) -> T | None:
        """Removes and returns what was left for the job, if anything was."""
        return self._items.pop(folder.absolute(), None)


@dataclass(frozen=True)
class JobResult:
    """What `phalanx.jobs.scheduler` has trained of a job before the job itself is run: a result for each seed."""

    results: Sequence[TrialResult]
    interrupt: TrainingInterrupted | None = None
    error: Exception | None = None
    note: str = ""
    fence: FencingToken | None = None  # as it stood when the training began


trials: Handover[Trial] = Handover()
ready: dict[Path, JobResult] = {}  # by the job's folder
