"""Drivers that share a study on a real PostgreSQL, one of them killed and the database restarted."""

from __future__ import annotations

import csv
import subprocess
import sys

import pytest
from support.drivers import DEADLINE_S, STARTUP, Fleet, check, judged_by_others, wait_until
from support.forked import start, train
from support.mlflow_servers import Server
from support.postgres import Cluster, programs
from support.tracking_records import PATIENT, by_key
from support.train_command import environment

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster():
    """A running server; skipped where PostgreSQL is not installed."""
    found = programs()
    if found is None:
        pytest.skip("PostgreSQL is not installed; on Debian: apt-get install postgresql")
    made = Cluster(found)
    try:
        yield made.start()
    finally:
        made.stop()


def test_four_drivers_one_killed_and_the_database_restarted(cluster, tmp_path):
    """Exactly the total, none twice, and pruning across all."""
    fleet = Fleet(cluster, "four", tmp_path, "tracking=none", "tracking.keep=1", "hydra.sweeper.n_trials=40")
    drivers = fleet.launch(4)
    wait_until(lambda: fleet.n_finished() >= 6 and fleet.n_told(drivers[1]), "the first trials")
    fleet.kill(drivers[1])
    wait_until(lambda: fleet.n_finished() >= 16, "more trials")
    cluster.restart("immediate")
    fleet.join()
    assert [driver.exitcode for driver in drivers] == [0, -9, 0, 0]
    trials = check(fleet, 40, keep=1)
    assert len(fleet.held) == 1
    assert len({trial.pid for trial in trials}) == 4
    assert judged_by_others(trials, STARTUP)
    assert "storage does not answer" in fleet.said() or "until the study's storage answers" in fleet.said()
    before = {path: path.read_bytes() for path in fleet.sweep.glob("*/result.json")}
    (late,) = fleet.launch()
    late.join()
    assert late.exitcode == 0
    assert "done: 40/40 trials" in fleet.outs[-1].read_text()
    assert {path: path.read_bytes() for path in fleet.sweep.glob("*/result.json")} == before


def test_two_drivers_deliver_one_sweep_to_a_server_on_a_database_that_restarts(cluster, tmp_path, monkeypatch):
    """One of the two delivers for both; each run is there once, with its curve, and each trial knows its run.

    What a slow server had not taken when the drivers ended is replayed; it would show what is there twice.
    """
    from mlflow import MlflowClient

    cluster.create("mlflow")
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", cluster.url("mlflow"))  # on the command line `ps` would show it
    with Server(tmp_path, "server", "--workers", "1") as server:
        options = [f"tracking.uri={server.url}", "tracking.keep=0", "tracking.register=none"]
        fleet = Fleet(cluster, "two", tmp_path, *options, "hydra.sweeper.n_trials=16")
        fleet.launch(2)
        wait_until(lambda: cluster.ask("SELECT count(*) FROM runs", "mlflow")[0][0] >= 4, "the first runs")
        cluster.restart("fast")
        fleet.join()
        assert len({trial.pid for trial in check(fleet, 16, keep=0)}) == 2
        replay = [sys.executable, "-m", "phalanx", "sync", str(fleet.sweep), "--uri", server.url]
        done = subprocess.run(replay, env=environment() | PATIENT, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        client = MlflowClient(server.url)
        runs = by_key(client)
        curves = {
            key: client.get_metric_history(run.info.run_id, "epoch/val_accuracy") for key, run in runs.items() if key
        }
    assert {key: run.info.status for key, run in runs.items()} == dict.fromkeys(["", *map(str, range(16))], "FINISHED")
    rows = list(csv.DictReader(open(fleet.sweep / "trials.csv")))
    assert {row["number"]: row["mlflow_run_id"] for row in rows} == {k: r.info.run_id for k, r in runs.items() if k}
    for key, curve in curves.items():
        logged = list(csv.DictReader(open(fleet.sweep / key / "metrics.csv")))
        assert [(point.step, point.value) for point in curve] == [
            (int(row["epoch"]), pytest.approx(float(row["val_accuracy"]))) for row in logged
        ]
        assert runs[key].data.metrics["val_accuracy"] == pytest.approx(float(rows[int(key)]["val_accuracy"]))


def test_drivers_in_folders_of_their_own_share_a_study(cluster, tmp_path):
    """Two machines with no folder in common: each keeps the trials that it evaluated, equal points cost neither."""
    url, folders = cluster.create("apart"), [tmp_path / name for name in ("a", "b", "late")]
    command = [
        "-m", "hydra/sweeper=optuna", "hydra.sweeper.storage=${oc.env:STUDY_URL}", "hydra.sweeper.study_name=s",
        "debug=limit", "tracking.keep=0", "model=choice(mlp2,mlp3)", "loss=choice(mse,nll)", "hydra.sweeper.n_trials=12",
    ]  # fmt: skip
    for folder in folders:
        folder.mkdir()
    drivers = [start(*command, cwd=folder, out=folder / "out", STUDY_URL=url) for folder in folders[:2]]
    for driver, folder in zip(drivers, folders, strict=False):
        driver.join(timeout=DEADLINE_S)
        assert driver.exitcode == 0, (folder / "out").read_text()
    late = train(*command, cwd=folders[2], check=0, STUDY_URL=url)
    assert "12 of the study's 12 trials have no folder here" in late.stdout
    assert cluster.ask("SELECT number, state::text FROM trials ORDER BY number", "apart") == [
        (number, "COMPLETE") for number in range(12)
    ]
    here = [{path.parent.name for path in folder.glob("outputs/sweeps/s/*/result.json")} for folder in folders]
    assert here[0] & here[1] == here[2] == set()
    assert here[0] | here[1]
    results = [(folder / "outputs/sweeps/s/optimization_results.yaml").read_text() for folder in folders]
    assert results[0] == results[1] == results[2]


def test_one_driver_plays_the_final(tmp_path):
    command = [
        "-m", "hydra/sweeper=optuna", "hydra.sweeper.study_name=s", "debug=limit", "hydra.sweeper.n_trials=4",
        "optimizer.lr=interval(0.001,0.1)", "tracking.keep=0", "trainer.epochs=100", "hydra.sweeper.final={top: 2, seeds: 2}",
    ]  # fmt: skip
    outs = [tmp_path / "one", tmp_path / "two"]
    drivers = [start(*command, cwd=tmp_path, out=out) for out in outs]
    for driver, out in zip(drivers, outs, strict=True):
        driver.join(timeout=DEADLINE_S)
        assert driver.exitcode == 0, out.read_text()
    said = [out.read_text() for out in outs]
    assert "".join(said).count("final: trials ") == 1
    assert all("final on 2 fresh seeds" in text for text in said)
