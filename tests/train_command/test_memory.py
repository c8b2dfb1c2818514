"""What the process that leads a sweep keeps of a trial that has ended."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from support.places import ROOT
from support.train_command import environment

FROM, TO = 60, 160  # trials between which the objects are counted
COUNT = f"""
import collections, gc, json, runpy, sys
import phalanx.jobs.sweep_log as sweep_log

counts, ended = dict(), sweep_log.SweepLog.trial_ended

def trial_ended(self, number, overrides):
    ended(self, number, overrides)
    if len(self.known) in ({FROM}, {TO}) and len(self.known) not in counts:
        gc.collect()
        counts[len(self.known)] = collections.Counter(str(type(found)) for found in gc.get_objects())

sweep_log.SweepLog.trial_ended = trial_ended
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    print("GREW", json.dumps(counts[{TO}] - counts[{FROM}]))
"""


@pytest.mark.slow
def test_few_objects_of_a_trial_stay(tmp_path):
    """A trial leaves its record, and Optuna's; none of its tensors, configurations or jobs."""
    command = [
        str(ROOT / "train.py"), "-m", "hydra/sweeper=optuna", "hydra/sweeper/sampler=random", "hydra.sweeper.n_jobs=16",
        f"hydra.sweeper.n_trials={TO}", "model.hidden=[4]", "optimizer.lr=tag(log,interval(0.001,1))",
        "debug=limit", "trainer.epochs=1",
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", COUNT, *command], cwd=str(tmp_path), capture_output=True, text=True, timeout=600,
        env=environment(),
    )  # fmt: skip
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("GREW ")] or [done.stdout + done.stderr]
    grew = {name: n / (TO - FROM) for name, n in json.loads(line.removeprefix("GREW ")).items()}
    assert 0.9 <= grew["<class 'phalanx.runs.stored_run.StoredRun'>"] <= 1.1  # the counting works
    assert sum(grew.values()) < 40, grew
    large = ("Tensor", "Parameter", "DictConfig", "AnyNode", "jobs.job", "optuna.trial._trial.Trial", "JobReturn")
    assert {name: n for name, n in grew.items() if any(part in name for part in large) and n > 0.1} == {}
