"""`hydra/launcher=cohort`: trains the jobs of a launch together, then runs each as an ordinary Hydra job.

A task function that is not marked by `trains_together` is run job by job, as Hydra's own launcher does.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, configure_log, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from hydra_plugins.phalanx._compose import composer_of

F = TypeVar("F", bound=Callable[..., Any])
MARK = "trains_together"


def trains_together(function: F) -> F:
    """Marks a task function whose jobs `phalanx.together` may train before they are run."""
    setattr(function, MARK, True)
    return function


@dataclass
class CohortConf:
    """The launcher's options in an application that has no conf/hydra/launcher/cohort.yaml of its own."""

    _target_: str = "hydra_plugins.phalanx.launcher.CohortLauncher"
    max_trials: int | None = None


ConfigStore.instance().store(group="hydra/launcher", name="cohort", node=CohortConf, provider="phalanx")


class CohortLauncher(Launcher):
    """Options: conf/hydra/launcher/cohort.yaml."""

    def __init__(self, max_trials: int | None = None) -> None:
        self.max_trials = max_trials

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.context, self.task_function, self.config = hydra_context, task_function, config
        self.together = getattr(task_function, MARK, False)
        self.stream: Any = None
        self.flying: dict[Path, tuple[int, DictConfig]] = {}  # jobs of the stream, by folder

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        self._begin()
        configs = [self._config(overrides, initial_job_idx + i) for i, overrides in enumerate(job_overrides)]
        if self.together:
            return self._cohorts(configs)
        return [self._run(config) for config in configs]

    def start(self, overrides: Sequence[str], number: int) -> None:
        """Begins a job whose return value `wait` will give; what `launch` does at once, as a stream."""
        from phalanx.together import Stream

        if self.stream is None:
            self._begin()
            self.stream = Stream(_report())
        config = self._config(overrides, number)
        job = _job(config)
        self.flying[job.folder] = number, config
        self.stream.add(job)

    def wait(self) -> list[tuple[int, JobReturn]]:
        """Trains on until a job of `start` has ended; returns the number and return value of those that have."""
        return self._advance(self.stream, self.flying)

    def _cohorts(self, configs: Sequence[DictConfig]) -> list[JobReturn]:
        """Trains group by group; a job is run when its training has ended."""
        from phalanx.together import Stream, cohorts, explain

        jobs = [_job(config) for config in configs]
        groups = cohorts(jobs, self.max_trials)
        note = explain(groups, jobs) if len(jobs) > 1 else ""
        returns: dict[int, JobReturn] = {}
        for group in groups:
            stream = Stream(_report(), note)
            for place in group:
                stream.add(jobs[place])
            flying = {jobs[place].folder: (place, configs[place]) for place in group}
            while stream.running:
                returns.update(self._advance(stream, flying))
        return [returns[place] for place in range(len(jobs))]

    def _advance(self, stream: Any, flying: dict[Path, tuple[int, DictConfig]]) -> list[tuple[int, JobReturn]]:
        """Trains a stream until a job of it has ended, and runs those that have. `flying` has all that have not."""
        from phalanx.errors import TrainingInterrupted

        try:
            ended = stream.advance()
        except TrainingInterrupted:
            for _, config in flying.values():
                self._write_down(config)
            raise KeyboardInterrupt from None
        found = [flying.pop(job.folder) for job in ended]
        return [(number, self._run(config)) for number, config in found]

    def _write_down(self, config: DictConfig) -> None:
        """Runs a job whose training was interrupted: it writes how far it was, and passes the interrupt on."""
        with contextlib.suppress(KeyboardInterrupt):
            self._run(config)

    def _begin(self) -> None:
        setup_globals()
        self._log_of_sweep()
        Path(str(self.config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)

    def _config(self, overrides: Sequence[str], number: int) -> DictConfig:
        config = composer_of(self.context.config_loader, self.config).compose(list(overrides))
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


def _report() -> Callable[[str], None]:
    """Where to say how far the training is."""
    from phalanx import sweeps

    return sweeps.current.training if sweeps.current is not None else lambda text: None


def _job(config: DictConfig) -> Any:
    """What `phalanx.together` has to know of a job."""
    from hydra_plugins.phalanx._entry import find_trial
    from hydra_plugins.phalanx._spaces import without_hydra
    from phalanx.manifest import Fence, Sweep
    from phalanx.paths import RunPaths
    from phalanx.together import Job

    # Interpolations such as ${hydra:job.num} look at the global config, which is this job's while it is read.
    known = HydraConfig.instance().cfg
    HydraConfig.instance().cfg = config  # set_config would copy it, which takes longer than all the rest here
    try:
        folder = Path(str(config.hydra.sweep.dir)) / str(config.hydra.sweep.subdir)
        sweep = Sweep.of(folder, int(config.hydra.job.num))
        # Hydra names the output directory absolutely; app.run finds the result under that name.
        look_up = functools.partial(find_trial, config.hydra, sweep)
        return Job(without_hydra(config), folder.absolute(), sweep, look_up, Fence(RunPaths(folder)))
    finally:
        HydraConfig.instance().cfg = known
