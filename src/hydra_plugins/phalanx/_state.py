"""`STATE`: what the callback, the sweeper, the launcher and the job function hand over to each other.

Hydra creates or calls each of them on its own, with nothing but a configuration, so they share this one global object.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from phalanx.jobs.early_logging import EarlyLogging

if TYPE_CHECKING:
    from filelock import FileLock
    from hydra.conf import HydraConf

    from hydra_plugins.phalanx._project import Project
    from phalanx.jobs.job import Job, JobResult
    from phalanx.jobs.sweep_log import SweepLog
    from phalanx.study import Trial

T = TypeVar("T")


class Handover(Generic[T]):
    """Passes one object to a job that Hydra is about to start, by the job's folder."""

    def __init__(self) -> None:
        self._items: dict[str, T] = {}

    def put(self, folder: Path, item: T) -> None:
        """Leaves `item` for the job of that folder."""
        self._items[os.path.abspath(folder)] = item

    def take(self, folder: Path) -> T | None:
        """Removes and returns what was left for the job, if anything was."""
        return self._items.pop(os.path.abspath(folder), None)


class PluginState:
    """The state of the plugin in this process.

    Attributes:
        jobs: Validated jobs, each with its result if it has been trained.
        trials: Trials of a study in this process, to which jobs report.
        sweep_log: The log of the sweep that this process leads.
        lock: On the folder of that sweep, if no other process may train in it.
        logging: The process that logs the run or the sweep, from its start until its tracker takes it.
        project: The folder that `train.py` or `phalanx train` works for; None in another application.
        source: Where values come from that were not typed: the file of `resume=` or `from_run=`; empty without.
    """

    def __init__(self) -> None:
        self.jobs: Handover[tuple[Job, JobResult | None]] = Handover()
        self.trials: Handover[Trial] = Handover()
        self.sweep_log: SweepLog | None = None
        self.lock: FileLock | None = None
        self.logging = EarlyLogging()
        self.project: Project | None = None
        self.source = ""


STATE = PluginState()


@contextlib.contextmanager
def hydra_config(config: DictConfig) -> Iterator[None]:
    """Has interpolations such as `${hydra:job.num}` read this configuration."""
    singleton = HydraConfig.instance()
    before = singleton.cfg
    singleton.cfg = config  # type: ignore[assignment]  # as Hydra does; set_config would copy it, which is slow
    try:
        yield
    finally:
        singleton.cfg = before


def where_typed(hydra: HydraConf) -> AbstractContextManager[None]:
    """Goes back to the folder in which the command was typed, which `hydra.job.chdir` leaves: paths are relative to it.

    Args:
        hydra: The node `hydra` of a job's config.
    """
    return contextlib.chdir(hydra.runtime.cwd) if hydra.job.chdir else contextlib.nullcontext()
