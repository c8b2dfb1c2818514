"""Hydra's callback: checks a single run before a folder is made for it, and keeps the log of a sweep."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import RunMode
from omegaconf import DictConfig

from hydra_plugins.phalanx._entry import leave
from hydra_plugins.phalanx._folders import check_grid, check_new_search, check_run, check_subdir, lock_sweep
from hydra_plugins.phalanx._overrides import raw_list
from hydra_plugins.phalanx._secrets import refuse_in_config
from hydra_plugins.phalanx._state import STATE, hydra_config, where_typed
from phalanx.core.errors import Fault, SpecError
from phalanx.core.garbage import collect_from_now_on
from phalanx.report import drawing
from phalanx.runs.layout import FINAL, make_folder
from phalanx.runs.left_out import LeftOut

if TYPE_CHECKING:
    from filelock import FileLock

M = TypeVar("M", bound=Callable[..., Any])
OURS = ("StudySweeper", "GridSweeper")  # which begin a log themselves, when everything is checked
HYDRAS = "BasicSweeper"
USUAL = {"sweeper": "basic", "launcher": "cohort"}


def ends_the_process(method: M) -> M:
    """Ends the process with a message and an exit status where a callback raises; to Hydra that is a mere warning."""

    @functools.wraps(method)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        except Exception as error:
            leave(error)

    return cast(M, guarded)


class SweepCallback(Callback):
    """One object for a whole sweep in the process that leads it; `on_job_end` is also called where jobs run."""

    def __init__(self) -> None:
        self.lock: FileLock | None = None  # on a single run's folder, until the process ends

    @ends_the_process
    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        refuse_in_config(config)
        STATE.logging.start(config)
        drawing.start()
        self.lock = _check(config)
        collect_from_now_on()

    @ends_the_process
    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        from hydra_plugins.phalanx.launcher import options_of

        sweeper = config.hydra.sweeper
        _check_plugins(config)
        options_of(config.hydra.launcher)
        check_subdir(config)
        STATE.logging.start(config)
        drawing.start()
        from phalanx.jobs.sweep_log import SweepLog  # and torch

        collect_from_now_on()
        target = str(sweeper.get("_target_", ""))
        # Resolved before Hydra copies the config for a launcher, whose copy would get a name of its own.
        folder = Path(config.hydra.sweep.dir)
        if target.endswith(OURS):
            return
        refuse_in_config(config)
        search = not target.endswith(HYDRAS)  # what is no plain grid may choose by results
        STATE.lock = lock_sweep(config, check_new_search if search else check_grid)
        n_trials, manifest = sweeper.get("n_trials"), {"search": search, "n_jobs": None}
        sweep_log = SweepLog(
            folder, config, n_trials=n_trials, manifest=manifest, logging_process=STATE.logging.take()
        )  # fmt: skip
        sweep_log.start()
        STATE.sweep_log = sweep_log

    @ends_the_process
    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        sweep_log = STATE.sweep_log if config.hydra.mode == RunMode.MULTIRUN else None
        if sweep_log is not None and not str(config.hydra.sweep.subdir).startswith(FINAL):
            with where_typed(config.hydra):
                sweep_log.trial_ended(int(config.hydra.job.num), raw_list(config.hydra.overrides.task))

    @ends_the_process
    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        sweep_log, STATE.sweep_log = STATE.sweep_log, None
        _lock, STATE.lock = STATE.lock, None  # held until this function returns
        if sweep_log is None:
            return  # a search of ours has finished its own
        error = sys.exc_info()[1]  # Hydra calls this while an exception passes, and says nothing of it
        left_out = LeftOut()
        sweep_log.finish(error, left_out)
        left_out.check("the sweep is summed up", error)


def _check_plugins(config: DictConfig) -> None:
    """Raises `SpecError` where the class of the sweeper or the launcher is none that Hydra knows."""
    faults: list[Fault | str] = []
    for group, kind in (("sweeper", Sweeper), ("launcher", Launcher)):
        node = config.hydra[group]
        target = node.get("_target_") if isinstance(node, DictConfig) else None
        known = {f"{cls.__module__}.{cls.__qualname__}" for cls in Plugins.instance().discover(kind)}
        if target not in known:
            allowed = f"a {group} of Hydra"
            faults.append(Fault(f"hydra.{group}._target_", target, allowed, f"hydra/{group}={USUAL[group]}"))
    if faults:
        raise SpecError(faults)


def _check(config: DictConfig) -> FileLock:
    """Validates a single run, makes and locks its folder, and leaves the job for the job function.

    Raises `SpecError` with every fault of the configuration, and `RequestError` for a folder that cannot be used.
    """
    from hydra_plugins.phalanx._compose import without_hydra
    from phalanx.jobs.job import Job, check_trial
    from phalanx.runs.folder_lock import lock_run

    with hydra_config(config):
        folder = Path(config.hydra.run.dir)
        overrides = tuple(raw_list(config.hydra.overrides.task))
        job = Job(without_hydra(config), Path(os.path.abspath(folder)), overrides=overrides)
        check_trial(job.trial, here=True)
        check_run(folder)
        make_folder(folder, "hydra.run.dir", "runs/mine")
        lock = lock_run(folder)
        check_run(folder)  # another process may have ended in it just now
        STATE.jobs.put(folder, (job, None))
        return lock
