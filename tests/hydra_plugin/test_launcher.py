"""The cohort launcher: Hydra's own suite for launchers, and what training together adds to it."""

from __future__ import annotations

import csv
import inspect
import signal
import subprocess
import sys
import time

import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.test_utils.launcher_common_tests import BatchedSweeperTestSuite, IntegrationTestSuite, LauncherTestSuite
from support.forked import train
from support.sweeps import steady, sweep_in
from support.train_command import QUICK, TRAIN, environment, result_of

Plugins.instance()  # registers every plugin before Hydra's fixture takes note of what there is


@pytest.mark.parametrize(("launcher_name", "overrides"), [("cohort", [])])
class TestCohortLauncher(LauncherTestSuite):
    """Hydra's promises to a task function that is not ours."""


@pytest.mark.parametrize(
    ("launcher_name", "overrides"), [("cohort", ["hydra/sweeper=basic", "hydra.sweeper.max_batch_size=2"])]
)
class TestCohortLauncherInBatches(BatchedSweeperTestSuite):
    """The same in batches."""


@pytest.mark.slow
@pytest.mark.parametrize(("task_launcher_cfg", "extra_flags"), [({}, ["-m", "hydra/launcher=cohort"])])
class TestCohortLauncherIntegration(IntegrationTestSuite):
    """The same in processes of their own."""


def test_the_basic_sweeper_still_looks_at_a_batch_before_it_is_launched():
    """The methods that grid.py replaces or calls, and what it finds there."""
    assert "self.validate_batch_is_legal(batch)" in inspect.getsource(BasicSweeper.sweep)
    assert set(inspect.signature(BasicSweeper).parameters) == {"max_batch_size", "params"}
    assert "params_conf = self._parse_config()" in inspect.getsource(BasicSweeper.sweep)
    (jobs,) = BasicSweeper.split_arguments(OverridesParser.create().parse_overrides(["a=1,2", "b=3"]), None)
    assert jobs == [["a=1", "b=3"], ["a=2", "b=3"]]


GRID = ["-m", *QUICK, "trainer.epochs=3", "loss=nll,mse", "optimizer=sgd,adam", "seed=0,1"]


@pytest.mark.slow
def test_a_grid_trained_together_leaves_what_it_leaves_one_by_one(tmp_path):
    folders = {}
    for launcher in ("cohort", "basic"):
        folders[launcher] = tmp_path / launcher
        folders[launcher].mkdir()
        train(*GRID, f"hydra/launcher={launcher}", cwd=folders[launcher], check=0)
    one, two = (sweep_in(folder) for folder in folders.values())
    names = {p.relative_to(one) for p in one.rglob("*") if "plots" not in p.parts and p.name != "model.safetensors"}
    assert names == {
        p.relative_to(two) for p in two.rglob("*") if "plots" not in p.parts and p.name != "model.safetensors"
    }
    for number in map(str, range(8)):
        a, b = steady(result_of(one / number)), steady(result_of(two / number))
        for metric, value in a.pop("metrics").items():
            assert value == pytest.approx(b["metrics"][metric], rel=1e-4, abs=1e-5), metric
        assert a.pop("objective")["value"] == pytest.approx(b.pop("objective")["value"], abs=0.021)
        for key in ("metrics", "objectives"):
            a.pop(key, None), b.pop(key, None)
        assert a == b
        for name in ("config.yaml", ".hydra/config.yaml", ".hydra/overrides.yaml"):
            assert (one / number / name).read_text() == (two / number / name).read_text()
    log = (one / "0" / "train.log").read_text()
    assert "trained in a cohort of 4; 8 jobs in 2 cohorts of 4, 4; they differ in optimizer.name" in log


@pytest.mark.slow
def test_a_job_whose_configuration_is_wrong_fails_alone(tmp_path):
    done = train("-m", *QUICK, "optimizer.lr=0.01,-1,0.02", cwd=tmp_path, check=2)
    assert "optimizer.lr must be a number above 0, got -1" in done.stderr
    rows = list(csv.DictReader(open(sweep_in(tmp_path) / "trials.csv")))
    assert [(row["status"], row["failure"]) for row in rows] == [
        ("completed", ""), ("failed", "config"), ("completed", ""),
    ]  # fmt: skip


@pytest.mark.slow
def test_of_a_key_that_is_given_twice_the_last_is_swept(tmp_path):
    given = ["hydra.sweeper.params={seed: '4,5,6'}", "seed=0,1", "++seed=2,3", "optimizer.lr=interval(0.1,inf)",
             "~model.dropout"]  # fmt: skip
    train("-m", *QUICK, *given, "optimizer.lr=0.01", cwd=tmp_path, check=0)
    rows = list(csv.DictReader(open(sweep_in(tmp_path) / "trials.csv")))
    assert [(row["seed"], row["optimizer.lr"]) for row in rows] == [("2", "0.01"), ("3", "0.01")]


@pytest.mark.slow
def test_a_trial_that_diverges_leaves_its_neighbours_alone(tmp_path):
    train("-m", *QUICK, "optimizer.lr=0.01,1e30,0.02", cwd=tmp_path, check=0)
    rows = list(csv.DictReader(open(sweep_in(tmp_path) / "trials.csv")))
    assert [row["status"] for row in rows] == ["completed", "diverged", "completed"]
    train("-m", *QUICK, "optimizer.lr=0.01,0.02", "hydra.sweep.dir=alone", cwd=tmp_path, check=0)
    alone = list(csv.DictReader(open(tmp_path / "alone" / "trials.csv")))
    assert [row["val_loss"][:7] for row in alone] == [rows[0]["val_loss"][:7], rows[2]["val_loss"][:7]]


@pytest.mark.slow
def test_an_interrupted_cohort_writes_down_how_far_each_trial_was(tmp_path):
    process = subprocess.Popen(
        [sys.executable, TRAIN, "-m", *QUICK, "trainer.epochs=100000", "seed=0,1,2", "tracking.live=0.1"], cwd=tmp_path,
        text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(PYTHONUNBUFFERED="1"),
    )  # fmt: skip
    while process.poll() is None and not list(tmp_path.glob("outputs/sweeps/*/2/metrics.csv")):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" not in err
    rows = list(csv.DictReader(open(sweep_in(tmp_path) / "trials.csv")))
    assert [(row["status"], row["failure"]) for row in rows] == [("failed", "interrupted")] * 3
    assert all("interrupted after epoch" in row["error"] for row in rows)
