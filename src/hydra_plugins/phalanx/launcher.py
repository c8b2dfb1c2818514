"""`hydra/launcher=cohort`: trains the jobs of a launch together, then runs each as an ordinary Hydra job.

They train in this process or, as `executor` says, elsewhere; they are run, and write their files, here.

A task function that is not marked by `trains_together` is run job by job, as Hydra's own launcher does.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus, configure_log, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from hydra_plugins.phalanx._compose import Composer
from phalanx.core.errors import RequestError
from phalanx.jobs.executors.options import LauncherSpec
from phalanx.jobs.executors.ray import RaySpec
from phalanx.jobs.executors.slurm import SubmititSpec
from phalanx.runs.stored_run import StoredRun

if TYPE_CHECKING:
    from hydra.conf import HydraConf

    from phalanx.study import Trial

F = TypeVar("F", bound=Callable[..., Any])
MARK = "trains_together"


def trains_together(function: F) -> F:
    """Marks a task function whose jobs `phalanx.jobs.scheduler` may train before they are run."""
    setattr(function, MARK, True)
    return function


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
    return OmegaConf.to_container(OmegaConf.create(dict(keys)), resolve=True)


class CohortLauncher(Launcher):
    """Options: conf/hydra/launcher/cohort.yaml."""

    def __init__(self, **keys: Any) -> None:
        self.keys = keys

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.context, self.task_function, self.config = hydra_context, task_function, config
        self.composer = Composer(hydra_context.config_loader, config)  # a sweeper of ours shares its own
        self.options = LauncherSpec.of(_plain(self.keys))
        self.together = getattr(task_function, MARK, False)
        if self.options.executor != "local" and not self.together:
            raise RequestError(
                f"hydra.launcher.executor={self.options.executor} trains the jobs of Phalanx's own train.py; "
                "for another application try hydra/launcher=joblib"
            )
        self.stream: Any = None
        self.shards: Any = None  # kept from one launch to the next
        self.flying: dict[Path, tuple[int, DictConfig]] = {}  # jobs of the stream, by folder

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        self._begin()
        configs = [self._config(overrides, initial_job_idx + i) for i, overrides in enumerate(job_overrides)]
        if not self.together:
            return [self._run(config) for config in configs]
        try:
            return self._cohorts(configs)
        except BaseException:
            self.close()
            raise

    def start(self, overrides: Sequence[str], number: int, trial: Trial | None = None) -> None:
        """Begins a job whose return value `wait` will give; what `launch` does at once, as a stream.

        Args:
            overrides: What the job sets.
            number: Of the job, which is that of its trial.
            trial: The trial of a study in this process to report to.
        """
        if self.stream is None:
            self._begin()
            self.stream = self._stream()
        config = self._config(overrides, number)
        job = _job(config, self.options.executor, trial)
        self.flying[job.folder] = number, config
        self.stream.add(job)

    def wait(self) -> list[tuple[int, JobReturn]]:
        """Trains on until a job of `start` has ended; returns the number and return value of those that have."""
        return self._advance(self.stream, self.flying)

    def close(self) -> None:
        """Ends what trains elsewhere, if there is any; processes that have nothing to do end with Python."""
        if self.shards is not None:
            self.shards.close()
        self.shards = None

    def _stream(self, note: str = "") -> Any:
        """Where jobs train, a stream of them."""
        from phalanx.jobs.executors.dispatch import RemoteScheduler
        from phalanx.jobs.scheduler import CohortScheduler

        if self.options.executor == "local":
            return CohortScheduler(_report(), note)
        if self.shards is None:
            self.shards = RemoteScheduler(self.options, _report())
        self.shards.note = note
        return self.shards

    def _streams(self, jobs: Sequence[Any]) -> Iterator[Any]:
        """The jobs of a grid: here cohort after cohort, elsewhere all parts of all cohorts at once."""
        from phalanx.jobs.scheduler import cohorts, explain

        groups = cohorts(jobs, self.options.max_trials)
        here = self.options.executor == "local"
        if not here:
            groups = self._stream().divided(groups, jobs)
        stream = self._stream(explain(groups, jobs) if len(jobs) > 1 else "")
        for some in [[group] for group in groups] if here else [groups]:
            stream.submit([[jobs[place] for place in group] for group in some])
            yield stream

    def _cohorts(self, configs: Sequence[DictConfig]) -> list[JobReturn]:
        """A job is run when its training has ended; one that was completed at an earlier start is not run again."""
        jobs = [_job(config, self.options.executor) for config in configs]
        returns = _finished(jobs, configs)
        flying = {job.folder: (place, configs[place]) for place, job in enumerate(jobs) if place not in returns}
        for stream in self._streams([jobs[place] for place, _ in flying.values()]):
            while stream.running:
                returns.update(self._advance(stream, flying))
        return [returns[place] for place in range(len(jobs))]

    def _advance(self, stream: Any, flying: dict[Path, tuple[int, DictConfig]]) -> list[tuple[int, JobReturn]]:
        """Trains a stream until a job of it has ended, and runs those that have. `flying` has all that have not."""
        from phalanx.jobs.handover import ready

        found = []
        try:
            for job in stream.advance():
                number, config = flying[job.folder]
                found.append((number, self._run(config)))
                del flying[job.folder]
        except KeyboardInterrupt:
            stream.abandon()
            for folder, (_, config) in flying.items():
                if folder in ready:
                    self._write_down(config)
            raise KeyboardInterrupt from None
        return found

    def _write_down(self, config: DictConfig) -> None:
        """Runs a job whose training was interrupted: it writes how far it was, and passes the interrupt on."""
        with contextlib.suppress(KeyboardInterrupt):
            self._run(config)

    def _begin(self) -> None:
        setup_globals()
        self._log_of_sweep()
        Path(str(self.config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)

    def _config(self, overrides: Sequence[str], number: int) -> DictConfig:
        config = self.composer.compose(list(overrides))
        with open_dict(config):
            config.hydra.job.id = str(number)
            config.hydra.job.num = number
        return config

    def _run(self, config: DictConfig) -> JobReturn:
        try:
            return run_job(
                hydra_context=self.context, task_function=self.task_function, config=config,
                job_dir_key="hydra.sweep.dir", job_subdir_key="hydra.sweep.subdir",
            )  # fmt: skip
        finally:
            self._log_of_sweep()

    def _log_of_sweep(self) -> None:
        configure_log(
            self.config.hydra.hydra_logging, self.config.hydra.verbose,
            execution_whitelist=self.context.execution_whitelist,
        )  # fmt: skip


def _finished(jobs: Sequence[Any], configs: Sequence[DictConfig]) -> dict[int, JobReturn]:
    """What the jobs that were completed at an earlier start return, by position; says how many there are."""
    from phalanx.jobs import sweep_log
    from phalanx.jobs.scheduler import finished

    found = {place: stored for place, job in enumerate(jobs) if (stored := finished(job)) is not None}
    if found and sweep_log.current is not None:
        sweep_log.current.kept(len(found))
    return {place: _returned(configs[place], stored) for place, stored in found.items()}


def _returned(config: DictConfig, stored: StoredRun) -> JobReturn:
    found = JobReturn(overrides=list(config.hydra.overrides.task), cfg=config, status=JobStatus.COMPLETED)
    found.return_value = stored.return_value
    return found


def _report() -> Callable[[str], None]:
    """Where to say how far the training is."""
    from phalanx.jobs import sweep_log

    return sweep_log.current.training if sweep_log.current is not None else lambda text: None


def _job(config: DictConfig, executor: str, trial: Trial | None = None) -> Any:
    """What `phalanx.jobs.scheduler` has to know of a job; for another process nothing of Hydra."""
    from hydra_plugins.phalanx._spaces import without_hydra
    from phalanx.jobs.job import Job
    from phalanx.runs.fencing import FencingToken
    from phalanx.runs.layout import RunPaths
    from phalanx.runs.manifest import Sweep

    # Interpolations such as ${hydra:job.num} look at the global config, which is this job's while it is read.
    known = HydraConfig.instance().cfg
    HydraConfig.instance().cfg = config  # set_config would copy it, which takes longer than all the rest here
    try:
        folder = Path(str(config.hydra.sweep.dir)) / str(config.hydra.sweep.subdir)
        sweep = Sweep.of(folder, int(config.hydra.job.num))
        # Hydra names the output directory absolutely; app.run finds the result under that name.
        look_up = None if trial is None else _look_up(trial, None if executor == "local" else config.hydra)
        return Job(without_hydra(config), folder.absolute(), sweep, look_up, FencingToken(RunPaths(folder)))
    finally:
        HydraConfig.instance().cfg = known


def _look_up(trial: Trial, hydra: HydraConf | None) -> Callable[[], Trial | None] | None:
    """What gives the trial to report to; in another process by way of the study's storage, which `hydra` names."""
    from hydra_plugins.phalanx._entry import storage_of
    from phalanx.study import TrialReference

    if hydra is None:
        return lambda: trial
    url = storage_of(hydra)
    return None if url is None else TrialReference.of(trial, url)
