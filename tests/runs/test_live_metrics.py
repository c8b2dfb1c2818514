"""Curves written while a trial trains: only of one that trains for long, and only by its own attempt."""

from __future__ import annotations

import json

import pytest
from support.tracking_records import history

from phalanx.core.callbacks import Callback
from phalanx.runs.fencing import FencingToken
from phalanx.runs.layout import RunPaths
from phalanx.runs.live_metrics import LiveMetrics
from phalanx.runs.metrics_csv import metrics_csv, read_metrics


class Prunes(Callback):
    def on_epoch(self, rows):
        return list(rows)


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("phalanx.runs.live_metrics.time.monotonic", lambda: now[0])
    return now


def test_nothing_is_written_before_the_time_and_everything_passes_on(tmp_path, clock):
    paths, rows = RunPaths(tmp_path), history(3)
    live = LiveMetrics(paths, 5.0, None, Prunes())
    assert live.on_epoch({0: rows[0]}) == [0]
    assert not paths.metrics.exists()
    clock[0] += 5
    live.on_epoch({0: rows[1]})
    assert paths.metrics.read_text() == metrics_csv(rows[:2])
    live.on_epoch({0: rows[2]})  # the next only after as many seconds again
    assert len(read_metrics(paths.metrics)) == 2
    clock[0] += 5
    live.on_epoch({0: rows[2]})
    assert len(read_metrics(paths.metrics)) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.csv"]


def test_seeds_are_written_as_their_mean_and_null_writes_nothing(tmp_path, clock):
    paths = RunPaths(tmp_path)
    none, live = LiveMetrics(paths, None, None, Callback()), LiveMetrics(paths, 1.0, None, Callback())
    clock[0] += 9
    none.on_epoch({0: history(1)[0]})
    assert not paths.metrics.exists()
    live.on_epoch({0: history(1, val_loss=1.0)[0], 1: history(1, val_loss=3.0)[0]})
    assert [row.val_loss for row in read_metrics(paths.metrics)] == [2.0]


def test_an_attempt_that_was_replaced_writes_nothing_more(tmp_path, clock):
    paths = RunPaths(tmp_path)
    paths.attempt.write_text(json.dumps({"attempt": 1}))
    live = LiveMetrics(paths, 1.0, FencingToken(paths), Callback())
    paths.attempt.write_text(json.dumps({"attempt": 2}))
    clock[0] += 9
    live.on_epoch({0: history(1)[0]})
    assert not paths.metrics.exists()
