"""Tells `phalanx.jobs.sweep_log` when a sweep starts, when each of its jobs ends, and when it is over."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from hydra_plugins.phalanx._entry import leave
from hydra_plugins.phalanx._secrets import refuse_in_config
from phalanx.core.errors import RequestError
from phalanx.runs.layout import FINAL, RunPaths, make_folder

if TYPE_CHECKING:
    from filelock import FileLock

T = TypeVar("T")
GRIDS = ("BasicSweeper", "GridSweeper")
OURS = "StudySweeper"  # which sums up itself


class SweepCallback(Callback):
    """One object for a whole sweep in the launching process; job hooks also run where jobs run."""

    def __init__(self) -> None:
        self.sweep: Any = None
        self.lock: FileLock | None = None  # on a single run's folder, until the process ends

    def __reduce__(self) -> tuple[type[SweepCallback], tuple[()]]:
        """A launcher takes it along to where jobs run; the sweep stays with the process that leads it."""
        return SweepCallback, ()

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
        sweep = SweepLog(Path(config.hydra.sweep.dir), config, n_trials=n_trials, manifest={"search": search})
        sweep.start()
        self.sweep = sweep

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        from phalanx.jobs import sweep_log

        sweep = sweep_log.current if config.hydra.mode == RunMode.MULTIRUN else None
        if sweep is not None and not str(config.hydra.sweep.subdir).startswith(FINAL):
            sweep.trial_ended(
                int(config.hydra.job.num), OmegaConf.to_container(config.hydra.overrides.task, resolve=False)
            )

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        if self.sweep is not None:
            # Hydra calls this while an exception passes, and says nothing of it.
            self.sweep.finish(sys.exc_info()[1])


def _or_leave(check: Callable[[DictConfig], T], config: DictConfig) -> T:
    """Returns the result of a check; ends the process if the request is wrong, before Hydra makes a folder for it."""
    try:
        return check(config)
    except RequestError as error:
        leave(error)  # an Exception of a callback is no more than a warning to Hydra


def _check(config: DictConfig) -> FileLock:
    """Locks the folder of a single run. Raises `SpecError` with every fault of the configuration, `RequestError` if the
    folder cannot be made or another process trains in it."""
    from phalanx.runs.config import settings
    from phalanx.runs.run_folder import lock_run

    known = HydraConfig.instance().cfg
    HydraConfig.instance().cfg = config
    try:
        settings(OmegaConf.masked_copy(config, [key for key in config if key != "hydra"]))
        make_folder(folder := Path(config.hydra.run.dir), "hydra.run.dir", "runs/mine")
        return lock_run(RunPaths(folder))
    finally:
        HydraConfig.instance().cfg = known


def _make_folder(config: DictConfig) -> None:
    make_folder(Path(config.hydra.sweep.dir), "hydra.sweep.dir", "sweeps/mine")


def _n_trials(config: DictConfig) -> int | None:
    """How many jobs a plain grid has."""
    fixed = config.hydra.sweeper.get("params") or {}
    arguments = [f"{key}={value}" for key, value in fixed.items()] + OmegaConf.to_container(
        config.hydra.overrides.task, resolve=False
    )
    last = {o.get_key_element(): o for o in OverridesParser.create().parse_overrides(arguments)}
    sizes = [len(list(o.sweep_string_iterator())) for o in last.values() if o.is_discrete_sweep()]
    return math.prod(sizes)
