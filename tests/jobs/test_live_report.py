"""The report of a sweep that still runs: how often it is written, and that the one at the end stays."""

from __future__ import annotations

import subprocess

import pytest
from support.run_folders import write_grid

from phalanx.jobs.live_report import LiveReport
from phalanx.report.build import write_report

REFRESH = '<meta http-equiv="refresh" content="30">'


class Process:
    """A process that runs until it is ended."""

    started: list[list[str]]
    running = True

    def __init__(self, command, **options):
        self.started.append(command)

    def poll(self):
        return None if self.running else 0

    def kill(self):
        type(self).running = False

    def wait(self):
        assert not self.running


@pytest.fixture
def process(monkeypatch):
    made = type("Made", (Process,), {"started": [], "running": True})
    monkeypatch.setattr(subprocess, "Popen", made)
    return made


def test_a_report_is_written_at_most_so_often_and_one_at_a_time(tmp_path, process):
    now = 100.0
    live = LiveReport(tmp_path, 30, lambda: now)
    live.update()
    assert process.started[0][1:] == ["-m", "phalanx", "report", str(tmp_path), "--refresh", "30"]
    now = 200.0
    live.update()  # the first is not written yet
    assert len(process.started) == 1
    process.running = False
    live.update()
    now = 229.0
    live.update()
    assert len(process.started) == 2
    now = 230.0
    live.update()
    assert len(process.started) == 3
    process.running = True
    live.stop()
    assert not process.running


def test_there_is_none_unless_it_is_asked_for(tmp_path, process):
    live = LiveReport(tmp_path, None)
    live.update()
    live.stop()
    assert process.started == []


@pytest.mark.slow
def test_the_page_loads_itself_again_until_the_end(tmp_path):
    root = write_grid(tmp_path / "g", {"mse": {0: 0.5, 1: 0.6}, "nll": {0: 0.7, 1: 0.8}})
    live = LiveReport(root, 30)
    live.update()
    assert live.process.wait() == 0
    page = (root / "report.html").read_text()
    assert REFRESH in page
    assert "this page loads itself again every 30 s until it ends" in page
    live.stop()
    assert REFRESH not in write_report(root).read_text()
