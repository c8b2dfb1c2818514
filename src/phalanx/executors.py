"""Where the jobs of a sweep train: here, as a `together.Stream`, or in processes that stay warm.

What is shipped is a part of a cohort: specs with seeds. What comes back is what `app.run` finds ready. A trial's
numbers depend on no other trial, so they do not depend on where it trained either. torch comes when first needed.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from phalanx.errors import Fault, RequestError, SpecError, TrainingInterrupted
from phalanx.fields import Spec, build, static
from phalanx.worker import Place, Worker

if TYPE_CHECKING:
    from phalanx.app import Trained
    from phalanx.together import Job

PART = 32  # jobs from which a larger part trains hardly faster a trial on a CPU


@dataclass(frozen=True, kw_only=True)
class ExecutorSpec(Spec):
    """Options of the cohort launcher."""

    group: ClassVar[str] = "hydra.launcher"
    name: ClassVar[str] = "cohort"
    executor: str = static("local", choices=("local", "processes"))
    workers: int | None = static(None, low=1, advice="2")  # processes; null: one for each GPU, or else each core
    max_trials: int | None = static(None, low=1, advice="null")  # jobs in one cohort

    def conflicts(self) -> list[Fault | str]:
        if self.workers is None or self.executor != "local":
            return []
        allowed = "null where hydra.launcher.executor=local"
        return [Fault("hydra.launcher.workers", self.workers, allowed, "hydra.launcher.executor=processes")]

    @classmethod
    def of(cls, keys: Mapping[str, Any]) -> ExecutorSpec:
        """From what stands under `hydra.launcher`. Raises `SpecError`, also for a key that there is not."""
        faults: list[Fault | str] = []
        spec = build(cls, keys, faults)
        if faults:
            raise SpecError(faults)
        return spec


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


def parts(groups: Sequence[Sequence[int]], n_workers: int, largest: int | None = PART) -> list[list[int]]:
    """Cohorts cut into parts that keep `n_workers` equally busy, each of at most about `largest` jobs, largest first.

    Every n-th job goes into the same part, since neighbours in a grid take about as long as each other.
    """
    n_jobs = sum(map(len, groups))
    rounds = max(-(-n_jobs // (n_workers * largest)), 1) if largest else 1
    size = max(-(-n_jobs // (n_workers * rounds)), 1)
    cut = [list(group[i :: -(-len(group) // size)]) for group in groups for i in range(-(-len(group) // size))]
    return sorted(cut, key=len, reverse=True)


class Processes:
    """Jobs that train in processes; has the interface of `together.Stream`, and `submit` for jobs of one cohort."""

    def __init__(self, n_workers: int | None, report: Callable[[str], None] = lambda text: None) -> None:
        self.n_workers, self.report, self.note = n_workers, report, ""
        self.workers: list[Worker] = []
        self.futures: dict[Future[list[Trained]], list[Job]] = {}
        self.wrong: list[Job] = []  # configurations that cannot be trained: their jobs say why when they are run

    @property
    def running(self) -> int:
        """How many jobs have not been returned by `advance`."""
        return sum(map(len, self.futures.values())) + len(self.wrong)

    def open(self, jobs: Sequence[Job]) -> list[Worker]:
        """The workers, shared out by the device of the first job that has one. None is started yet."""
        for job in jobs if not self.workers else ():
            with contextlib.suppress(RequestError):
                self._share_out(job)
                break
        return self.workers

    def _share_out(self, job: Job) -> None:
        from phalanx.device import resolve

        self.workers = [Worker(place) for place in places(self.n_workers, resolve(job.trial.device).type)]
        self.idle: queue.LifoQueue[Worker] = queue.LifoQueue()  # the one that is warm goes first
        for worker in reversed(self.workers):
            self.idle.put(worker)
        self.threads = ThreadPoolExecutor(len(self.workers), initializer=_block_interrupts)

    def divided(self, groups: Sequence[Sequence[int]], jobs: Sequence[Job]) -> list[list[int]]:
        """Cohorts, as positions in `jobs`, cut into parts for the workers; a GPU takes any number at a time."""
        workers = self.open(jobs)
        gpus = any(worker.place.gpu for worker in workers)
        return parts(groups, max(len(workers), 1), None if gpus else PART)

    def add(self, job: Job) -> None:
        """A part of one job."""
        self.submit([job])

    def submit(self, jobs: Sequence[Job]) -> None:
        """Has jobs of one cohort trained together by the next worker that is free."""
        try:
            known = [job.key for job in jobs] and self.open(jobs)
        except RequestError:
            known = []
        if known:
            self.futures[self.threads.submit(self._train, list(jobs), self.note)] = list(jobs)
        else:
            self.wrong.extend(jobs)

    def advance(self) -> list[Job]:
        """Waits until at least one part has ended; returns its jobs, their results left in `app.ready`."""
        if self.wrong:
            ended, self.wrong = self.wrong, []
            return ended
        try:
            n_parts = min(len(self.futures), len(self.workers))
            waiting = f", {len(self.futures) - n_parts} wait" if len(self.futures) > n_parts else ""
            self.report(f"{n_parts} part{'s' * (n_parts > 1)} training{waiting}")
            wait(self.futures, return_when=FIRST_COMPLETED)
            done = [future for future in self.futures if future.done()]
            return [job for future in done for job in self._leave(future, self.futures.pop(future))]
        except KeyboardInterrupt:
            self.abandon()
            raise TrainingInterrupted([]) from None

    def abandon(self) -> list[Job]:
        """Ends the processes. Leaves what has ended, and of what has begun that it was interrupted; returns these."""
        futures, self.futures = self.futures, {}
        for future in futures:
            future.cancel()
        for worker in self.workers:
            worker.end()
        return [job for future, jobs in futures.items() if not future.cancelled() for job in self._leave(future, jobs)]

    def close(self) -> None:
        """Ends the processes, whatever they do."""
        self.abandon()
        if self.workers:
            self.threads.shutdown()
        self.workers = []

    def _leave(self, future: Future[list[Trained]], jobs: list[Job]) -> list[Job]:
        from phalanx.app import ready

        for job, trained in zip(jobs, future.result(), strict=True):
            ready[job.folder] = replace(trained, fence=job.fence)
        return jobs

    def _train(self, jobs: list[Job], note: str) -> list[Trained]:
        """Runs in a thread of its own for each worker."""
        from phalanx.app import Trained

        worker = self.idle.get()
        try:
            return worker.train(jobs, note)
        except (Exception, TrainingInterrupted) as error:
            return [Trained((), error=error) for _ in jobs]
        finally:
            self.idle.put(worker)


def _block_interrupts() -> None:
    """Ctrl-C goes to every process of a terminal. Those that this thread starts leave it to the one that leads."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
