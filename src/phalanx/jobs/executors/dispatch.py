"""`RemoteScheduler`: trains the jobs of a sweep on an executor, with the interface of `CohortScheduler`.

A trial's numbers depend on no other trial, so they do not depend on where it trained either.
"""

import contextlib
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, replace

from phalanx.core.errors import WorkerLost
from phalanx.jobs.executors.base import Executor, ExecutorSpec, Shard
from phalanx.jobs.executors.options import LauncherSpec
from phalanx.jobs.job import Job, JobResult, TrainedJob
from phalanx.jobs.scheduler import cohorts

log = logging.getLogger(__name__)

TRIES = 2  # times that a shard is trained whose process or machine is lost


def cut(groups: Sequence[Sequence[int]], n_at_once: int, largest: int | None) -> list[list[int]]:
    """Cuts cohorts into shards that keep all workers equally busy.

    Args:
        groups: Cohorts, as positions of jobs.
        n_at_once: Number of workers, at least 1.
        largest: About the largest number of jobs in a shard, at least 1; None: no limit.

    Returns:
        The shards, largest first. Every n-th job goes into the same shard, since neighbours in a grid take about as
        long as each other.
    """
    n_jobs = sum(map(len, groups))
    rounds = max(-(-n_jobs // (n_at_once * largest)), 1) if largest else 1
    size = max(-(-n_jobs // (n_at_once * rounds)), 1)
    shards = [list(group[i :: -(-len(group) // size)]) for group in groups for i in range(-(-len(group) // size))]
    return sorted(shards, key=len, reverse=True)


@dataclass
class _Submission:
    """A shard, with the jobs as the caller knows them."""

    jobs: list[Job]
    shard: Shard
    tries: int = 0


class RemoteScheduler:
    """Trains jobs on an executor. What is shipped is `Settings` and seeds, nothing of Hydra."""

    def __init__(self, options: LauncherSpec, report: Callable[[str], None] = lambda text: None) -> None:
        """`report` receives the progress as text."""
        self.options, self.report, self.note = options, report, ""
        self.executor: Executor | None = None  # opened for the first job that can be trained
        self.added: list[Job] = []  # of a search, before they are gathered into shards
        self.waiting: list[_Submission] = []
        self.futures: dict[Future[list[JobResult]], _Submission] = {}
        self.trained: list[TrainedJob] = []  # not returned yet

    @property
    def running(self) -> int:
        submitted = sum(len(submission.jobs) for submission in (*self.waiting, *self.futures.values()))
        return submitted + len(self.added) + len(self.trained)

    def split(self, groups: Sequence[Sequence[int]], jobs: Sequence[Job]) -> list[list[int]]:
        """Cuts cohorts, as positions in `jobs`, into shards for the workers that are free."""
        for job in jobs:
            if job.error is None:
                executor = self._open(self._shard([job]))
                return cut(groups, max((executor.n_at_once or 1) - len(self.futures), 1), executor.largest)
        return list(map(list, groups))

    def add(self, job: Job) -> None:
        """The job trains with those of its cohort that are added before the next `advance`."""
        self.added.append(job)

    def submit(self, shards: Sequence[Sequence[Job]]) -> None:
        """Has each shard trained in one place. All start with the next `advance`, together."""
        for jobs in shards:
            self.trained += [(job, JobResult((), error=job.error)) for job in jobs if job.error is not None]
            if valid := [job for job in jobs if job.error is None]:
                for job in valid:
                    with contextlib.suppress(OSError):  # its end writes it again, and says what is wrong
                        job.describe()
                self.waiting.append(_Submission(valid, self._shard(valid)))

    def _shard(self, jobs: Sequence[Job]) -> Shard:
        return Shard([replace(job, config=job.settings) for job in jobs], self.note)

    @property
    def _spec(self) -> ExecutorSpec:
        spec = self.options.executor_options
        assert spec is not None, "hydra.launcher.executor=local has no executor"
        return spec

    def _open(self, shard: Shard) -> Executor:
        if self.executor is None:
            self.executor = self._spec.open(self.options.workers, shard)
        return self.executor

    def advance(self) -> list[TrainedJob]:
        """Waits until at least one shard has ended; returns its jobs."""
        while not self.trained:
            self._start_waiting()
            self._report_progress()
            wait(self.futures, return_when=FIRST_COMPLETED)
            for future in [future for future in self.futures if future.done()]:
                self._collect(future)
        return self._take()

    def _start_waiting(self) -> None:
        if self.added:
            added, self.added = self.added, []
            groups = self.split(cohorts(added, self.options.max_trials), added)
            self.submit([[added[place] for place in group] for group in groups])
        if self.waiting:
            waiting, self.waiting = self.waiting, []
            futures = self._open(waiting[0].shard).submit([submission.shard for submission in waiting])
            for future, submission in zip(futures, waiting, strict=True):
                submission.tries += 1
                self.futures[future] = submission

    def _report_progress(self) -> None:
        n_at_once = self.executor.n_at_once if self.executor is not None else None
        n_shards = min(len(self.futures), n_at_once or len(self.futures))
        waiting = f", {len(self.futures) - n_shards} wait" if len(self.futures) > n_shards else ""
        doing = "training" if n_at_once else "submitted"
        self.report(f"{n_shards} shard{'s' * (n_shards != 1)} {doing}{waiting}")

    def _collect(self, future: Future[list[JobResult]], tries: int = TRIES) -> None:
        """Takes the results of a shard that ended; submits it again if it was lost and has tries left."""
        submission = self.futures.pop(future)
        error = future.exception()
        if isinstance(error, WorkerLost) and submission.tries < tries:
            log.warning("%s; trained again: %d of the jobs", error, len(submission.jobs))
            self.waiting.append(submission)
            return
        if isinstance(error, WorkerLost) and submission.tries > 1:
            error = WorkerLost(
                f"{error}, twice; if memory ran out, try {self._spec.memory_advice} or "
                f"hydra.launcher.max_trials={max(len(submission.jobs) // 2, 1)}"
            )
        if error is None:
            self.trained += zip(submission.jobs, future.result(), strict=True)
        else:
            self.trained += [(job, JobResult((), error=error)) for job in submission.jobs]

    def abandon(self) -> list[TrainedJob]:
        """Ends the executor; returns the jobs of shards that had started."""
        if self.executor is not None:
            self.executor.close()
        self.executor, self.waiting, self.added = None, [], []
        for future in [future for future in self.futures if not future.cancelled()]:
            self._collect(future, tries=1)
        self.futures = {}
        return self._take()

    def close(self) -> None:
        """Ends the executor, whatever it does."""
        self.abandon()

    def _take(self) -> list[TrainedJob]:
        trained, self.trained = self.trained, []
        return trained
