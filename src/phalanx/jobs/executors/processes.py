"""`hydra.launcher.executor=processes`: processes of this machine that are kept for further shards, by loky.

Each process has a loky executor of its own: loky gives up everything in flight when one of its processes is killed.
"""

from __future__ import annotations

import os
import queue
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from phalanx.core.errors import TrainingInterrupted, WorkerLost
from phalanx.jobs.executors.base import LARGEST, Executor, ExecutorSpec, Shard, end_with, read_here
from phalanx.jobs.executors.worker import train_shard, unpacked

if TYPE_CHECKING:
    from loky import ProcessPoolExecutor

    from phalanx.core.process_identity import ProcessIdentity
    from phalanx.jobs.job import JobResult


@dataclass(frozen=True, kw_only=True)
class ProcessesSpec(ExecutorSpec):
    """This executor has no options beside `hydra.launcher.workers`."""

    config_group: ClassVar[str] = "hydra.launcher.processes"
    name: ClassVar[str] = "processes"

    def open(self, n_workers: int | None, shard: Shard) -> Executor:
        from phalanx.core.device import resolve

        return Processes(places(n_workers, resolve(shard.jobs[0].trial.device).type))


@dataclass(frozen=True)
class Place:
    """The resources of one process."""

    cores: tuple[int, ...]  # empty where the affinity cannot be set
    threads: int  # of torch
    gpu: str | None = None  # as CUDA_VISIBLE_DEVICES names it


def places(n_workers: int | None, kind: str) -> list[Place]:
    """Divides the cores, and with `kind` cuda the GPUs, among processes; by default one for each GPU or core."""
    import loky

    gpus = _gpus() if kind == "cuda" else []
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    n_cores = loky.cpu_count()  # fewer than there are where a container may not use all of them
    n = n_workers or len(gpus) or n_cores
    return [Place(_share(cores, i, n), max(n_cores // n, 1), gpus[i % len(gpus)] if gpus else None) for i in range(n)]


def _share(cores: Sequence[int], place: int, n_places: int) -> tuple[int, ...]:
    """Neighbouring cores; a shared one if there are fewer cores than places."""
    n = len(cores)
    if n < n_places:
        return (cores[place % n],) if n else ()
    return tuple(cores[place * n // n_places : (place + 1) * n // n_places])


def _gpus() -> list[str]:
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",") if visible else [str(i) for i in range(torch.cuda.device_count())]


class Processes:
    """The executor: a thread for each process hands it one shard at a time."""

    n_at_once: int | None
    largest: int | None

    def __init__(self, divided: Sequence[Place]) -> None:
        self.workers = [Worker(place) for place in divided]
        self.n_at_once = len(self.workers)
        self.largest = None if any(place.gpu for place in divided) else LARGEST
        self.idle: queue.LifoQueue[Worker] = queue.LifoQueue()  # a process that has started goes first
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
    """One process, started when it is first needed, and again after it was killed."""

    def __init__(self, place: Place) -> None:
        self.place, self.closed, self.lock = place, False, threading.Lock()
        self.executor: ProcessPoolExecutor | None = None

    def train(self, shard: Shard) -> list[JobResult]:
        """The results of the jobs. Raises `WorkerLost` if the process was killed, `TrainingInterrupted` after `end`."""
        from loky import BrokenProcessPool

        try:
            process = self._started()
            read_here(shard)  # while the process starts
            return unpacked(process.submit(train_shard, shard, self.place.threads).result())
        except BrokenProcessPool:
            self._forget()
            if self.closed:
                raise TrainingInterrupted([]) from None
            raise WorkerLost("the process that trained it was killed or crashed") from None
        except Exception:
            if self.closed:
                raise TrainingInterrupted([]) from None
            raise

    def end(self) -> None:
        """Kills the process and starts no other."""
        with self.lock:
            self.closed = True
        self._forget()

    def _started(self) -> ProcessPoolExecutor:
        with self.lock:
            if self.closed:
                raise TrainingInterrupted([])
            if self.executor is None:
                self.executor = _executor(self.place)
            return self.executor

    def _forget(self) -> None:
        with self.lock:
            executor, self.executor = self.executor, None
        if executor is not None:
            executor.shutdown(wait=True, kill_workers=True)


def _executor(place: Place) -> ProcessPoolExecutor:
    """Starts a process without waiting for it."""
    from loky import ProcessPoolExecutor

    from phalanx.core.process_identity import ProcessIdentity

    variables = {"OMP_NUM_THREADS": str(place.threads)} | ({"CUDA_VISIBLE_DEVICES": place.gpu} if place.gpu else {})
    executor = ProcessPoolExecutor(1, initializer=_prepare, initargs=(place, ProcessIdentity.here()), env=variables)
    executor.submit(os.getpid)
    return executor


def _prepare(place: Place, leader: ProcessIdentity) -> None:
    """Prepares a process for training: its cores, its imports, its end with the process that started it."""
    end_with(leader)
    if place.cores:
        os.sched_setaffinity(0, place.cores)
    import torch

    import phalanx.jobs.scheduler  # noqa: F401

    torch.set_num_threads(place.threads)


def _block_interrupts() -> None:
    """Has the processes that this thread starts ignore Ctrl-C, which a terminal sends to all; the leader handles it."""
    if hasattr(signal, "pthread_sigmask"):
        from multiprocessing import resource_tracker

        resource_tracker.ensure_running()  # loky would start it in this thread, and Python unblocks the signal after it
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
