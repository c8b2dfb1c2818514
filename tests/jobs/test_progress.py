"""What the live line of a sweep counts."""

from __future__ import annotations

import io

from rich.console import Console
from support.run_folders import stored

from phalanx.jobs.progress import SweepProgress


def trial(number, status, value=None, failure=None):
    return stored(value, status=status, number=number, epochs=2, error="boom", failure=failure)


def test_a_trial_that_is_trained_again_counts_once():
    out = io.StringIO()
    progress = SweepProgress(Console(file=out), 4, "maximize")
    progress.add(trial(0, "completed", 0.5), quiet=True)
    progress.add(trial(1, "failed", failure="interrupted"), quiet=True)
    progress.start("folder")
    progress.add(trial(1, "completed", 0.75), ["a=1"])
    progress.add(trial(2, "pruned", 0.9))
    progress.add(trial(3, "diverged"))
    progress.stop()
    progress.summary([], "folder")
    lines = out.getvalue().splitlines()
    assert lines[0] == "sweep of 4 trials in folder, 1 finished before"
    assert lines[1] == "trial 1  val_accuracy 0.7500  a=1"
    assert lines[2] == "trial 2  val_accuracy 0.9000  pruned after epoch 2"
    assert lines[3] == "trial 3  diverged: boom"
    assert lines[4] == "done: 4/4 trials, 1 failed, 1 pruned, best val_accuracy 0.7500 (trial 1)"


def test_a_trial_that_was_stopped_is_no_failure():
    out = io.StringIO()
    progress = SweepProgress(Console(file=out), 3, "maximize")
    progress.start("folder")
    progress.add(trial(0, "completed", 0.5))
    progress.add(trial(1, "failed", failure="crash"))
    progress.add(trial(2, "failed", failure="interrupted"))
    progress.stop()
    progress.summary([], "folder", stopped=True)
    lines = out.getvalue().splitlines()
    assert lines[2:4] == ["trial 1  failed: boom", "trial 2  interrupted after epoch 2"]
    assert lines[4] == "stopped: 2/3 trials, 1 failed, 1 interrupted, best val_accuracy 0.5000 (trial 0)"
