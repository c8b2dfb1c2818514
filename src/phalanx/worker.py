"""A process that trains parts of cohorts, seen from the one that leads, and what runs in it.

Parts and results travel as plain data; torch comes when first needed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from phalanx.errors import TrainingInterrupted, WorkerLost

if TYPE_CHECKING:
    from phalanx.app import Trained
    from phalanx.result import TrialResult
    from phalanx.together import Job

log = logging.getLogger(__name__)

TRIES = 2  # times that a part is trained whose process is lost
WATCH_S = 1.0  # how often a process looks whether the one that started it is still there


@dataclass(frozen=True)
class Place:
    """What one process has of the machine. Where there is no affinity to set, `cores` is empty."""

    cores: tuple[int, ...]
    threads: int
    gpu: str | None = None  # as CUDA_VISIBLE_DEVICES names it


_reading = threading.Lock()


class Worker:
    """One process, started when it is first needed and kept; after it was killed it is started anew."""

    def __init__(self, place: Place) -> None:
        self.place, self.executor, self.over, self.lock = place, None, False, threading.Lock()

    def train(self, jobs: Sequence[Job], note: str) -> list[Trained]:
        """What became of each job. Raises `WorkerLost` when the process was killed, and the next one too."""
        from loky import BrokenProcessPool

        shipped = [replace(job, cfg=replace(job.asked, trial=self._bounded(job.trial))) for job in jobs]
        for turn in range(1, TRIES + 1):
            try:
                process = self._started()
                _read_here(jobs[0])  # while the process starts
                return unpacked(process.submit(train_part, shipped, note).result())
            except BrokenProcessPool:
                if self.over:
                    raise TrainingInterrupted([]) from None
                self._forget()
                again = "; they are trained again" if turn < TRIES else ""
                log.warning("the process that trained %d trials was killed or crashed%s", len(jobs), again)
            except Exception:
                if self.over:
                    raise TrainingInterrupted([]) from None
                raise
        raise WorkerLost(
            "the process that trained it was killed or crashed, twice; if the machine ran out of memory, try fewer "
            f"hydra.launcher.workers or hydra.launcher.max_trials={max(len(jobs) // 2, 1)}"
        )

    def end(self) -> None:
        """Kills the process and starts none again."""
        with self.lock:
            self.over = True
        self._forget()

    def _started(self) -> Any:
        with self.lock:
            if self.over:
                raise TrainingInterrupted([])
            if self.executor is None:
                self.executor = _executor(self.place)
            return self.executor

    def _forget(self) -> None:
        with self.lock:
            executor, self.executor = self.executor, None
        if executor is not None:
            executor.shutdown(wait=True, kill_workers=True)

    def _bounded(self, trial: Any) -> Any:
        """The trial with no more threads than the process has cores."""
        threads = trial.device.threads
        return replace(trial, device=replace(trial.device, threads=threads and min(threads, self.place.threads)))


def _executor(place: Place) -> Any:
    """A process that begins to start at once. One executor each, so that a process that is killed is the only loss."""
    from loky import ProcessPoolExecutor

    variables = {"OMP_NUM_THREADS": str(place.threads)} | ({"CUDA_VISIBLE_DEVICES": place.gpu} if place.gpu else {})
    executor = ProcessPoolExecutor(1, initializer=prepare, initargs=(place, os.getpid()), env=variables)
    executor.submit(os.getpid)
    return executor


def _read_here(job: Job) -> None:
    """Reads the data in this process, which needs it too: what has to be downloaded is then there for all."""
    from phalanx.app import dataset_of

    with _reading, contextlib.suppress(Exception):  # the process that trains meets the same error, and says so
        dataset_of(job.trial.data)


def prepare(place: Place, parent: int) -> None:
    """The beginning of a process that trains: its cores, its imports, its end with the one that started it."""
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    if place.cores:
        os.sched_setaffinity(0, place.cores)
    import torch

    import phalanx.together  # noqa: F401

    torch.set_num_threads(place.threads)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(WATCH_S)
    os._exit(1)


def train_part(jobs: Sequence[Job], note: str) -> bytes:
    """Trains jobs of one cohort to their ends, in a process that does nothing else; what became of each, packed."""
    from phalanx.app import ready
    from phalanx.together import train_together

    train_together(jobs, note=note)
    return packed([ready.pop(job.folder) for job in jobs])


def packed(found: Sequence[Trained]) -> bytes:
    """Results as bytes, weights as arrays: torch would pickle a tensor as shared memory, which a kill takes along."""
    return pickle.dumps(
        [
            replace(
                trained,
                results=[_weights(r, lambda w: w.numpy()) for r in trained.results],
                error=_plain(trained.error),
            )
            for trained in found
        ]
    )


def unpacked(content: bytes) -> list[Trained]:
    """What `packed` was given."""
    import torch

    found: list[Trained] = pickle.loads(content)
    return [replace(t, results=[_weights(r, lambda w: torch.from_numpy(w)) for r in t.results]) for t in found]


def _weights(result: TrialResult, change: Callable[[Any], Any]) -> TrialResult:
    weights = result.weights and {name: change(value) for name, value in result.weights.items()}
    return replace(result, weights=weights)


def _plain(error: Exception | None) -> Exception | None:
    """An error that can be pickled, with its kind where that is possible."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
