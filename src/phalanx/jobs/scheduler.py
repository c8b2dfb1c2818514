"""Many jobs of a sweep trained together: their trials as cohorts, their results left for each job to write down.

A trial's numbers do not depend on the others, so a job writes the same files whether it trained alone or here.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from phalanx.core.callbacks import Callback
from phalanx.core.errors import Failure, RequestError, TrainingInterrupted, TrialTimeout, failure_of
from phalanx.core.result import EpochMetrics, State, Status, TrialResult
from phalanx.data.cache import dataset_of
from phalanx.jobs.handover import JobResult, ready
from phalanx.jobs.job import Job, checkpointer_of, pruning, with_seeds
from phalanx.runs.checkpoint import RunCheckpointer
from phalanx.runs.layout import RunPaths
from phalanx.runs.live_metrics import LiveMetrics
from phalanx.runs.stored_run import StoredRun, find_stored_run
from phalanx.training.cohort import Cohort
from phalanx.training.interrupts import EpochEnd
from phalanx.training.spec import config_digest, static_key

log = logging.getLogger(__name__)

Report = Callable[[str], None]


def cohorts(jobs: Sequence[Job], max_trials: int | None = None) -> list[list[int]]:
    """The jobs' positions, grouped so that each group can train as one cohort, in order of first appearance.

    A job whose configuration is wrong is a group of its own: it says so when it is run. All seeds of a job share a
    cohort, which has at most `max_trials` jobs.
    """
    keys: list[Hashable] = []
    for place, job in enumerate(jobs):
        try:
            keys.append(job.key)
        except RequestError:
            keys.append(place)
    groups: dict[Hashable, list[int]] = {}
    for place, key in enumerate(keys):
        groups.setdefault(key, []).append(place)
    size = max_trials or max(len(jobs), 1)
    return sorted((group[i : i + size] for group in groups.values() for i in range(0, len(group), size)), key=min)


def explain(groups: Sequence[Sequence[int]], jobs: Sequence[Job]) -> str:
    """How the jobs were divided, and by which static fields they differ."""
    keys: dict[str, set[str]] = {}
    for group in groups:
        try:
            for key, value in static_key(jobs[group[0]].trial):
                keys.setdefault(key, set()).add(repr(value))
        except RequestError:
            continue
    differing = ", ".join(key for key, values in keys.items() if len(values) > 1)
    sizes = ", ".join(str(len(group)) for group in groups)
    return f"{len(jobs)} jobs in {len(groups)} cohorts of {sizes}" + (
        f"; they differ in {differing}" if differing else ""
    )


def finished(job: Job) -> StoredRun | None:
    """The result of a grid's job that an earlier start completed with the same configuration; else None.

    Of the trials of a search its study knows which have ended, and of a final its sweeper does.
    """
    if job.sweep.manifest.search or job.sweep.final:
        return None
    try:
        stored = find_stored_run(job.folder)
        if stored is None or stored.status is not Status.COMPLETED or stored.metrics.get("test_loss") is None:
            return None  # without a test loss it is of a search
        trial, names = job.trial, tuple(objective.name for objective in stored.objectives)
        same = (stored.config_digest, stored.seed, names) == (config_digest(trial), trial.seed, job.asked.objectives)
        return stored if same and stored.data_digest == dataset_of(trial.data).digest else None
    except (RequestError, OSError):  # the result is damaged, or the job says itself what is wrong
        return None


def train_together(jobs: Sequence[Job], report: Report = lambda text: None, note: str = "") -> None:
    """Trains jobs to their ends and leaves every result where `app.run` finds it.

    What fails is left too, for its job alone. Raises `TrainingInterrupted` on Ctrl-C, after leaving what was reached.
    """
    stream = CohortScheduler(report, note)
    for job in jobs:
        stream.add(job)
    while stream.running:
        stream.advance()


class CohortScheduler:
    """Jobs that train as they come: each joins the cohort of its static fields and leaves it when it ends."""

    def __init__(self, report: Report = lambda text: None, note: str = "") -> None:
        self.report, self.note = report, note
        self.groups: dict[Hashable, _Group] = {}
        self.wrong: list[Job] = []  # configurations that cannot be trained: their jobs say why when they are run

    @property
    def running(self) -> int:
        """How many jobs have not been returned by `advance`."""
        return sum(len(group.members) for group in self.groups.values()) + len(self.wrong)

    def add(self, job: Job) -> None:
        """The job begins with the next epoch of its cohort."""
        try:
            if job.key not in self.groups:
                self.groups[job.key] = _Group(job, self)
        except RequestError:
            self.wrong.append(job)
            return
        self.groups[job.key].join(job)

    def submit(self, shards: Sequence[Sequence[Job]]) -> None:
        """Adds the jobs of several cohorts, or parts of them."""
        for jobs in shards:
            for job in jobs:
                self.add(job)

    def advance(self) -> list[Job]:
        """Trains on until at least one job has ended; returns those that have, their results left in `app.ready`."""
        ended, self.wrong = self.wrong, []
        while not ended and self.groups:
            key = next(iter(self.groups))
            group = self.groups.pop(key)  # an epoch each in turn: the group goes to the end of the line
            ended = group.epoch()
            if group.members:
                self.groups[key] = group
        return ended

    def abandon(self) -> list[Job]:
        """Ends everything where it is; returns the jobs, whose interrupted results are left."""
        groups, self.groups = list(self.groups.values()), {}
        return [job for group in groups for job in group.abandon()]


@dataclass(eq=False)  # compared as what they are, not by their configs
class _Member:
    """A job in a cohort, with a lane for each of its seeds."""

    job: Job
    pruning: Callback
    checkpointer: RunCheckpointer
    positions: list[int] = field(default_factory=list)
    results: dict[int, TrialResult] = field(default_factory=dict)
    seconds: float = 0.0
    late: TrialTimeout | None = None

    def leave_result(self, note: str, interrupt: TrainingInterrupted | None = None) -> Job:
        if before := self.checkpointer.epochs_before:
            note += f"; went on after epoch {before}"
        found = tuple(self.results[position] for position in self.positions)
        ready[self.job.folder] = JobResult(found, interrupt, self.late, note, self.job.fence)
        return self.job

    def states(self, cohort: Cohort) -> list[State]:
        """How far each seed is, between two epochs."""
        return [self.results.get(position) or cohort.snapshot(position) for position in self.positions]

    def too_long(self, rows: Mapping[int, EpochMetrics]) -> bool:
        """A trial's time in a cohort is its share of the cohort's."""
        self.seconds += sum(row.seconds for row in rows.values())
        limit = self.job.sweep.manifest.trial_timeout_s
        if limit is None or self.seconds <= limit:
            return False
        epoch = max(row.epoch for row in rows.values())
        self.late = TrialTimeout(f"longer than hydra.sweeper.trial_timeout_s={limit:g}, in epoch {epoch}")
        return True


class _Group(Callback):
    """One cohort and its jobs: hands each job's rows to its own pruning, and says how far the cohort is."""

    def __init__(self, job: Job, stream: CohortScheduler) -> None:
        self.stream, self.largest, like = stream, 0, job.trial
        self.end, self.between = EpochEnd(), True  # whether all trials are between two epochs
        self.cohort = Cohort(like, dataset_of(like.data), self, test=job.sweep.reads_test)
        self.members: list[_Member] = []
        self.of: dict[int, _Member] = {}  # by position in the cohort

    def join(self, job: Job) -> None:
        watcher = pruning(job.trial, job.sweep, job.find_trial)
        specs, checkpointer = (
            with_seeds(job.trial, job.sweep),
            checkpointer_of(job.asked, job.folder, job.sweep, job.fence),
        )
        checkpointer.begin(self.cohort.dataset.digest)
        live = LiveMetrics(RunPaths(job.folder), job.asked.tracking.live, job.fence, watcher)
        member = _Member(job, live, checkpointer, seconds=checkpointer.seconds_before)
        self.members.append(member)
        member.positions = self.cohort.join(specs, checkpointer.states)
        live.goes_on(dict(zip(member.positions, checkpointer.states, strict=False)))
        self.of |= dict.fromkeys(member.positions, member)
        self.largest = max(self.largest, self.cohort.running)

    def epoch(self) -> list[Job]:
        """One epoch of all; returns the jobs that ended with it."""
        try:
            with self.end.awaited(any(member.checkpointer.keeps for member in self.members)):
                self.between = False
                for position, result in self.cohort.epoch().items():
                    self.of.pop(position).results[position] = result
                self.between = True
                for member in self.members:
                    member.checkpointer.epoch_ended(functools.partial(member.states, self.cohort))
        except KeyboardInterrupt:
            self._interrupt()
        except Exception as error:
            return self._take_apart(error)
        ended = [member for member in self.members if len(member.results) == len(member.positions)]
        self.members = [member for member in self.members if member not in ended]
        note = f"trained in a cohort of {self.largest}" + (f"; {self.stream.note}" if self.stream.note else "")
        jobs = [member.leave_result(note) for member in ended]
        if self.end.asked:
            self._interrupt()
        return jobs

    def _interrupt(self) -> NoReturn:
        self.abandon()
        self.stream.abandon()
        raise TrainingInterrupted([]) from None

    def abandon(self) -> list[Job]:
        for member in self.members if self.between else ():
            member.checkpointer.write(functools.partial(member.states, self.cohort))
        for position, result in self.cohort.abandon().items():
            self.of.pop(position).results[position] = result
        members, self.members = self.members, []
        return [member.leave_result("interrupted", TrainingInterrupted([])) for member in members]

    def on_epoch(self, rows: Mapping[int, EpochMetrics]) -> Collection[int]:
        epochs = [row.epoch for row in rows.values()]
        self.stream.report(f"cohort of {self.cohort.running}, epoch {max(epochs)}")
        pruned: list[int] = []
        for member in self.members:
            own = {position: rows[position] for position in member.positions if position in rows}
            if own:
                pruned.extend(own if member.too_long(own) else member.pruning.on_epoch(own))
        return pruned

    def _take_apart(self, error: Exception) -> list[Job]:
        """A cohort that failed is trained again: in halves where memory ran out, else one by one.

        So only the guilty one fails, with its own error.
        """
        jobs, self.members = [member.job for member in self.members], []
        if len(jobs) == 1:
            ready[jobs[0].folder] = JobResult((), error=error, fence=jobs[0].fence)
            return jobs
        log.warning("a cohort of %d jobs failed (%s: %s) and is taken apart", len(jobs), type(error).__name__, error)
        size = (len(jobs) + 1) // 2 if failure_of(error) is Failure.OUT_OF_MEMORY else 1
        for start in range(0, len(jobs), size):
            train_together(jobs[start : start + size], self.stream.report, self.stream.note)
        return jobs
