"""`RemoteScheduler`: trains the jobs of a sweep on an executor, with the interface of `CohortScheduler`.

What is shipped is a part of a cohort: specs with seeds. What comes back is what `app.run` finds ready. A trial's
numbers depend on no other trial, so they do not depend on where it trained either. torch comes when first needed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from phalanx.core.errors import RequestError, TrainingInterrupted, WorkerLost
from phalanx.jobs.executors.base import Executor, Shard
from phalanx.jobs.executors.options import LauncherSpec

if TYPE_CHECKING:
    from phalanx.jobs.handover import JobResult
    from phalanx.jobs.job import Job

log = logging.getLogger(__name__)

TRIES = 2  # times that a part is trained whose process or machine is lost


def cut(groups: Sequence[Sequence[int]], n_at_once: int, largest: int | None) -> list[list[int]]:
    """Cohorts cut into parts that keep `n_at_once` places equally busy, of at most about `largest` jobs, largest first.

    Every n-th job goes into the same part, since neighbours in a grid take about as long as each other.
    """
    n_jobs = sum(map(len, groups))
    rounds = max(-(-n_jobs // (n_at_once * largest)), 1) if largest else 1
    size = max(-(-n_jobs // (n_at_once * rounds)), 1)
    shards = [list(group[i :: -(-len(group) // size)]) for group in groups for i in range(-(-len(group) // size))]
    return sorted(shards, key=len, reverse=True)


@dataclass
class _Sent:
    """A part, with the jobs as the caller knows them."""

    jobs: list[Job]
    shard: Shard
    tries: int = 0


class RemoteScheduler:
    """Jobs that train on an engine; has the interface of `together.CohortScheduler`."""

    def __init__(self, options: LauncherSpec, report: Callable[[str], None] = lambda text: None) -> None:
        self.options, self.report, self.note = options, report, ""
        self.executor: Executor | None = None  # opened for the first job that can be trained
        self.points: list[Job] = []  # of a search, which wait to be gathered into parts
        self.waiting: list[_Sent] = []
        self.futures: dict[Future[list[JobResult]], _Sent] = {}
        self.wrong: list[Job] = []  # configurations that cannot be trained: their jobs say why when they are run

    @property
    def running(self) -> int:
        """How many jobs have not been returned by `advance`."""
        sent = sum(len(sent.jobs) for sent in (*self.waiting, *self.futures.values()))
        return sent + len(self.points) + len(self.wrong)

    def divided(self, groups: Sequence[Sequence[int]], jobs: Sequence[Job]) -> list[list[int]]:
        """Cohorts, as positions in `jobs`, cut into parts for the engine."""
        for job in jobs:
            if (shard := self._shard([job])) is not None:
                executor = self._open(shard)
                return cut(groups, max((executor.n_at_once or 1) - len(self.futures), 1), executor.largest)
        return list(map(list, groups))

    def add(self, job: Job) -> None:
        """The job trains with those of its cohort that are added before the next `advance`."""
        self.points.append(job)

    def submit(self, shards: Sequence[Sequence[Job]]) -> None:
        """Has each part, jobs of one cohort, trained in one place. They begin with the next `advance`, together."""
        for jobs in shards:
            shard = self._shard(jobs)
            if shard is None:
                self.wrong.extend(jobs)
            else:
                self.waiting.append(_Sent(list(jobs), shard))

    def _shard(self, jobs: Sequence[Job]) -> Shard | None:
        """What is shipped; None where a configuration is wrong."""
        try:
            return Shard([replace(job, cfg=job.asked) for job in jobs], self.note)
        except RequestError:
            return None

    def _open(self, shard: Shard) -> Executor:
        if self.executor is None:
            self.executor = self.options.executor_options.open(self.options.workers, shard)
        return self.executor

    def advance(self) -> list[Job]:
        """Waits until at least one part has ended; returns its jobs, their results left in `app.ready`."""
        ended, self.wrong = self.wrong, []
        try:
            while not ended:
                self._send()
                self._tell()
                wait(self.futures, return_when=FIRST_COMPLETED)
                ended = [job for future in list(self.futures) if future.done() for job in self._received(future)]
        except KeyboardInterrupt:
            self.abandon()
            raise TrainingInterrupted([]) from None
        return ended

    def _gather(self) -> None:
        """Makes parts of the points that wait, for the places that are free."""
        from phalanx.jobs.scheduler import cohorts

        points, self.points = self.points, []
        groups = self.divided(cohorts(points, self.options.max_trials), points)
        self.submit([[points[place] for place in group] for group in groups])

    def _send(self) -> None:
        if self.points:
            self._gather()
        if self.waiting:
            waiting, self.waiting = self.waiting, []
            futures = self._open(waiting[0].shard).submit([sent.shard for sent in waiting])
            for future, sent in zip(futures, waiting, strict=True):
                sent.tries += 1
                self.futures[future] = sent

    def _tell(self) -> None:
        n_parts = min(len(self.futures), self.executor.n_at_once or len(self.futures))
        doing = "training" if self.executor.n_at_once else "submitted"
        more = f", {len(self.futures) - n_parts} wait" if len(self.futures) > n_parts else ""
        self.report(f"{n_parts} part{'s' * (n_parts > 1)} {doing}{more}")

    def _received(self, future: Future[list[JobResult]], tries: int = TRIES) -> list[Job]:
        """The jobs of a part that ended, their results left; none where it was lost and is trained again."""
        from phalanx.jobs.handover import JobResult, ready

        sent = self.futures.pop(future)
        error = future.exception()
        if isinstance(error, WorkerLost) and sent.tries < tries:
            log.warning("%s; trained again: %d of the jobs", error, len(sent.jobs))
            self.waiting.append(sent)
            return []
        if isinstance(error, WorkerLost) and sent.tries > 1:
            error = WorkerLost(
                f"{error}, twice; if memory ran out, try {self.options.executor_options.relief} or "
                f"hydra.launcher.max_trials={max(len(sent.jobs) // 2, 1)}"
            )
        found = [JobResult((), error=error) for _ in sent.jobs] if error is not None else future.result()
        for job, trained in zip(sent.jobs, found, strict=True):
            ready[job.folder] = replace(trained, fence=job.fence)
        return sent.jobs

    def abandon(self) -> list[Job]:
        """Ends the engine. Leaves what has ended, and of what has begun that it was interrupted; returns these."""
        if self.executor is not None:
            self.executor.close()
        self.executor, self.waiting, self.points = None, [], []
        begun = [future for future in self.futures if not future.cancelled()]
        ended = [job for future in begun for job in self._received(future, tries=1)]
        self.futures = {}
        return ended

    def close(self) -> None:
        """Ends the engine, whatever it does."""
        self.abandon()
