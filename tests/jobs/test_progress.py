"""What the live line of a sweep counts."""

from __future__ import annotations

import io
import re

import pytest
from omegaconf import OmegaConf
from rich.console import Console
from support.run_folders import stored

from phalanx.core.console import busy, plain_console
from phalanx.core.result import EpochMetrics, Metrics, Objective, Status, TrialResult
from phalanx.jobs.run_progress import RunProgress, summary
from phalanx.jobs.sweep_progress import SweepProgress
from phalanx.runs.config import overrides_typed


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
    assert lines[1] == "trial 1  val_accuracy 0.75  a=1"
    assert lines[2] == "trial 2  val_accuracy 0.9  pruned after epoch 2"
    assert lines[3] == "trial 3  diverged: boom"
    assert lines[4] == "done: 4/4 trials, 1 failed, 1 pruned, best val_accuracy 0.75 (trial 1)"


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
    assert lines[4] == "stopped: 2/3 trials, 1 failed, 1 interrupted, best val_accuracy 0.5 (trial 0)"


def test_the_best_trial_is_one_that_still_stands():
    progress = SweepProgress(Console(file=io.StringIO()), 3, "maximize")
    for number, value in enumerate([0.5, 0.9, 0.7]):
        progress.add(trial(number, "completed", value), quiet=True)
    progress.add(trial(1, "completed", 0.6))
    assert (progress.best.number, progress.best.value) == (2, 0.7)
    progress.add(trial(2, "diverged"))
    assert (progress.best.number, progress.best.value) == (1, 0.6)
    progress.add(trial(1, "failed", failure="interrupted"))
    assert (progress.best.number, progress.best.value) == (0, 0.5)


def test_the_closing_line_names_the_trial_that_the_folders_have_as_the_best():
    out = io.StringIO()
    progress = SweepProgress(Console(file=out), 2, "maximize")
    progress.add(trial(0, "completed", 0.5), quiet=True)
    progress.add(trial(1, "completed", 0.5), quiet=True)
    progress.summary([trial(1, "completed", 0.5)], "folder")  # trial 0 is not on the front of several objectives
    assert "best val_accuracy 0.5 (trial 1)" in out.getvalue()


def test_a_trial_that_trains_anew_is_not_counted():
    progress = SweepProgress(Console(file=io.StringIO()), 2, "maximize")
    for number, value in enumerate([0.5, 0.9]):
        progress.add(trial(number, "completed", value), quiet=True)
    progress.discard(1)
    assert progress.best.number == 0
    assert list(progress.bar.notes) == ["0 failed, best val_accuracy 0.5 (trial 0)"]


def test_a_sweep_says_what_it_was_asked_for_without_secrets():
    out = io.StringIO()
    progress = SweepProgress(Console(file=out), 2, "maximize")
    progress.start("folder", ["loss=nll,mse", "tracking.uri=http://me:hush@host"])
    progress.stop()
    assert out.getvalue().splitlines()[1] == "with loss=nll,mse tracking.uri=http://***@host"


def test_the_overrides_of_a_configuration_are_those_that_were_typed():
    typed = ["loss=nll,mse", "data.root=${oc.env:NOPE}"]
    assert overrides_typed(OmegaConf.create({"hydra": {"overrides": {"task": typed}}})) == typed
    assert overrides_typed(OmegaConf.create({"loss": {}})) == []


SMALL, LARGE = 0.000123456, 1234.5678  # of which four decimals say nothing, or too much


def row(epoch):
    return EpochMetrics(epoch, LARGE, 0.5, 0.5, SMALL, 0.96875, 0.5, 0.1, 1.0)


def test_a_run_shows_six_significant_digits():
    out = io.StringIO()
    with RunProgress(plain_console(out)) as progress:
        progress.on_start(1, 2, 10)
        progress.on_epoch({0: row(1)})
    assert out.getvalue().startswith("epoch 1/2  loss 1234.57  val_loss 0.000123456  val_accuracy 0.96875  ")
    assert progress.note == "loss 1234.57  val accuracy 0.96875"


@pytest.mark.parametrize("terminal", [True, False])
def test_the_numbers_of_a_run_have_six_significant_digits_below_each_other(terminal):
    metrics = Metrics(LARGE, 0.98, None, SMALL, 0.979167)
    objective = Objective("val_loss", SMALL, "minimize")
    result = TrialResult(Status.COMPLETED, objective, metrics, (), 1, 1, 0.1, 1e4, "cpu", 0, "c", "d", 10)
    out = io.StringIO()
    summary(plain_console(out, 80, terminal=terminal), result, "folder")
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue()).splitlines()
    if terminal:
        train, val = (next(line for line in lines if line.startswith(name)) for name in ("train", "val"))
        assert train.index("0.98") == val.index("0.979167")
        assert train.index("1234.57") + 4 == val.index("0.000123456") + 1
    else:
        assert lines[:2] == [
            "train loss 1234.57  accuracy 0.98  likelihood -",
            "val   loss 0.000123456  accuracy 0.979167  likelihood -",
        ]


def test_the_lines_of_a_sweep_show_six_significant_digits():
    out = io.StringIO()
    progress = SweepProgress(plain_console(out), 2, "minimize")
    objective = {"name": "val_loss", "direction": "minimize"}
    for number, value in enumerate([LARGE, SMALL]):
        progress.add(stored(number=number, objective={**objective, "value": value}))
    assert list(progress.bar.notes) == ["0 failed, best val_loss 0.000123456 (trial 1)"]
    progress.summary([], "folder")
    lines = out.getvalue().splitlines()
    assert lines[:2] == ["trial 0  val_loss 1234.57", "trial 1  val_loss 0.000123456"]
    assert lines[2] == "done: 2/2 trials, 0 failed, best val_loss 0.000123456 (trial 1)"


def test_a_sweep_counts_from_its_first_moment():
    progress = SweepProgress(plain_console(io.StringIO(), terminal=True), 12, "maximize")
    assert progress.bar.tasks[0].fields["count"] == "0/12"


def test_the_bar_of_a_final_counts_its_own_seconds():
    progress = SweepProgress(plain_console(io.StringIO(), 80, terminal=True), 1, "maximize")
    progress.add(trial(0, "completed", 0.5))
    (task,) = progress.bar.tasks
    assert task.finished
    progress.final_begins()
    assert (task.description, task.fields["count"], task.finished) == ("final", "", False)


def test_only_a_terminal_shows_what_is_being_done_and_not_for_longer():
    for terminal in (True, False):
        out = io.StringIO()
        with busy(plain_console(out, 80, terminal=terminal), "drawing [b]"):
            assert ("drawing [b] …" in out.getvalue()) == terminal
        assert out.getvalue().endswith("\x1b[2K") if terminal else out.getvalue() == ""
