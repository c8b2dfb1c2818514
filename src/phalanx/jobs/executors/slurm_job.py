"""`SlurmJob`: trains a shard as a job of Slurm, which may be queued again several times.

A job that is about to end gets a signal. Training then stops as after Ctrl-C, at the end of the epoch if that is near,
and writes its checkpoints; submitit asks `SlurmJob.checkpoint` what to run next, and queues the job again. A job that
is cancelled, or queued again by a person, gets SIGTERM alone and half a minute.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from phalanx.core.errors import TrialTimeout
from phalanx.core.interrupts import INTERRUPT
from phalanx.jobs.executors.base import Shard, end_with
from phalanx.jobs.executors.worker import packed, train_shard, unpacked

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission

    from phalanx.core.process_identity import ProcessIdentity
    from phalanx.jobs.job import TrainedJob

STALLS = 2  # times in a row that a job may use up its time without progress
EARLY_S = 60  # how much earlier than it is due Slurm's signal may come
TOGETHER_S = 5.0  # within which both signals of a preemption come


class SlurmJob:
    """A callable for submitit. It returns the packed results of the shard's jobs, in their order."""

    def __init__(
        self, shard: Shard, n_threads: int, minutes: int, delay_s: int, leader: ProcessIdentity | None = None
    ) -> None:
        """Describes the job.

        Args:
            shard: What to train.
            n_threads: Threads of torch, at least 1.
            minutes: The time limit of the job, at least 1.
            delay_s: How many seconds before its end the job gets a signal.
            leader: The process with which this one ends, if both are on the same machine.
        """
        self.shard, self.n_threads, self.leader = shard, n_threads, leader
        self.minutes, self.time_s = minutes, 0.9 * (60 * minutes - delay_s - EARLY_S)
        self.found: dict[Path, bytes] = {}  # results of jobs that ended before the shard was queued again
        self.stalls = 0

    def __call__(self) -> bytes:
        if self.leader is not None:
            end_with(self.leader)
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")  # to the log of the job
        started, before, stop = time.monotonic(), self._progress(), StopSignal(_signal())
        trained: list[TrainedJob] = []
        try:
            import torch

            torch.set_num_threads(self.n_threads)
            left = [job for job in self.shard.jobs if job.folder not in self.found]
            return self._all(train_shard(Shard(left, self.shard.note), self.n_threads, trained))
        except KeyboardInterrupt:
            self.found |= {job.folder: packed([result]) for job, result in trained if result.interrupt is None}
            stalled = time.monotonic() - started > self.time_s and self._progress() == before
            self.stalls = self.stalls + 1 if stalled else 0
            if self.stalls < STALLS:
                stop.queue_again()
                raise
            return self._all(packed([]))

    def checkpoint(self) -> DelayedSubmission:
        """Tells submitit what to run when the job has been queued again."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)

    def _progress(self) -> object:
        """Changes whenever there is more from which to continue."""
        files = [job.paths.checkpoint for job in self.shard.jobs]
        return len(self.found), [file.stat().st_mtime_ns if file.is_file() else None for file in files]

    def _all(self, trained: bytes) -> bytes:
        """The packed results of all jobs; a job without a result has run out of time."""
        from phalanx.jobs.job import JobResult

        late = TrialTimeout(
            f"in {STALLS} times hydra.launcher.submitit.timeout_min={self.minutes} it ended no trial and wrote no "
            "checkpoint; give it more minutes, or have it write checkpoints"
        )
        found = {folder: unpacked(content)[0] for folder, content in self.found.items()}
        left = [job.folder for job in self.shard.jobs if job.folder not in found]
        found |= dict(zip(left, unpacked(trained), strict=False))
        return packed([found.get(job.folder, JobResult((), error=late)) for job in self.shard.jobs])


def _signal() -> signal.Signals:
    """The signal by which submitit announces the end of a job."""
    return signal.Signals[f"SIG{os.environ.get('SUBMITIT_PREEMPT_SIGNAL', 'USR2')}"]


class StopSignal:
    """Has the first signal that announces the end of the job do what Ctrl-C does, instead of what it did before."""

    def __init__(self, number: signal.Signals) -> None:
        self.number, self.before, self.received = number, signal.getsignal(number), set[int]()
        signal.signal(signal.SIGINT, INTERRUPT)  # a process in the background has another handler
        for one in (number, signal.SIGTERM):
            signal.signal(one, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        first = not self.received
        self.received.add(number)
        if first:
            _call(signal.getsignal(signal.SIGINT), signal.SIGINT, frame)

    def queue_again(self) -> None:
        """Calls the signal's handler from before, which does not return; nothing after SIGTERM alone."""
        end = time.monotonic() + TOGETHER_S
        while self.number not in self.received and time.monotonic() < end:
            time.sleep(0.1)
        if self.number in self.received:
            _call(self.before, self.number, None)


def _call(handler: object, number: int, frame: FrameType | None) -> None:
    if callable(handler):
        handler(number, frame)
