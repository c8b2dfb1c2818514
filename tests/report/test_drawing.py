"""Figures that processes of their own draw: the same bytes, without torch, and drawn here where a process is lost."""

from __future__ import annotations

import logging
import operator
import os
import re
import signal
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from support.run_folders import write_grid
from support.train_command import environment
from support.waiting import until

from phalanx.core.metrics import METRICS, MetricInfo
from phalanx.data import load_dataset
from phalanx.data.digits import Digits
from phalanx.report import drawing
from phalanx.report.build import write_report
from phalanx.report.drawing import Drawn
from phalanx.report.pages import sweep
from phalanx.report.run_figures import draw
from phalanx.report.run_figures.draw import draw_run
from phalanx.training.loop import train_trial
from phalanx.training.spec import TrainerSpec, TrialSpec

NAME = "phalanx.report.drawing"
LOADED = "[__import__(name) and 0 for name in {}] and sorted(__import__('sys').modules)"


@pytest.fixture
def processes(caplog):
    """Two processes that draw, whatever cores there are. Nothing is drawn again by this one unless a test says so."""
    caplog.set_level(logging.DEBUG, NAME)
    drawing._STATE.processes = found = drawing.DrawingProcesses(2)
    yield found
    drawing.stop()
    assert not psutil.pid_exists(found.popen.pid)


def said(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == NAME]


def plain(page: Path) -> str:
    """A page without the random names that matplotlib gives to parts of a figure."""
    names: dict[str, str] = {}
    random = r"(?:(?<=_)|(?<=[\"#][mph])|(?<=image))[0-9a-f]{10}"
    return re.sub(random, lambda found: names.setdefault(found[0], f"name{len(names)}"), page.read_text())


def test_files_and_pages_are_the_same_and_torch_is_not_imported(tmp_path, processes, monkeypatch, caplog):
    spec = TrialSpec(data=Digits(n_train=200), trainer=TrainerSpec(epochs=1))
    dataset = load_dataset(spec.data)
    result = train_trial(spec, dataset)
    monkeypatch.setitem(METRICS, "mine", MetricInfo("mine", title="a metric that no other process knows"))
    row = replace(result.history[0], further={"train_mine": 0.4, "val_mine": 0.5})
    run = dataset, spec, replace(result, history=(row,))
    root = write_grid(tmp_path / "g", {"mse": {0: 0.5, 1: 0.6}, "nll": {0: 0.7, 1: 0.8}})

    files = draw_run(tmp_path / "there", *run)
    page = write_report(root, tmp_path / "there.html")
    figures = {f.__module__ for m in (draw, sweep) for name, f in vars(m).items() if name.startswith("draw_")}
    modules = Drawn(eval, LOADED.format(sorted(figures - {draw.__name__}))).result()
    assert figures - {draw.__name__} < set(modules)
    assert {"torch", "omegaconf", "pandas", "scipy"} & set(modules) == set()
    assert said(caplog) == []

    drawing.stop()
    assert len(draw_run(tmp_path / "here", *run)) == len(files) == 5
    for file in files:
        assert file.read_bytes() == (tmp_path / "here" / file.name).read_bytes(), file.name
    assert plain(page) == plain(write_report(root, tmp_path / "here.html"))


def test_what_a_process_says_is_said_here(processes, caplog):
    with pytest.warns(UserWarning, match="no glyph"):
        Drawn(warnings.warn, "no glyph").result()
    Drawn(eval, "__import__('logging').getLogger('matplotlib').warning('no %s', 'font')").result()
    assert [(r.name, r.levelname, r.getMessage()) for r in caplog.records] == [("matplotlib", "WARNING", "no font")]


def test_an_error_is_raised_here_and_the_processes_go_on(processes, caplog):
    with pytest.raises(ZeroDivisionError):
        Drawn(operator.truediv, 1, 0).result()
    with pytest.raises(TypeError, match="missing 1 required"):
        Drawn(lambda one: one).result()  # which cannot be pickled
    assert said(caplog) == ["a figure is drawn again, by this process"] * 2
    assert Drawn(os.getpid).result() != os.getpid()


@pytest.mark.parametrize("with_what", [signal.SIGKILL, signal.SIGSTOP])
def test_where_a_process_is_lost_this_one_draws(with_what, processes, caplog, monkeypatch):
    monkeypatch.setattr(drawing, "PATIENCE_S", 0.1)
    os.killpg(processes.popen.pid, with_what)
    assert [figure.result() for figure in [Drawn(os.getpid) for _ in range(5)]] == [os.getpid()] * 5
    assert said(caplog) == ["the processes that draw figures have ended; this one draws what is missing"]
    assert processes.popen.returncode == -signal.SIGKILL


def test_there_are_none_on_one_core_or_where_none_can_be_spawned(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    drawing.start()
    assert drawing._STATE.processes is None
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    drawing.start()
    assert drawing._STATE.processes is None
    assert Drawn(os.getpid).result() == os.getpid()


KILLED = """
import os, signal
from phalanx.report.drawing import DrawingProcesses
processes = DrawingProcesses(2)
print(processes.popen.pid, processes.submit(os.getpid).result(), processes.submit(os.getpid).result(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_they_end_with_a_process_that_is_killed():
    done = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True, env=environment())
    assert done.returncode == -signal.SIGKILL, done.stderr
    numbers = {int(number) for number in done.stdout.split()}
    until(lambda: not any(psutil.pid_exists(n) and psutil.Process(n).status() != "zombie" for n in numbers))
