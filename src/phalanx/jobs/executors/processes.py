"""`hydra.launcher.executor=processes`: processes of this machine that stay warm, by way of loky.

One loky executor each, not one for all: loky gives up everything in flight when one of its processes is killed.
"""

from __future__ import annotations

import os
import queue
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from phalanx.core.errors import TrainingInterrupted, WorkerLost
from phalanx.jobs.executors.base import LARGEST, ExecutorSpec, Shard, end_with, read_here
from phalanx.jobs.executors.worker import train_shard, unpacked

if TYPE_CHECKING:
    from phalanx.jobs.handover import JobResult
    from phalanx.study import ProcessIdentity


@dataclass(frozen=True, kw_only=True)
class ProcessesSpec(ExecutorSpec):
    """It has no options beside `hydra.launcher.workers`."""

    group: ClassVar[str] = "hydra.launcher.processes"
    name: ClassVar[str] = "processes"

    def open(self, n_workers: int | None, shard: Shard) -> Processes:
        from phalanx.core.device import resolve

        return Processes(places(n_workers, resolve(shard.jobs[0].trial.device).type))


@dataclass(frozen=True)
class Place:
    """What one process has of the machine. Where there is no affinity to set, `cores` is empty."""

    cores: tuple[int, ...]
    threads: int
    gpu: str | None = None  # as CUDA_VISIBLE_DEVICES names it


def places(n_workers: int | None, kind: str) -> list[Place]:
    """The cores, and with `kind` cuda the GPUs, shared out to processes; by default one for each GPU, or each core."""
    import loky

    gpus = _gpus() if kind == "cuda" else []
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    n_cores = loky.cpu_count()  # fewer than there are where a container may not use all of them
    n = n_workers or len(gpus) or n_cores
    return [Place(_share(cores, i, n), max(n_cores // n, 1), gpus[i % len(gpus)] if gpus else None) for i in range(n)]


def _share(cores: Sequence[int], place: int, n_places: int) -> tuple[int, ...]:
    """Neighbouring cores; one that is shared where there are fewer than places."""
    n = len(cores)
    if n < n_places:
        return (cores[place % n],) if n else ()
    return tuple(cores[place * n // n_places : (place + 1) * n // n_places])


def _gpus() -> list[str]:
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",") if visible else [str(i) for i in range(torch.cuda.device_count())]


class Processes:
    """The engine: a thread for each process hands it a part at a time."""

    def __init__(self, shared_out: Sequence[Place]) -> None:
        self.workers = [Worker(place) for place in shared_out]
        self.n_at_once = len(self.workers)
        self.largest = None if any(place.gpu for place in shared_out) else LARGEST
        self.idle: queue.LifoQueue[Worker] = queue.LifoQueue()  # the one that is warm goes first
        for worker in reversed(self.workers):
            self.idle.put(worker)
        self.threads = ThreadPoolExecutor(len(self.workers), initializer=_block_interrupts)

    def submit(self, shards: Sequence[Shard]) -> list[Future[list[JobResult]]]:
        return [self.threads.submit(self._train, shard) for shard in shards]

    def _train(self, shard: Shard) -> list[JobResult]:
        worker = self.idle.get()
        try:
            return worker.train(shard)
        finally:
            self.idle.put(worker)

    def close(self) -> None:
        for worker in self.workers:
            worker.end()
        self.threads.shutdown(cancel_futures=True)


class Worker:
    """One process, started when it is first needed and kept; after it was killed it is started anew."""

    def __init__(self, place: Place) -> None:
        self.place, self.executor, self.over, self.lock = place, None, False, threading.Lock()

    def train(self, shard: Shard) -> list[JobResult]:
        """What became of each job. Raises `WorkerLost` when the process was killed."""
        from loky import BrokenProcessPool

        try:
            process = self._started()
            read_here(shard)  # while the process starts
            return unpacked(process.submit(train_shard, shard, self.place.threads).result())
        except BrokenProcessPool:
            self._forget()
            if self.over:
                raise TrainingInterrupted([]) from None
            raise WorkerLost("the process that trained it was killed or crashed") from None
        except Exception:
            if self.over:
                raise TrainingInterrupted([]) from None
            raise

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


def _executor(place: Place) -> Any:
    """A process that begins to start at once."""
    from loky import ProcessPoolExecutor

    from phalanx.study import ProcessIdentity

    variables = {"OMP_NUM_THREADS": str(place.threads)} | ({"CUDA_VISIBLE_DEVICES": place.gpu} if place.gpu else {})
    executor = ProcessPoolExecutor(1, initializer=_prepare, initargs=(place, ProcessIdentity.here()), env=variables)
    executor.submit(os.getpid)
    return executor


def _prepare(place: Place, leader: ProcessIdentity) -> None:
    """The beginning of a process that trains: its cores, its imports, its end with the one that started it."""
    end_with(leader)
    if place.cores:
        os.sched_setaffinity(0, place.cores)
    import torch

    import phalanx.jobs.scheduler  # noqa: F401

    torch.set_num_threads(place.threads)


def _block_interrupts() -> None:
    """Ctrl-C goes to every process of a terminal. Those that this thread starts leave it to the one that leads."""
    if hasattr(signal, "pthread_sigmask"):
        from multiprocessing import resource_tracker

        resource_tracker.ensure_running()  # loky would start it in this thread, and Python unblocks the signal after it
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
