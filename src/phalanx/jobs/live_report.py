"""The report of a sweep that still runs, written by a process of its own, so that training does not wait."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path


class LiveReport:
    """Writes `report.html` at most every so many seconds, when a trial has ended."""

    def __init__(self, root: Path, seconds: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        """Writes nothing yet.

        Args:
            root: The folder of the sweep.
            seconds: The time between two reports; None for no report before the end.
            clock: The time in seconds.
        """
        self.root, self.seconds, self.clock = root, seconds, clock
        self.begun: float | None = None
        self.process: subprocess.Popen[bytes] | None = None

    def update(self) -> None:
        """Starts writing a report if it is time for one and the last one is written."""
        if self.seconds is None or (self.process is not None and self.process.poll() is None):
            return
        if self.begun is not None and self.clock() - self.begun < self.seconds:
            return
        self.begun = self.clock()
        command = [sys.executable, "-m", "phalanx", "report", str(self.root), "--refresh", f"{self.seconds:g}"]
        # What it cannot read, the report at the end names. One thread is left to the training.
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip

    def stop(self) -> None:
        """Ends a report that is being written, so that it cannot replace the one at the end."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
