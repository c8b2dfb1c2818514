"""Trains many jobs of a sweep in this process, those with equal static fields together as one cohort.

A trial's numbers do not depend on the others, so a job writes the same files whether it trained alone or here.
"""

import gc
import logging
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from typing import Protocol
from weakref import WeakValueDictionary

from phalanx.core.errors import Failure, RequestError, TrainingInterrupted, failure_of
from phalanx.core.result import EpochMetrics, Status
from phalanx.data import Dataset
from phalanx.data.cache import dataset_of
from phalanx.jobs.job import Job, JobResult, TrainedJob
from phalanx.runs.stored_run import StoredRun, find_stored_run
from phalanx.training.data_check import check_with_data
from phalanx.training.loop import CohortLoop, Member
from phalanx.training.partition import group_equal
from phalanx.training.spec import config_digest

log = logging.getLogger(__name__)

Report = Callable[[str], None]


class Scheduler(Protocol):
    """Trains jobs, here or elsewhere, and returns each with its result."""

    note: str  # for the log of every job

    @property
    def running(self) -> int:
        """Number of jobs that have not been returned by `advance`."""
        ...

    def add(self, job: Job) -> None:
        """Has a job trained, with others of its cohort where possible."""
        ...

    def submit(self, shards: Sequence[Sequence[Job]]) -> None:
        """Has the jobs of several shards trained; the jobs of a shard belong to one cohort."""
        ...

    def advance(self) -> list[TrainedJob]:
        """Trains until at least one job has ended; returns those that have. After `KeyboardInterrupt`: `abandon`."""
        ...

    def abandon(self) -> list[TrainedJob]:
        """Ends all training; returns the jobs not returned yet that had started, with what they had reached."""
        ...


def cohorts(jobs: Sequence[Job], max_trials: int | None = None) -> list[list[int]]:
    """Groups jobs that can train as one cohort, in order of first appearance.

    Args:
        jobs: A job with a wrong configuration becomes a group of its own.
        max_trials: Largest number of jobs in a group, at least 1; all seeds and folds of a job share its group.
            None: no limit.

    Returns:
        Groups of positions in `jobs`.
    """
    size = max_trials or max(len(jobs), 1)
    groups = group_equal([job.cohort_key for job in jobs])
    return sorted((group[i : i + size] for group in groups for i in range(0, len(group), size)), key=min)


def explain(groups: Sequence[Sequence[int]], jobs: Sequence[Job]) -> str:
    """Describes how the jobs were divided, and in which static fields the groups differ."""
    values: dict[str, set[str]] = {}
    for job in (jobs[group[0]] for group in groups):
        for key, value in () if job.error else job.static_key:
            values.setdefault(key, set()).add(repr(value))
    differing = ", ".join(key for key, found in values.items() if len(found) > 1)
    sizes = ", ".join(str(len(group)) for group in groups)
    return f"{len(jobs)} jobs in {len(groups)} cohorts of {sizes}" + (
        f"; they differ in {differing}" if differing else ""
    )


def finished(job: Job) -> tuple[StoredRun, str] | None:
    """Reads the result of a grid's job that an earlier start completed with the same configuration.

    Returns:
        The result, and the digest of the data today: with another one the job has to be trained again. None for a job
        without such a result, and in a search and a final, whose sweeper knows what has ended.
    """
    if job.sweep is None or job.sweep.manifest.search or job.sweep.final:
        return None
    try:
        stored = find_stored_run(job.folder)
        if stored is None or stored.status is not Status.COMPLETED or stored.metrics.get("test_loss") is None:
            return None  # without a test loss it is of a search
        trial, names = job.trial, tuple(objective.name for objective in stored.objectives)
        wanted = config_digest(trial), trial.seed, job.settings.objectives
        same = (stored.config_digest, stored.seed, names) == wanted
        return (stored, dataset_of(trial.data).digest) if same else None
    except (RequestError, OSError):  # a damaged result, or a fault that the job itself reports
        return None


def train_together(
    jobs: Sequence[Job], report: Report = lambda text: None, note: str = "", trained: list[TrainedJob] | None = None
) -> list[TrainedJob]:
    """Trains jobs to their ends. A job whose training fails gets a result with its error.

    Args:
        jobs: Jobs of one cohort or several.
        report: Receives the progress as text.
        note: Text for the log of every job.
        trained: The list to which jobs are added as they end, and on Ctrl-C those that had started.

    Returns:
        `trained`: each job with its result, in the order in which they ended.

    Raises:
        KeyboardInterrupt: Ctrl-C or SIGTERM.
    """
    trained = [] if trained is None else trained
    scheduler = CohortScheduler(report, note)
    scheduler.submit([jobs])
    try:
        while scheduler.running:
            trained += scheduler.advance()
    except KeyboardInterrupt:
        trained += scheduler.abandon()
        raise
    return trained


class CohortScheduler:
    """The scheduler of this process: a job joins the cohort of its static fields and leaves it when it ends."""

    def __init__(self, report: Report = lambda text: None, note: str = "") -> None:
        """`report` receives the progress as text; `note` goes to the log of every job."""
        self.report, self.note = report, note
        self.cohorts: dict[Hashable, _JobCohort] = {}
        self.trained: list[TrainedJob] = []  # not returned yet

    @property
    def running(self) -> int:
        return sum(len(cohort.members) for cohort in self.cohorts.values()) + len(self.trained)

    def add(self, job: Job) -> None:
        """The job starts with the next epoch of its cohort."""
        try:
            datasets = job.datasets()
            for spec, dataset in {id(d): (spec, d) for spec, d in zip(job.specs, datasets, strict=True)}.values():
                check_with_data(spec, dataset)
            key = job.cohort_key
            if key not in self.cohorts:
                self.cohorts[key] = _JobCohort(job, datasets[0], self.report)
        except RequestError as error:
            self.trained.append((job, JobResult((), error=error)))
            return
        self.cohorts[key].add(job, datasets)

    def submit(self, shards: Sequence[Sequence[Job]]) -> None:
        for job in (job for shard in shards for job in shard):
            self.add(job)

    def advance(self) -> list[TrainedJob]:
        while not self.trained and self.cohorts:
            failed = self._epoch(next(iter(self.cohorts)))
            if failed is not None:
                self._retrain(*failed)
        return self._take()

    def _epoch(self, key: Hashable) -> tuple[list[Job], Exception] | None:
        """Trains a cohort for one epoch; returns its jobs and the error if that fails."""
        self.cohorts[key] = cohort = self.cohorts.pop(key)  # to the end of the queue
        try:
            self.trained += cohort.ended(cohort.epoch(), self.note)
        except Exception as error:
            del self.cohorts[key]
            return list(cohort.jobs.values()), error
        if cohort.interrupted:
            raise KeyboardInterrupt
        if not cohort.members:
            del self.cohorts[key]
        return None

    def abandon(self) -> list[TrainedJob]:
        cohorts, self.cohorts = self.cohorts, {}
        for cohort in cohorts.values():
            self.trained += cohort.interrupt()
        return self._take()

    def _take(self) -> list[TrainedJob]:
        trained, self.trained = self.trained, []
        return trained

    def _retrain(self, jobs: Sequence[Job], error: Exception) -> None:
        """Trains the jobs of a failed cohort again: in halves if memory ran out, else one by one.

        So only the job that causes the error fails.
        """
        if len(jobs) == 1:
            self.trained.append((jobs[0], JobResult((), error=error)))
            return
        log.warning("a cohort of %d jobs failed (%s: %s) and is taken apart", len(jobs), type(error).__name__, error)
        error.with_traceback(None)  # which keeps the tensors of the failed cohort in memory
        gc.collect()  # a cohort and its loop know each other, and a GPU out of memory waits for no collection
        size = (len(jobs) + 1) // 2 if failure_of(error) is Failure.OUT_OF_MEMORY else 1
        for start in range(0, len(jobs), size):
            train_together(jobs[start : start + size], self.report, self.note, self.trained)


class _JobCohort(CohortLoop):
    """A cohort whose members are jobs."""

    def __init__(self, first: Job, dataset: Dataset, report: Report) -> None:
        super().__init__(first.trial, dataset, test=first.reads_test)
        self.report, self.largest = report, 0
        self.jobs: dict[Member, Job] = {}  # those that have not ended
        self.known = WeakValueDictionary({dataset.digest: dataset})

    def add(self, job: Job, datasets: Sequence[Dataset]) -> None:
        datasets = [self.known.setdefault(dataset.digest, dataset) for dataset in datasets]  # perhaps read again
        checkpointer = job.checkpointer()
        checkpointer.begin(*datasets)
        self.jobs[self.join(job.specs, job.callback(checkpointer), checkpointer, datasets)] = job
        self.largest = max(self.largest, self.cohort.running)

    def ended(self, members: Sequence[Member], note: str) -> list[TrainedJob]:
        """The jobs of these members, with their results."""
        note = f"trained in a cohort of {self.largest}" + (f"; {note}" if note else "")
        return [self._trained(member, note) for member in members]

    def interrupt(self) -> list[TrainedJob]:
        """Ends all jobs where they are."""
        return [self._trained(member, "interrupted", TrainingInterrupted([])) for member in self.abandon()]

    def _trained(self, member: Member, note: str, interrupt: TrainingInterrupted | None = None) -> TrainedJob:
        job = self.jobs.pop(member)
        if before := member.checkpointer.epochs_before:
            note += f"; went on after epoch {before}"
        return job, JobResult(member.results, interrupt, member.error, note)

    def on_epoch(self, rows: Mapping[int, EpochMetrics]) -> Collection[int]:
        self.report(f"cohort of {self.cohort.running}, epoch {max(row.epoch for row in rows.values())}")
        return super().on_epoch(rows)
