"""`hydra/launcher=cohort`: trains the jobs of a launch together, then runs each as an ordinary Hydra job.

Jobs train in this process or, with `executor`, in other ones; they run, and write their files, in this one. A task
function that is not marked by `trains_together` is run job by job, as Hydra's own launcher does.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from hydra_plugins.phalanx._compose import Composer
from hydra_plugins.phalanx._job_config import JobConfig, job_config
from hydra_plugins.phalanx._overrides import raw_list
from hydra_plugins.phalanx._run_job import JobRunner
from hydra_plugins.phalanx._state import STATE
from phalanx.core.errors import RequestError
from phalanx.jobs.executors.options import LauncherSpec
from phalanx.jobs.executors.ray import RaySpec
from phalanx.jobs.executors.slurm import SubmititSpec

if TYPE_CHECKING:
    from hydra.conf import HydraConf

    from phalanx.jobs.executors.dispatch import RemoteScheduler
    from phalanx.jobs.job import FindTrial, Job, TrainedJob
    from phalanx.jobs.scheduler import Scheduler
    from phalanx.study import Trial

F = TypeVar("F", bound=Callable[..., Any])
MARK = "trains_together"


def trains_together(function: F) -> F:
    """Marks a task function whose jobs `phalanx.jobs.scheduler` may train before they are run."""
    setattr(function, MARK, True)
    return function


def is_marked(function: Callable[..., Any]) -> bool:
    """Whether a task function is marked by `trains_together`."""
    return bool(getattr(function, MARK, False))


@dataclass
class CohortConf:
    """The launcher's options in an application that has no conf/hydra/launcher/cohort.yaml of its own."""

    _target_: str = "hydra_plugins.phalanx.launcher.CohortLauncher"
    executor: str = "local"
    workers: int | None = None
    max_trials: int | None = None
    submitit: dict[str, Any] = field(default_factory=lambda: asdict(SubmititSpec()))
    ray: dict[str, Any] = field(default_factory=lambda: asdict(RaySpec()))


ConfigStore.instance().store(group="hydra/launcher", name="cohort", node=CohortConf, provider="phalanx")


def options_of(launcher: Mapping[str, Any]) -> LauncherSpec | None:
    """The options under `hydra.launcher`, if it is this one that is configured. Raises `SpecError`."""
    if launcher.get("_target_") != CohortConf._target_:
        return None
    return LauncherSpec.of(_plain({key: value for key, value in launcher.items() if key != "_target_"}))


def _plain(keys: Mapping[str, Any]) -> dict[str, Any]:
    """Lists and mappings of OmegaConf as Python's own."""
    return cast("dict[str, Any]", OmegaConf.to_container(OmegaConf.create(dict(keys)), resolve=True))


class CohortLauncher(Launcher):
    """Options: conf/hydra/launcher/cohort.yaml."""

    def __init__(self, **keys: Any) -> None:
        self.keys = keys

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.context, self.task_function, self.config = hydra_context, task_function, config
        self.composer = Composer(hydra_context.config_loader, config)  # a sweeper of ours shares its own
        self.options = LauncherSpec.of(_plain(self.keys))
        self.together = is_marked(task_function)
        self.runner = JobRunner(hydra_context, task_function, config)
        if self.options.executor != "local" and not self.together:
            raise RequestError(
                f"hydra.launcher.executor={self.options.executor} trains the jobs of Phalanx's own train.py; "
                "for another application try hydra/launcher=joblib"
            )
        self.stream: Scheduler | None = None  # of the jobs of `start`
        self.remote: RemoteScheduler | None = None  # kept from one launch to the next
        self.in_flight: dict[Job, tuple[int, JobConfig]] = {}  # jobs of `start`: number and configuration

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        self._begin()
        configs = [
            job_config(self.composer, overrides, initial_job_idx + i) for i, overrides in enumerate(job_overrides)
        ]
        if not self.together:
            return [self.runner.run(config) for config in configs]
        try:
            return self._train_and_run(configs)
        except BaseException:
            self.close()
            raise

    def start(self, overrides: Sequence[str], number: int, trial: Trial | None = None) -> None:
        """Starts a job, whose return value `wait` will give.

        Args:
            overrides: What the job sets.
            number: Of the job, which is that of its trial.
            trial: The trial of a study in this process to report to.
        """
        if self.stream is None:
            self._begin()
            self.stream = self._scheduler()
        config = job_config(self.composer, overrides, number)
        job = _job(config, self.options.executor, trial)
        self.in_flight[job] = number, config
        self.stream.add(job)

    def wait(self) -> list[tuple[int, JobReturn]]:
        """Trains until a job of `start` has ended; returns the numbers and return values of those that have."""
        return self._advance(self.stream, self.in_flight) if self.stream is not None else []

    def close(self) -> None:
        """Ends the training in other processes; those without work end with Python."""
        if self.remote is not None:
            self.remote.abandon()
        self.remote = None

    def _scheduler(self) -> Scheduler:
        from phalanx.jobs.executors.dispatch import RemoteScheduler
        from phalanx.jobs.scheduler import CohortScheduler

        report = STATE.sweep_log.progress.training if STATE.sweep_log is not None else lambda text: None
        if self.options.executor == "local":
            return CohortScheduler(report)
        self.remote = self.remote or RemoteScheduler(self.options, report)
        return self.remote

    def _submitted(self, jobs: Sequence[Job]) -> Iterator[Scheduler]:
        """Submits the jobs of a grid: one cohort after another here, all shards of all cohorts at once elsewhere."""
        from phalanx.jobs.scheduler import cohorts, explain

        scheduler, groups = self._scheduler(), cohorts(jobs, self.options.max_trials)
        batches = [[group] for group in groups]
        if self.remote is not None:
            groups = self.remote.split(groups, jobs)
            batches = [groups]
        scheduler.note = explain(groups, jobs) if len(jobs) > 1 else ""
        for batch in batches:
            scheduler.submit([[jobs[place] for place in group] for group in batch])
            yield scheduler

    def _train_and_run(self, configs: Sequence[JobConfig]) -> list[JobReturn]:
        """Runs each job when its training has ended; a job that an earlier start completed is not run again."""
        jobs = [_job(config, self.options.executor) for config in configs]
        returns = _finished(jobs)
        in_flight = {job: (place, configs[place]) for place, job in enumerate(jobs) if place not in returns}
        _discard_results(in_flight)
        for scheduler in self._submitted(list(in_flight)):
            while scheduler.running:
                returns.update(self._advance(scheduler, in_flight))
        return [returns[place] for place in range(len(jobs))]

    def _advance(
        self, scheduler: Scheduler, in_flight: dict[Job, tuple[int, JobConfig]]
    ) -> list[tuple[int, JobReturn]]:
        """Trains until a job has ended, and runs those that have; `in_flight` loses them.

        On Ctrl-C it also runs the jobs whose training had started, which then write how far they were.
        """
        found: list[tuple[int, JobReturn]] = []
        trained: deque[TrainedJob] = deque()
        try:
            trained.extend(scheduler.advance())
            while trained:
                job, result = trained.popleft()
                number, config = in_flight.pop(job)
                found.append((number, self.runner.run(config, job, result)))
        except KeyboardInterrupt:
            for job, result in [*trained, *scheduler.abandon()]:
                with contextlib.suppress(KeyboardInterrupt):  # which such a job raises again
                    self.runner.run(in_flight[job][1], job, result)
            raise KeyboardInterrupt from None
        return found

    def _begin(self) -> None:
        setup_globals()
        self.runner.log_of_sweep()
        Path(str(self.config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)


def _finished(jobs: Sequence[Job]) -> dict[int, JobReturn]:
    """The return values of jobs that an earlier start completed, by position; prints how many there are.

    It also prints how many were trained on data that have changed since, which therefore train again.
    """
    from phalanx.jobs.scheduler import finished
    from phalanx.runs.trained_on import other_data

    returns, changed = {}, Counter[str]()
    for place, job in enumerate(jobs):
        if (found := finished(job)) is None:
            continue
        stored, digest = found
        if stored.data_digest == digest:
            returns[place] = JobReturn(overrides=job.overrides, status=JobStatus.COMPLETED)
            returns[place].return_value = stored.return_value
        elif stored.data_digest is not None:
            changed[other_data(job.trial.data, "the trials there were", stored.data_digest, digest)] += 1
    if STATE.sweep_log is not None:
        STATE.sweep_log.kept(len(returns), changed)
    return returns


def _discard_results(jobs: Iterable[Job]) -> None:
    """Removes the results of jobs of a grid that train anew, so that none of them is summed up beside new ones."""
    for job in jobs:
        if job.sweep is not None and not job.sweep.manifest.search:
            job.paths.result.unlink(missing_ok=True)
            if STATE.sweep_log is not None:
                STATE.sweep_log.trains_anew(job.sweep.number)


def _job(config: JobConfig, executor: str, trial: Trial | None = None) -> Job:
    """The job of a composed configuration, validated.

    Args:
        config: The configuration.
        executor: Where the job will train; what goes to another process knows nothing of Hydra.
        trial: The trial of a study in this process to report to.
    """
    from phalanx.core.baselines import NAMES, NOTE
    from phalanx.jobs.job import Job
    from phalanx.runs.manifest import Sweep

    with config.active() as shown:
        hydra = shown.hydra
        folder = Path(os.path.abspath(Path(hydra.sweep.dir, str(hydra.sweep.subdir))))
        sweep = Sweep.of(folder, config.number)
        find = None if trial is None else _find_trial(trial, None if executor == "local" else hydra)
        job = Job(config.task, folder, sweep, find, tuple(raw_list(hydra.overrides.task)))
        _ = job.error  # validated here, where interpolations find this job's values
        if job.error is None and job.trial.model.name in NAMES and STATE.sweep_log is not None:
            STATE.sweep_log.say_once(f"note: {NOTE}{_whole(executor, search=trial is not None)}")
        return job


def _whole(executor: str, *, search: bool) -> str:
    """What else to say of a baseline: nothing divides its training.

    Args:
        executor: Where it trains.
        search: Whether a pruner may stop other trials.
    """
    said = [f"with executor={executor} each is fitted in one task"] if executor != "local" else []
    said += ["no pruner stops them"] if search else []
    return "".join(f"; {text}" for text in said)


def _find_trial(trial: Trial, hydra: HydraConf | None) -> FindTrial | None:
    """Gives the trial to report to; in another process through the study's storage, which `hydra` names."""
    from hydra_plugins.phalanx._entry import storage_of
    from phalanx.study import TrialReference

    if hydra is None:
        return lambda: trial
    url = storage_of(hydra)
    return None if url is None else TrialReference.of(trial, url)
