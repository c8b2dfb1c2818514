"""`Job`: one configuration to train, the folder of its files, and its place in a sweep."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from phalanx.core.callbacks import Callback, Deadline
from phalanx.core.device import precision, resolve
from phalanx.core.errors import RequestError, TrainingInterrupted
from phalanx.core.files import write_text
from phalanx.core.result import TrialResult
from phalanx.data import Dataset
from phalanx.data.cache import dataset_of
from phalanx.nn.models.estimator import EstimatorSpec
from phalanx.nn.models.mlp import MLP
from phalanx.runs.checkpoint import RunCheckpointer
from phalanx.runs.config import Config, Settings, resolved_yaml, settings
from phalanx.runs.config_file import to_yaml
from phalanx.runs.fencing import FencingToken
from phalanx.runs.layout import RunPaths
from phalanx.runs.live_metrics import LiveMetrics
from phalanx.runs.manifest import Sweep
from phalanx.training.data_check import check_with_data
from phalanx.training.epochs import with_epochs
from phalanx.training.memory_check import check_memory
from phalanx.training.planning import ONE_THREAD_FLOPS
from phalanx.training.preparation import prepared
from phalanx.training.spec import TrialSpec, static_key

if TYPE_CHECKING:
    from phalanx.study import Trial

log = logging.getLogger(__name__)

FindTrial = Callable[[], Optional["Trial"]]


@dataclass(frozen=True, eq=False)  # compared by identity: comparing two configurations takes milliseconds
class Job:
    """One job. Its configuration is validated, and its static key computed, once.

    Attributes:
        config: The composed configuration without Hydra's part; in another process the `Settings` made from it.
        folder: The absolute folder of the job's files.
        sweep: The job's place in its sweep; None for a single run.
        find_trial: Finds the trial of a study that the job evaluates; None where nothing prunes.
        overrides: The job's own overrides as Hydra has them, which are stored with the result.
        fence: The folder's fencing token from when the job was created, which is the default.
    """

    config: Config | Settings
    folder: Path
    sweep: Sweep | None = None
    find_trial: FindTrial | None = None
    overrides: tuple[str, ...] = ()
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
        """The trial with each seed, and on each fold, that the sweep asks for. Raises `RequestError` as `settings`."""
        return [self.trial] if self.sweep is None else self.sweep.specs(self.trial)

    def datasets(self) -> list[Dataset]:
        """The data of each of `specs`. Raises `RequestError` where they cannot be read."""
        return datasets_of(self.specs)

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
        seconds = self.settings.tracking.live
        live = LiveMetrics(self.paths, seconds, self.fence, progress or self._pruning(), self.describe)
        live.goes_on(dict(enumerate(checkpointer.states)))
        limit_s = None if self.sweep is None else self.sweep.manifest.trial_timeout_s
        return live if limit_s is None else Deadline(limit_s, live, checkpointer.seconds_before)

    def describe(self) -> None:
        """Writes the configuration and the overrides of a trial that trains, which its end writes again.

        So tracking knows the params while it trains, or if it is killed. In another process, which has no
        configuration, it does nothing: the one that leads the sweep has done it.
        """
        if self.sweep is None or isinstance(self.config, Settings) or self.paths.config_resolved.exists():
            return
        try:
            text = resolved_yaml(self.config, seed=self.specs[0].seed)
        except Exception as error:  # an interpolation that has a value only where Hydra runs the job
            log.debug("no params while %s trains: %s", self.folder, error)
            return
        write_text(self.paths.overrides, to_yaml(list(self.overrides)), durable=False)
        write_text(self.paths.config_resolved, text, durable=False)

    def _pruning(self) -> Callback:
        """Reports epochs to the study; does nothing outside a search, in a final, which reads the test split, and for a
        baseline, whose only epoch is no first epoch of a network."""
        if self.reads_test or self.find_trial is None or isinstance(self.trial.model, EstimatorSpec):
            return Callback()
        from phalanx.study import Pruning  # imports Optuna, which only a search needs

        return Pruning(self.find_trial(), self.trial.objective, self._n_epochs())

    def _n_epochs(self) -> int:
        """The epochs that its trials train if nothing ends them before; those of a cohort have as many updates each."""
        first = self.specs[0]
        if first.trainer.min_updates is None:
            return first.trainer.epochs
        return with_epochs(first, len(dataset_of(first.data).train)).trainer.n_epochs


def datasets_of(specs: Sequence[TrialSpec]) -> list[Dataset]:
    """The data of each trial of one job, those of equal splits once.

    Args:
        specs: A trial with several seeds, folds or splits.

    Raises:
        RequestError: The data cannot be read.
    """
    found = {data: dataset_of(data) for data in dict.fromkeys(spec.data for spec in specs)}
    return [found[spec.data] for spec in specs]


def check_trial(spec: TrialSpec, *, here: bool) -> None:
    """Finds faults that building a spec does not. Raises `RequestError`.

    Args:
        spec: The trial. Its data are read, and its steps compared with its schedule.
        here: Whether it trains on this machine, so that its device, memory and batches are looked at too.
    """
    dataset = dataset_of(spec.data)
    check_with_data(spec, dataset)
    if here:
        device = resolve(spec.device)
        with precision(spec.trainer.precision, device):
            check_memory(spec, dataset.n_features, dataset.n_classes, device, dataset.image_shape)
            prepared(spec, dataset.to(device))


def is_small(spec: TrialSpec) -> bool:
    """Whether a step costs more in Python than in arithmetic, so that several trials in a cohort take little longer
    than one. Reads the data. Raises `RequestError` if that is impossible. What a network of another family than the
    built-in ones costs is not known from its parameters."""
    dataset = dataset_of(spec.data)
    if not isinstance(spec.model, MLP):
        return False
    batch_size = spec.trainer.batch_size or len(dataset.train)
    return 6 * spec.model.layout(dataset.n_features, dataset.n_classes).size * batch_size < ONE_THREAD_FLOPS


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
