"""`Job`: one configuration to train, the folder of its files, and its place in a sweep."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from phalanx.core.callbacks import Callback, Deadline
from phalanx.core.device import precision, resolve
from phalanx.core.errors import RequestError, TrainingInterrupted
from phalanx.core.result import TrialResult
from phalanx.data.cache import dataset_of
from phalanx.runs.checkpoint import RunCheckpointer
from phalanx.runs.config import Config, Settings, settings
from phalanx.runs.fencing import FencingToken
from phalanx.runs.layout import RunPaths
from phalanx.runs.live_metrics import LiveMetrics
from phalanx.runs.manifest import Sweep
from phalanx.study import Pruning, Trial
from phalanx.training.schedule_check import check_schedule
from phalanx.training.spec import TrialSpec, static_key

FindTrial = Callable[[], Trial | None]


@dataclass(frozen=True, eq=False)  # compared by identity: comparing two configurations takes milliseconds
class Job:
    """One job. Its configuration is validated, and its static key computed, once.

    Attributes:
        config: The composed configuration without Hydra's part; in another process the `Settings` made from it.
        folder: The absolute folder of the job's files.
        sweep: The job's place in its sweep; None for a single run.
        find_trial: Finds the trial of a study that the job evaluates; None where nothing prunes.
        fence: The folder's fencing token from when the job was created, which is the default.
    """

    config: Config | Settings
    folder: Path
    sweep: Sweep | None = None
    find_trial: FindTrial | None = None
    fence: FencingToken | None = None

    def __post_init__(self) -> None:
        if self.fence is None:
            object.__setattr__(self, "fence", FencingToken(self.paths))

    @property
    def paths(self) -> RunPaths:
        """The job's files."""
        return RunPaths(self.folder)

    def check_fence(self) -> None:
        """Raises `Superseded` if a later attempt at the trial has begun in the folder."""
        if self.fence is not None:
            self.fence.check()

    @cached_property
    def _settings(self) -> Settings | RequestError:
        try:
            return self.config if isinstance(self.config, Settings) else settings(self.config)
        except RequestError as error:
            return error

    @property
    def error(self) -> RequestError | None:
        """What is wrong with the configuration, if anything is."""
        return self._settings if isinstance(self._settings, RequestError) else None

    @property
    def settings(self) -> Settings:
        """The validated configuration. Raises `RequestError` if it is wrong."""
        if isinstance(self._settings, RequestError):
            raise self._settings
        return self._settings

    @property
    def trial(self) -> TrialSpec:
        """The trial with the first seed of the configuration. Raises `RequestError` as `settings` does."""
        return self.settings.trial

    @cached_property
    def specs(self) -> list[TrialSpec]:
        """The trial with each seed that the sweep asks for. Raises `RequestError` as `settings` does."""
        trial = self.trial
        seeds = [trial.seed] if self.sweep is None else self.sweep.seeds(trial.seed)
        return [trial if seed == trial.seed else replace(trial, seed=seed) for seed in seeds]

    @property
    def reads_test(self) -> bool:
        """Whether the job may read the test split."""
        return self.sweep is None or self.sweep.reads_test

    @cached_property
    def static_key(self) -> tuple[tuple[str, Any], ...]:
        """The static fields of the trial with their values. Raises `RequestError` as `settings` does."""
        return static_key(self.trial)

    @property
    def cohort_key(self) -> Hashable:
        """Jobs with equal keys can share a cohort; a job with a wrong configuration equals no other."""
        return self if self.error else (self.static_key, self.reads_test)

    def checkpointer(self) -> RunCheckpointer:
        """Reads the checkpoint in the folder, if there is one, and writes new ones.

        Raises `CheckpointError` if the checkpoint is of another trial; in a sweep it is set aside instead.
        """
        return RunCheckpointer(self.paths, self.settings.checkpoint, self.specs, self.fence, strict=self.sweep is None)

    def callback(self, checkpointer: RunCheckpointer, progress: Callback | None = None) -> Callback:
        """Callback of the job's own trials: time limit, live metrics, and pruning or `progress`.

        Args:
            checkpointer: Its states are what the trials had reached before.
            progress: Takes the place of pruning in a single run.
        """
        live = LiveMetrics(self.paths, self.settings.tracking.live, self.fence, progress or self._pruning())
        live.goes_on(dict(enumerate(checkpointer.states)))
        limit_s = None if self.sweep is None else self.sweep.manifest.trial_timeout_s
        return live if limit_s is None else Deadline(limit_s, live, checkpointer.seconds_before)

    def _pruning(self) -> Callback:
        """Reports epochs to the study; does nothing outside a search and in a final, which read the test split."""
        if self.reads_test or self.find_trial is None:
            return Callback()
        return Pruning(self.find_trial(), self.trial.objective)


def check_trial(spec: TrialSpec, *, here: bool) -> None:
    """Finds faults that building a spec does not: reads the data, compares the steps with the schedule, and looks for
    the device where the trial trains here. Raises `RequestError`."""
    check_schedule(spec, len(dataset_of(spec.data).train))
    if here:
        with precision(spec.trainer.precision, resolve(spec.device)):
            pass


@dataclass(frozen=True)
class JobResult:
    """The outcome of a job's training.

    Attributes:
        results: A result for each seed; empty if training failed.
        interrupt: The interrupt that ended training early.
        error: The error that ended training.
        note: How the job was trained, for its log.
    """

    results: Sequence[TrialResult]
    interrupt: TrainingInterrupted | None = None
    error: BaseException | None = None
    note: str = ""


TrainedJob = tuple[Job, JobResult]
