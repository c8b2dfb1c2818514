"""Hydra's callback: checks a request before a folder is made for it, and keeps the log of a grid."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig

from hydra_plugins.phalanx._entry import leave
from hydra_plugins.phalanx._overrides import raw_list
from hydra_plugins.phalanx._secrets import refuse_in_config
from hydra_plugins.phalanx._state import STATE, hydra_config
from phalanx.core.errors import RequestError
from phalanx.runs.layout import FINAL, RunPaths, make_folder

if TYPE_CHECKING:
    from filelock import FileLock

T = TypeVar("T")
GRIDS = ("BasicSweeper", "GridSweeper")
OURS = "StudySweeper"  # which sums up itself


class SweepCallback(Callback):
    """One object for a whole sweep in the process that leads it; `on_job_end` is also called where jobs run."""

    def __init__(self) -> None:
        self.lock: FileLock | None = None  # on a single run's folder, until the process ends

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        _or_leave(refuse_in_config, config)
        self.lock = _or_leave(_check, config)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        from hydra_plugins.phalanx.launcher import options_of
        from phalanx.jobs.sweep_log import SweepLog

        sweeper = config.hydra.sweeper
        _or_leave(options_of, config.hydra.launcher)
        target = str(sweeper.get("_target_", ""))
        if target.endswith(OURS):
            return
        _or_leave(refuse_in_config, config)
        _or_leave(_make_folder, config)
        search = not target.endswith(GRIDS)  # what is no plain grid may choose by results
        n_trials = sweeper.get("n_trials") if search else _n_trials(config)
        sweep_log = SweepLog(Path(config.hydra.sweep.dir), config, n_trials=n_trials, manifest={"search": search})
        sweep_log.start()
        STATE.sweep_log = sweep_log

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        sweep_log = STATE.sweep_log if config.hydra.mode == RunMode.MULTIRUN else None
        if sweep_log is not None and not str(config.hydra.sweep.subdir).startswith(FINAL):
            sweep_log.trial_ended(int(config.hydra.job.num), raw_list(config.hydra.overrides.task))

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        sweep_log, STATE.sweep_log = STATE.sweep_log, None
        if sweep_log is not None:  # a search of ours has finished its own
            # Hydra calls this while an exception passes, and says nothing of it.
            sweep_log.finish(sys.exc_info()[1])


def _or_leave(check: Callable[[DictConfig], T], config: DictConfig) -> T:
    """Returns the result of a check; ends the process if the request is wrong, before Hydra makes a folder for it."""
    try:
        return check(config)
    except RequestError as error:
        leave(error)  # an Exception of a callback is no more than a warning to Hydra


def _check(config: DictConfig) -> FileLock:
    """Validates a single run, makes and locks its folder, and leaves the job for the job function.

    Raises `SpecError` with every fault of the configuration, and `RequestError` for a folder that cannot be used.
    """
    from hydra_plugins.phalanx._spaces import without_hydra
    from phalanx.jobs.job import Job
    from phalanx.runs.run_folder import lock_run

    with hydra_config(config):
        folder = Path(config.hydra.run.dir)
        job = Job(without_hydra(config), Path(os.path.abspath(folder)))
        _ = job.settings  # validated before there is a folder
        make_folder(folder, "hydra.run.dir", "runs/mine")
        lock = lock_run(RunPaths(folder))
        STATE.jobs.put(folder, (job, None))
        return lock


def _make_folder(config: DictConfig) -> None:
    make_folder(Path(config.hydra.sweep.dir), "hydra.sweep.dir", "sweeps/mine")


def _n_trials(config: DictConfig) -> int:
    """The number of jobs of a plain grid."""
    fixed = config.hydra.sweeper.get("params") or {}
    arguments = [*(f"{key}={value}" for key, value in fixed.items()), *raw_list(config.hydra.overrides.task)]
    last = {o.get_key_element(): o for o in OverridesParser.create().parse_overrides(arguments)}
    return math.prod(len(list(o.sweep_string_iterator())) for o in last.values() if o.is_discrete_sweep())
