"""Training against a real MLflow server that is killed, paused and started again: it notices nothing."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.delay_proxy import DelayProxy
from support.mlflow_servers import Server
from support.places import ROOT
from support.saved_models import N_FEATURES, save_run
from support.tracking_records import PATIENT, by_key, environment, sweep_folder, synced, warnings_of

from phalanx.tracking import TrackingSpec, client, tracker

pytest_plugins = ("support.tracking_store",)
TRAIN = str(ROOT / "train.py")
QUICK = ["data.n_train=64", "data.n_val=32", "data.n_test=32", "model.width=8", "tracking.register=none"]


@pytest.fixture
def server(store, folder):
    running = Server(folder, "server", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--workers", "1")
    with running:
        yield running


def wait_until(condition, what, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.1)


def train(folder, *arguments, **more):
    return subprocess.run(
        [sys.executable, TRAIN, *QUICK, *arguments], cwd=folder, env=environment() | more, capture_output=True,
        text=True, timeout=170,
    )  # fmt: skip


@pytest.mark.slow
def test_a_server_that_is_paused_killed_and_back_gets_everything_once(server, folder, caplog):
    from mlflow import MlflowClient

    root = sweep_folder(folder / "s", n_trials=1, summary=False)
    spec = TrackingSpec(uri=server.url, register="none")
    tracking = tracker(spec, root)
    tracking.start()
    wait_until((root / "0" / "mlflow_run.json").is_file, "the first trial")
    server.signal(signal.SIGSTOP)
    sweep_folder(folder / "s", n_trials=2, summary=False)
    wait_until(lambda: warnings_of(caplog), "a word about the paused server")
    server.signal(signal.SIGCONT)
    wait_until((root / "1" / "mlflow_run.json").is_file, "the second trial")
    server.stop()
    sweep_folder(folder / "s", n_trials=3)
    tracking.wait_until_delivered()
    assert tracking.process is not None  # it has answered: it does not wait for a dead server until it is given up
    tracking.end("completed")
    said = warnings_of(caplog)
    assert len(said) == 2
    assert "MLflow is not reached" in said[0]
    assert f"phalanx sync s --uri {server.url}" in said[1]
    server.start()
    command = [sys.executable, "-m", "phalanx", "sync", "s", "--uri", server.url]
    first, again = (subprocess.run(command, env=environment() | PATIENT, capture_output=True, text=True) for _ in "12")
    assert (first.returncode, again.returncode) == (0, 0), first.stdout + first.stderr + again.stderr
    assert first.stdout == "s: 1 run delivered, 2 already there\n"
    assert again.stdout == "s: 0 runs delivered, 3 already there\n"
    client = MlflowClient(server.url)
    runs = by_key(client)
    assert {key: run.info.status for key, run in runs.items()} == dict.fromkeys(("", "0", "1", "2"), "FINISHED")
    rows = {row["number"]: row["mlflow_run_id"] for row in csv.DictReader(open(root / "trials.csv"))}
    assert rows == {number: runs[number].info.run_id for number in "012"}
    for number in "012":
        history = client.get_metric_history(runs[number].info.run_id, "epoch/val_loss")
        assert [point.step for point in history] == [1, 2, 3]
        assert runs[number].info.run_id == json.loads((root / number / "mlflow_run.json").read_text())["run_id"]


@pytest.mark.slow
def test_a_server_that_is_far_away_gets_everything_in_few_requests(server, folder, monkeypatch, caplog):
    """Each request takes 0.2 s, all of them longer than the patience with a process that says nothing."""
    from mlflow import MlflowClient

    root, said = sweep_folder(folder / "s", n_trials=2), []
    shutil.copy(save_run(folder / "model") / "model.safetensors", root / "1" / "model.safetensors")
    (root / "1" / "input_example.json").write_text(json.dumps({"data": [[0.0] * N_FEATURES]}))
    monkeypatch.setattr(client, "PATIENCE_S", 8.0)
    monkeypatch.setattr(client, "QUIET_S", 1.0)
    monkeypatch.setattr(client, "EXPLAIN_S", 0.0)
    with DelayProxy(server.port, 0.2) as proxy:
        tracking = tracker(TrackingSpec(uri=proxy.url), root, said.append)
        tracking.start()
        tracking.wait_until_delivered()
        n_logging = len(proxy.requests)
        tracking.end("completed")
        paths = [path for _, path in proxy.requests[n_logging:]]
    assert warnings_of(caplog) == []
    assert tracking.model == "models:/phalanx-shapes/1"
    states = {key: run.info.status for key, run in by_key(MlflowClient(server.url)).items()}
    assert states == {"": "FINISHED", "0": "FINISHED", "1": "FINISHED"}
    assert sum("/models/" in path for path in paths) <= 10  # files of the model, a request each
    assert len(paths) < 50
    assert any("registering the model of trial 1" in text for text in said)


def test_a_process_that_gets_on_is_waited_for_and_one_that_hangs_is_not(folder, monkeypatch, caplog):
    (folder / "gets_on.py").write_text(
        "import sqlalchemy, sys, time\n"
        "from multiprocessing.connection import Connection\n"
        "from phalanx.tracking import heartbeat\n"
        "heartbeat.PAUSE_S = 0.1\n"
        "parent = Connection(0)\n"
        "heartbeat.Heartbeat(lambda: parent.send(('alive', ''))).watch()\n"
        "parent.recv(); parent.recv()\n"
        "for _ in range(12):\n"
        "    time.sleep(0.5)\n"
        "    sys.audit('http.client.send', None, b'')\n"
        "parent.send(('delivered', 0))\n"
        "time.sleep(600)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setattr(client, "PATIENCE_S", 4.0)
    monkeypatch.setattr(client, "PROCESS", "gets_on")
    tracking = tracker(TrackingSpec(), folder)
    tracking.start()
    tracking.wait_until_delivered()
    assert (tracking.process is not None, warnings_of(caplog)) == (True, [])
    tracking.end("completed")
    assert "no answer within 4 seconds" in warnings_of(caplog)[0]


def test_the_users_own_limit_of_a_request_makes_the_patience_longer(monkeypatch):
    for text, seconds in (("", 30.0), ("5", 30.0), ("120", 240.0), ("soon", 30.0)):
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", text)
        assert client.patience() == seconds


@pytest.mark.slow
def test_a_sweep_is_not_slowed_by_a_server_that_hangs(server, folder):
    """Training goes on at once; only the end asks the server once more, and its trials are complete."""
    server.signal(signal.SIGSTOP)
    done = train(folder, "-m", "seed=range(4)", "trainer.epochs=2", f"tracking.uri={server.url}")
    assert done.returncode == 0, done.stderr
    assert "4/4 trials, 0 failed" in done.stdout
    assert done.stderr.count("MLflow is not reached") == 1
    assert re.search(rf"phalanx sync outputs/sweeps/\S+ --uri {server.url}", done.stderr)
    (sweep,) = (folder / "outputs" / "sweeps").iterdir()
    assert all((sweep / str(n) / "result.json").is_file() for n in range(4))
    server.signal(signal.SIGCONT)
    done = subprocess.run(
        [sys.executable, "-m", "phalanx", "sync", "outputs", "--uri", server.url], cwd=folder,
        env=environment() | PATIENT, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "4 runs delivered" in done.stdout


@pytest.mark.slow
def test_a_run_whose_process_is_killed_says_so_and_keeps_its_curve(store, folder):
    command = [sys.executable, TRAIN, *QUICK, "trainer.epochs=1000000", "tracking.live=0.5"]
    process = subprocess.Popen(command, cwd=folder, env=environment(), stdout=subprocess.DEVNULL)

    def run():
        found = store.get_experiment_by_name("phalanx")
        return next(iter(store.search_runs([found.experiment_id])), None) if found else None

    def curve():
        return {m.step for m in store.get_metric_history(run().info.run_id, "epoch/val_loss")}

    try:
        wait_until(lambda: run() is not None and len(curve()) > 1, "a live curve")
        assert run().info.status == "RUNNING"
    finally:
        process.kill()
        process.wait()
    wait_until(lambda: run().info.status == "KILLED", "the end of the run")
    (root,) = (folder / "outputs" / "runs").iterdir()
    assert len(curve()) > 1
    assert not (root / "result.json").exists()


@pytest.mark.slow
def test_the_trials_of_a_sweep_have_params_while_they_train_and_after_it_is_killed(store, folder):
    command = [sys.executable, TRAIN, *QUICK, "-m", "model=mlp2,mlp3", "trainer.epochs=1000000", "tracking.live=0.5"]
    process = subprocess.Popen(command, cwd=folder, env=environment(), stdout=subprocess.DEVNULL)

    def trials():
        found = store.get_experiment_by_name("phalanx")
        runs = store.search_runs([found.experiment_id]) if found else []
        return [run for run in runs if run.data.tags["phalanx.kind"] == "trial"]

    def params():
        found = [run.data.params for run in trials()]
        return sorted((str(own.get("override.model")), str(own.get("model.hidden"))) for own in found)

    try:
        wait_until(lambda: len(trials()) == 2 and "None" not in sum(params(), ()), "trials with params", 120)
        assert {run.info.status for run in trials()} == {"RUNNING"}
    finally:
        process.kill()
        process.wait()
    wait_until(lambda: {run.info.status for run in trials()} == {"KILLED"}, "the end of the trials")
    assert params() == [("mlp2", "[8]"), ("mlp3", "[8,8]")]


def test_a_process_that_cannot_start_costs_one_warning(folder, monkeypatch, caplog):
    monkeypatch.setattr(client.sys, "executable", str(folder / "no-python"))
    tracking = tracker(TrackingSpec(), folder)
    tracking.start()
    tracking.wait_until_delivered()
    tracking.end("completed")
    assert len(warnings_of(caplog)) == 1


def test_a_process_that_says_nothing_is_left_behind(folder, monkeypatch, caplog):
    monkeypatch.setattr(client, "PATIENCE_S", 0.3)
    monkeypatch.setattr(client, "PROCESS", "this")  # a module that prints and ends
    tracking = tracker(TrackingSpec(), folder)
    tracking.start()
    tracking.wait_until_delivered()
    tracking.end("completed")
    warning, later = warnings_of(caplog)
    assert "MLflow is not reached" in warning
    assert "phalanx sync" in later
    assert tracking.process is None


def test_a_process_that_prints_and_hangs_is_killed_after_a_while(folder, monkeypatch, caplog):
    (folder / "hangs.py").write_text("import time\nprint('(1, 2)', flush=True)\ntime.sleep(600)\n")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setattr(client, "PATIENCE_S", 0.3)
    monkeypatch.setattr(client, "PROCESS", "hangs")
    tracking = tracker(TrackingSpec(), folder)
    process = tracking.process
    tracking.start()
    tracking.wait_until_delivered()
    tracking.end("completed")
    warning, later = warnings_of(caplog)
    assert "MLflow is not reached: no answer within 0.3 seconds" in warning
    assert "phalanx sync" in later
    assert process.returncode == -signal.SIGKILL


def test_nothing_is_delivered_of_what_was_cancelled(store, folder):
    root = sweep_folder(folder / "s", 1)
    tracker(TrackingSpec(), root).cancel()
    assert not (root / ".mlflow.json").exists()
    assert store.get_experiment_by_name("phalanx") is None
    assert synced(root)[1] == 0


def test_the_process_is_of_a_session_of_its_own(folder):
    tracking = tracker(TrackingSpec(), folder)
    try:
        assert os.getsid(tracking.process.pid) != os.getsid(0)
    finally:
        process = tracking.process
        tracking.cancel()
    assert process.returncode is not None
    assert not Path(f"/proc/{process.pid}/cmdline").exists()


def test_the_process_gives_way_to_the_training_and_leaves_ctrl_c_to_it(store, folder):
    tracking = tracker(TrackingSpec(register="none"), sweep_folder(folder / "s", 1))
    process = tracking.process
    wait_until(lambda: os.getpriority(os.PRIO_PROCESS, process.pid) == 10, "its priority")
    process.send_signal(signal.SIGINT)
    tracking.start()
    tracking.end("completed")
    assert by_key(store)["0"].info.status == "FINISHED"
