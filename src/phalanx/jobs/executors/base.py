"""Executors train shards of cohorts in other processes or on other machines; one file each.

`dispatch` drives them all alike. An executor is opened by its options, an `ExecutorSpec` (the keys under
`hydra.launcher.<executor>`), for the first shard. It ships a `Shard`; `worker.train_shard` runs at the other end.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from phalanx.core.specs import Spec

if TYPE_CHECKING:
    from phalanx.jobs.handover import JobResult
    from phalanx.jobs.job import Job
    from phalanx.study import ProcessIdentity

LARGEST = 32  # jobs from which a larger part trains hardly faster a trial on a CPU
WATCH_S = 1.0  # how often a process looks whether the one that leads the sweep is still there


@dataclass(frozen=True)
class Shard:
    """Jobs that train as one cohort in one place. They can be pickled: a job's config is its `Settings`."""

    jobs: Sequence[Job]
    note: str = ""  # for the log of every job


class Executor(Protocol):
    """Trains parts, each in one go. Its methods are called from one thread."""

    n_at_once: int | None  # parts that can train at the same time, for which cohorts are cut; None: who knows
    largest: int | None  # jobs from which a larger part trains hardly faster a trial; None: it always does

    def submit(self, shards: Sequence[Shard]) -> list[Future[list[JobResult]]]:
        """Begins, and returns at once, a future for each part: what became of each of its jobs, in their order.

        A future raises `WorkerLost` where process or machine was lost: the part is then submitted once more, by the
        caller and not by the engine. Anything else that it raises becomes the error of each job of the part.
        """
        ...

    def close(self) -> None:
        """Ends all that trains and all that was started for it; may be called twice.

        Every future is then done: cancelled where nothing had begun, else with what there is or `TrainingInterrupted`.
        """
        ...


class ExecutorSpec(Spec):
    """Options of one engine."""

    library: ClassVar[str] = ""  # what it imports, and the extra of phalanx that installs it
    extra: ClassVar[str] = ""
    relief: ClassVar[str] = "fewer hydra.launcher.workers"  # what to try where memory runs out

    def check(self) -> None:
        """Raises `RequestError` where this machine cannot do what is asked; called before anything is written."""

    def open(self, n_workers: int | None, shard: Shard) -> Executor:
        """The engine for `hydra.launcher.workers`; `shard` is the first that it will train. Raises `RequestError`."""
        raise NotImplementedError


_reading = threading.Lock()


def read_here(shard: Shard) -> None:
    """Reads the data in this process, which needs it too: what has to be downloaded is then there for all."""
    from phalanx.data.cache import dataset_of

    with _reading, contextlib.suppress(Exception):  # whoever trains meets the same error, and says so
        dataset_of(shard.jobs[0].trial.data)


def end_with(leader: ProcessIdentity) -> None:
    """Has this process end soon after `leader`, a process of the same machine, however that ends."""

    def watch() -> None:
        while leader.gone() is not True:
            time.sleep(WATCH_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
