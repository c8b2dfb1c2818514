"""`Executor`: trains shards of cohorts in other processes or on other machines. One file for each.

`dispatch.RemoteScheduler` opens an executor by its options, an `ExecutorSpec` (the keys under
`hydra.launcher.<executor>`), for the first shard, and submits a `Shard`, which `worker.train_shard` trains.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from phalanx.core.specs import Spec

if TYPE_CHECKING:
    from phalanx.core.process_identity import ProcessIdentity
    from phalanx.jobs.job import Job, JobResult

LARGEST = 32  # jobs in a shard beyond which training a trial gets hardly faster on a CPU
POLL_S = 1.0  # how often a process checks whether the one that leads the sweep still exists


class Shard:
    """Jobs of one cohort that train in one place. Can be pickled: `Settings` take the place of a job's config.

    Another process unpickles the jobs when it first asks for them: an extension that it cannot import is then an error
    of the jobs, and not of the process.
    """

    def __init__(self, jobs: Sequence[Job], note: str = "") -> None:
        """`note` is for the log of every job."""
        self._jobs: Sequence[Job] | None = jobs
        self._sent = b""
        self.note = note

    @property
    def jobs(self) -> Sequence[Job]:
        """The jobs. Raises `ExtensionError` if one needs an extension that this process cannot import."""
        if self._jobs is None:
            self._jobs = pickle.loads(self._sent)
        return self._jobs

    def __getstate__(self) -> dict[str, Any]:
        return {"_jobs": None, "_sent": self._sent or pickle.dumps(self.jobs), "note": self.note}


class Executor(Protocol):
    """Trains shards. Its methods are called from one thread.

    Attributes:
        n_at_once: Number of shards that can train at the same time; None if that is not known.
        largest: Jobs in a shard beyond which training a trial gets hardly faster; None if there is no such number.
    """

    n_at_once: int | None
    largest: int | None

    def submit(self, shards: Sequence[Shard]) -> list[Future[list[JobResult]]]:
        """Starts training; returns at once a future for each shard: the results of its jobs, in their order.

        A future raises `WorkerLost` if the process or the machine was lost; the caller then submits the shard once
        more. Any other exception becomes the error of each job of the shard.
        """
        ...

    def close(self) -> None:
        """Ends all training and all processes started for it; may be called twice.

        Every future is then done: cancelled if its shard had not started, else with its results or
        `TrainingInterrupted`.
        """
        ...


class ExecutorSpec(Spec):
    """Options of an executor."""

    library: ClassVar[str] = ""  # that the executor imports, and the extra of phalanx that installs it
    extra: ClassVar[str] = ""
    memory_advice: ClassVar[str] = "fewer hydra.launcher.workers"  # what to try if memory runs out

    def check(self) -> None:
        """Raises `RequestError` if this machine cannot do what is asked; called before anything is written."""

    def open(self, n_workers: int | None, shard: Shard) -> Executor:
        """Opens the executor. Raises `RequestError` if that is impossible.

        `n_workers` is `hydra.launcher.workers`, `shard` the first shard that will train.
        """
        raise NotImplementedError


_reading = threading.Lock()


def read_here(shard: Shard) -> None:
    """Reads the data in this process, so that downloads are there before several processes need them."""
    from phalanx.data.cache import dataset_of

    with _reading, contextlib.suppress(Exception):  # the process that trains gets the same error and reports it
        dataset_of(shard.jobs[0].trial.data)


def end_with(leader: ProcessIdentity) -> None:
    """Has this process end soon after `leader`, a process of the same machine, however that ends."""

    def watch() -> None:
        while leader.gone() is not True:
            time.sleep(POLL_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
