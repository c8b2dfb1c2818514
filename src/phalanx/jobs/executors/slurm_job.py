"""A part as a job of Slurm trains it, once or, when it is queued again, several times.

A job that is about to end is told so by a signal. Then training ends as after Ctrl-C, with the epoch where that is
near, and writes its checkpoints; submitit asks `SlurmJob.checkpoint` what is to be run next, and queues the job again.
Of a job that is cancelled, or queued again by somebody, nothing is asked: it gets SIGTERM alone, and half a minute.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from phalanx.core.errors import TrialTimeout
from phalanx.jobs.executors.base import Shard, end_with
from phalanx.jobs.executors.worker import packed, train_shard, unpacked
from phalanx.runs.layout import RunPaths

if TYPE_CHECKING:
    from phalanx.study import ProcessIdentity

STALLS = 2  # times in a row that a job may run its time and leave nothing to go on from
EARLY_S = 60  # Slurm's signal may come so much before it is due
TOGETHER_S = 5.0  # in which both signals of a pre-emption come


class SlurmJob:
    """Callable, as submitit wants it; what it returns is packed, the results of the part's jobs in their order."""

    def __init__(
        self, shard: Shard, n_threads: int, minutes: int, delay_s: int, leader: ProcessIdentity | None = None
    ) -> None:
        """`leader` is the process with which this one ends, where both are on the same machine."""
        self.shard, self.n_threads, self.leader = shard, n_threads, leader
        self.minutes, self.time_s = minutes, 0.9 * (60 * minutes - delay_s - EARLY_S)
        self.found: dict[Path, bytes] = {}  # jobs that ended before the part was queued again
        self.stalls = 0

    def __call__(self) -> bytes:
        if self.leader is not None:
            end_with(self.leader)
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")  # to the log of the job
        started, there, told = time.monotonic(), self._progress(), Told(_signal())
        try:
            import torch

            torch.set_num_threads(self.n_threads)
            left = [job for job in self.shard.jobs if job.folder not in self.found]
            trained = train_shard(replace(self.shard, jobs=left), self.n_threads)
        except KeyboardInterrupt:
            self._keep()
            stalled = time.monotonic() - started > self.time_s and self._progress() == there
            self.stalls = self.stalls + 1 if stalled else 0
            if self.stalls < STALLS:
                told.queue_again()
                raise
            trained = packed([])
        return self._all(trained)

    def checkpoint(self) -> Any:
        """What runs when the job has been queued again."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)

    def _keep(self) -> None:
        """Notes what has ended before the interrupt."""
        from phalanx.jobs.handover import ready

        for job in self.shard.jobs:
            if job.folder in ready and ready[job.folder].interrupt is None:
                self.found[job.folder] = packed([ready[job.folder]])

    def _progress(self) -> object:
        """Changes whenever there is more to go on from."""
        files = [RunPaths(job.folder).checkpoint for job in self.shard.jobs]
        return len(self.found), [file.stat().st_mtime_ns if file.is_file() else None for file in files]

    def _all(self, trained: bytes) -> bytes:
        """What became of each job, packed; those of which nothing is known have run out of time."""
        from phalanx.jobs.handover import JobResult

        late = TrialTimeout(
            f"in {STALLS} times hydra.launcher.submitit.timeout_min={self.minutes} it ended no trial and wrote no "
            "checkpoint; give it more minutes, or have it write checkpoints"
        )
        found = {folder: unpacked(content)[0] for folder, content in self.found.items()}
        left = [job.folder for job in self.shard.jobs if job.folder not in found]
        found |= dict(zip(left, unpacked(trained), strict=False))
        return packed([found.get(job.folder, JobResult((), error=late)) for job in self.shard.jobs])


def _signal() -> signal.Signals:
    """By which submitit is told that a job is about to end."""
    return signal.Signals[f"SIG{os.environ.get('SUBMITIT_PREEMPT_SIGNAL', 'USR2')}"]


class Told:
    """Has the first signal that the job will end do what Ctrl-C does, instead of what it did before."""

    def __init__(self, number: signal.Signals) -> None:
        self.number, self.before, self.heard = number, signal.getsignal(number), set[int]()
        signal.signal(signal.SIGINT, signal.default_int_handler)  # which is not there in a process of the background
        for one in (number, signal.SIGTERM):
            signal.signal(one, self._hear)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        first = not self.heard
        self.heard.add(number)
        if first:
            signal.getsignal(signal.SIGINT)(signal.SIGINT, frame)

    def queue_again(self) -> None:
        """Does what the signal did before, which does not return; nothing if it is not heard beside SIGTERM."""
        end = time.monotonic() + TOGETHER_S
        while self.number not in self.heard and time.monotonic() < end:
            time.sleep(0.1)
        if self.number in self.heard:
            self.before(self.number, None)
