"""Hydra's own launchers with `train.py`, a trial a job, as people type it."""

from __future__ import annotations

import csv

import pytest
from support.forked import train
from support.train_command import only, result_of, train_from_the_start

pytest_plugins = ("support.tracking_store",)
pytestmark = pytest.mark.slow

LAUNCHERS = {
    "joblib": ("hydra_joblib_launcher", ["hydra.launcher.n_jobs=2"]),
    "submitit_local": ("hydra_submitit_launcher", ["hydra.launcher.timeout_min=10"]),
    "ray": (
        "hydra_ray_launcher",
        ["hydra.launcher.ray.init.address=local", "+hydra.launcher.ray.init.num_cpus=2",
         "+hydra.launcher.ray.init.include_dashboard=false",
         "+hydra.launcher.ray.remote.max_retries=0"],
    ),
}  # fmt: skip
JOBS = ["-m", "debug=limit", "tracking.kind=mlflow", "tracking.keep=0", "tracking.register=none"]
VARYING = ("train_seconds", "samples_per_second", "mlflow_run_id", "timing")


def numbers_of(folder):
    left_out = {*VARYING, "overrides"}  # the tests give tracking by overrides
    return {key: value for key, value in result_of(folder).items() if key not in left_out}


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_launcher_of_hydra_runs_a_trial_a_job_and_one_that_fails(launcher, store, tmp_path):
    """Results and folders as without it, the table, MLflow's runs, and the status of the job that failed."""
    package, options = LAUNCHERS[launcher]
    pytest.importorskip(f"hydra_plugins.{package}", reason=f"{package.replace('_', '-')} is not installed")
    done = train_from_the_start(
        *JOBS, "optimizer.lr=0.01,-1", f"hydra/launcher={launcher}", *options, cwd=tmp_path, check=2
    )
    assert done.stderr.count("optimizer.lr must be a number above 0, got -1") == 1
    assert "stopped: 2/2 trials, 1 failed" in done.stdout
    sweep = only(tmp_path / "outputs" / "sweeps")
    rows = list(csv.DictReader(open(sweep / "trials.csv")))
    assert [(row["number"], row["status"], row["failure"]) for row in rows] == [
        ("0", "completed", ""), ("1", "failed", "config"),
    ]  # fmt: skip
    runs = {run.data.tags["phalanx.key"]: run.info for run in store.search_runs(["1"])}
    assert {key: run.status for key, run in runs.items()} == {"": "FINISHED", "0": "FINISHED", "1": "FAILED"}
    assert [row["mlflow_run_id"] for row in rows] == [runs["0"].run_id, runs["1"].run_id]
    alone = tmp_path / "alone"
    alone.mkdir()
    train("-m", "debug=limit", "tracking.keep=0", "optimizer.lr=0.01", cwd=alone, check=0)
    assert numbers_of(sweep / "0") == numbers_of(only(alone / "outputs" / "sweeps") / "0")
