"""Logging to real SQLite stores, and to servers that are dead, silent or wrong."""

from __future__ import annotations

import http.server
import itertools
import json
import logging
import math
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phalanx import _tracking_content as content
from phalanx import _tracking_guard as guard
from phalanx import tracking
from phalanx.errors import SpecError
from phalanx.result import EpochMetrics, Status
from phalanx.tracking import RunRecord, Tracker, TrackingSpec, tracker

SRC = Path(__file__).parents[1] / "src"
SECRET = "s3cret/p@ss"
VARIABLES = ("MLFLOW_TRACKING_URI", *guard.DEFAULTS)


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory):
    """A database with MLflow's tables, made once: creating them takes seconds."""
    from mlflow import MlflowClient

    file = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{file}").search_experiments()
    return file


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working folder, with no tracking variable set now and none left behind."""
    for name in VARIABLES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    tracking._tracker.cache_clear()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def store(folder, empty_store):
    """A working folder with MLflow's default store; its client."""
    from mlflow import MlflowClient

    shutil.copy(empty_store, folder / "mlflow.db")
    return MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")


def history(epochs, **changes):
    return [
        EpochMetrics(
            **{
                "epoch": e,
                "train_loss": 1 / e,
                "train_accuracy": 0.5,
                "train_likelihood": 0.4,
                "val_loss": 2 / e,
                "val_accuracy": 1 - 1 / e,
                "val_likelihood": 0.3,
                "lr": 0.1,
                "seconds": 2.0,
                **changes,
            }
        )
        for e in range(1, epochs + 1)
    ]


def record(**changes):
    plain = RunRecord(
        name="first",
        params={"optimizer.lr": 0.1, "model.hidden": (50, 20), "trainer.patience": None, "trainer.drop_last": False},
        metrics={"val_accuracy": 0.9, "val_loss": 0.25, "test_accuracy": None},
        history=history(3),
        tags={"phalanx.seed": "7"},
        status=Status.COMPLETED,
        folder=Path("outputs/runs/first"),
        start_ms=1_000_000,
        end_ms=1_009_000,
    )
    return replace(plain, **changes)


def fill(folder, **files):
    """A run folder with a file of every kind."""
    content_of = {
        "result.json": "{}",
        "metrics.csv": "epoch\n1\n",
        "model.safetensors": "weights",
        "train.log": "done",
        "config.yaml": "seed: 0",
        ".hydra/config.yaml": "seed: 0",
        ".hydra/overrides.yaml": "- seed=0",
        "plots/curves.png": "png",
        "plots/notes.txt": "not a plot",
        **files,
    }
    for name, text in content_of.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def uploaded(client, run_id):
    """Artifact path -> file on disk."""
    root = Path(client.get_run(run_id).info.artifact_uri.removeprefix("file://"))
    return {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}


def warnings_of(caplog):
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


# --- the spec -------------------------------------------------------------------------------------------------------


def test_spec_lists_its_faults():
    with pytest.raises(SpecError) as caught:
        TrackingSpec(kind="wandb", keep=-1)
    assert len(caught.value.faults) == 2
    for name in ("", " ", "x" * 501):
        with pytest.raises(SpecError, match=r"tracking\.experiment"):
            TrackingSpec(experiment=name)


def test_spec_shows_no_password():
    spec = TrackingSpec(uri=f"postgresql://me:{SECRET}@host/db")
    assert SECRET not in repr(spec)
    with pytest.raises(SpecError) as caught:
        replace(spec, experiment="")
    assert SECRET not in str(caught.value)


def test_null_tracker_does_nothing_and_needs_no_mlflow(folder):
    script = """
import sys
from pathlib import Path
from phalanx.result import Status
from phalanx.tracking import RunRecord, TrackingSpec, tracker
t = tracker(TrackingSpec(kind="none"))
t.prepare()
assert t.start_sweep("s", {}) is None
assert t.log_run(RunRecord("r", {}, {}, [], {}, Status.COMPLETED, Path("x")), print) is None
t.attach("r", Path("x"))
t.end_sweep(None, "completed", {}, Path("x"))
heavy = {"mlflow", "torch", "sqlalchemy"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", script], env=environment(), check=True, timeout=60)
    assert list(folder.iterdir()) == []


def environment():
    plain = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    return {**plain, "PYTHONPATH": str(SRC)}


def test_one_tracker_per_process_and_place(folder, monkeypatch):
    first = tracker(TrackingSpec())
    assert tracker(TrackingSpec()) is first
    assert tracker(TrackingSpec(experiment="other")) is not first
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///other.db")
    assert tracker(TrackingSpec()) is not first


# --- one run --------------------------------------------------------------------------------------------------------


def test_run_has_params_metrics_curves_tags_and_times(store):
    run_id = tracker(TrackingSpec()).log_run(record())
    run = store.get_run(run_id)
    assert run.data.params == {
        "optimizer.lr": "0.1",
        "model.hidden": "[50,20]",
        "trainer.patience": "null",
        "trainer.drop_last": "false",
    }
    # The plain name holds the number of the saved weights, not the one of the last epoch.
    assert run.data.metrics["val_accuracy"] == 0.9
    assert "test_accuracy" not in run.data.metrics
    curve = store.get_metric_history(run_id, "epoch/val_accuracy")
    assert [(m.step, m.value) for m in curve] == [(1, 0.0), (2, 0.5), (3, 1 - 1 / 3)]
    assert [m.timestamp for m in curve] == [1_002_000, 1_004_000, 1_006_000]
    assert {name for name in run.data.metrics if name.startswith("epoch/")} == {
        f"epoch/{name}" for name in EpochMetrics.__dataclass_fields__ if name != "epoch"
    }
    assert run.data.tags["phalanx.seed"] == "7"
    assert run.data.tags["phalanx.status"] == "completed"
    assert run.data.tags["phalanx.folder"] == "outputs/runs/first"
    assert run.data.tags["mlflow.runName"] == run.info.run_name == "first"
    assert "mlflow.parentRunId" not in run.data.tags
    assert (run.info.status, run.info.start_time, run.info.end_time) == ("FINISHED", 1_000_000, 1_009_000)
    assert store.get_experiment(run.info.experiment_id).name == "phalanx"


def test_note_says_how_it_ended_and_how_to_load(store, folder):
    follow = tracker(TrackingSpec())
    bare = store.get_run(follow.log_run(record(status=Status.PRUNED))).data.tags["mlflow.note.content"]
    assert bare.startswith("**pruned** after 3 epochs")
    assert "kept no weights" in bare
    run_id = follow.log_run(record(folder=fill(folder / "outputs" / "runs" / "first")))
    note = store.get_run(run_id).data.tags["mlflow.note.content"]
    assert "| val_accuracy | 0.9 |" in note
    assert "load_model('outputs/runs/first')" in note
    assert f"--run-id {run_id}" in note


def test_files_are_uploaded_after_on_started(store, folder):
    run = fill(folder / "run")
    seen = []

    def on_started(run_id):
        seen.append((run_id, store.get_run(run_id).info.status, uploaded(store, run_id)))
        (run / "result.json").write_text(json.dumps({"mlflow_run_id": run_id}))

    run_id = tracker(TrackingSpec()).log_run(record(folder=run), on_started)
    assert seen == [(run_id, "RUNNING", {})]
    files = uploaded(store, run_id)
    assert set(files) == {
        *("result.json", "metrics.csv", "model.safetensors", "train.log", "config.yaml"),
        *("hydra/config.yaml", "hydra/overrides.yaml", "plots/curves.png"),
    }
    assert json.loads(files["result.json"].read_text()) == {"mlflow_run_id": run_id}


def test_callers_error_is_the_callers_and_leaves_no_open_run(store):
    def on_started(run_id):
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        tracker(TrackingSpec()).log_run(record(), on_started)
    (run,) = store.search_runs(["1"])
    assert run.info.status == "FINISHED"
    assert run.data.metrics["val_accuracy"] == 0.9


@pytest.mark.parametrize(
    ("status", "interrupted", "state", "tag"),
    [
        (Status.COMPLETED, False, "FINISHED", "completed"),
        (Status.PRUNED, False, "FINISHED", "pruned"),
        (Status.DIVERGED, False, "FAILED", "diverged"),
        (Status.FAILED, False, "FAILED", "failed"),
        (Status.COMPLETED, True, "KILLED", "interrupted"),
    ],
)
def test_status(store, status, interrupted, state, tag):
    run_id = tracker(TrackingSpec()).log_run(record(status=status, interrupted=interrupted, history=[]))
    run = store.get_run(run_id)
    assert (run.info.status, run.data.tags["phalanx.status"]) == (state, tag)


def test_numbers_that_no_chart_can_show_are_left_out(store):
    strange = {"val_loss": math.nan, "train_loss": math.inf, "test_loss": -math.inf, "val_accuracy": 0.1}
    rows = [*history(2), *history(3, val_loss=math.nan, train_loss=math.inf)[2:]]
    run_id = tracker(TrackingSpec()).log_run(record(metrics=strange, history=rows, status=Status.DIVERGED))
    metrics = store.get_run(run_id).data.metrics
    assert {name for name in metrics if "/" not in name} == {"val_accuracy"}
    assert [m.step for m in store.get_metric_history(run_id, "epoch/val_loss")] == [1, 2]
    assert [m.step for m in store.get_metric_history(run_id, "epoch/val_accuracy")] == [1, 2, 3]


# --- MLflow's limits ------------------------------------------------------------------------------------------------


def test_long_odd_and_many_entries_are_stored(store):
    params = {f"p{i}": i for i in range(250)}
    params |= {"long": "x" * 7000, "k" * 300: "long name", "a+b": 1, "a*b": 2, "": "empty", "nul": "a\0b", "e": ""}
    tags = {f"t{i}": "x" * 9000 if i == 0 else str(i) for i in range(120)} | {"größe/été ": "ü\ud800"}
    run_id = tracker(TrackingSpec()).log_run(
        record(params=params, tags=tags, metrics={"a+b": 1, "a|b": 2, **{f"m{i}": i for i in range(1200)}})
    )
    run = store.get_run(run_id)
    assert len(run.data.params) == len(params)
    assert len(run.data.params["long"]) == 6000
    assert run.data.params["long"].endswith("x…")
    assert run.data.params["k" * 249 + "_"] == "long name"
    assert (run.data.params["a_b"], run.data.params["a_b_2"]) == ("1", "2")
    assert len(run.data.tags["t0"]) == 8000
    assert run.data.tags["t119"] == "119"
    assert (run.data.metrics["a_b"], run.data.metrics["a_b_2"], run.data.metrics["m1199"]) == (1.0, 2.0, 1199.0)
    assert run.info.status == "FINISHED"


def test_long_history_is_thinned_and_keeps_both_ends(store):
    run_id = tracker(TrackingSpec()).log_run(record(history=history(3000)))
    steps = [m.step for m in store.get_metric_history(run_id, "epoch/val_loss")]
    assert len(steps) == content.POINTS
    assert (steps[0], steps[-1]) == (1, 3000)
    assert max(b - a for a, b in itertools.pairwise(steps)) <= 7


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.text(max_size=300) | st.text("./a ", max_size=6), st.text(max_size=20), max_size=6))
def test_any_name_becomes_legal_and_stays_distinct(entries):
    from mlflow.utils.validation import _validate_param, _validate_tag

    found = content.legal(entries, 10)
    assert len(found) == len(entries)
    for name, value in found.items():
        _validate_param(name, value)
        _validate_tag(name, value)
        assert len(value) <= 10


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2500), st.lists(st.integers(0, 6000), max_size=150), st.lists(st.integers(0, 8000), max_size=150))
def test_batches_hold_everything_within_the_limits(n_metrics, params, tags):
    def entries(sizes):
        return [SimpleNamespace(key=f"k{i}", value="ü" * size) for i, size in enumerate(sizes)]

    given_entries = {"metrics": entries([1] * n_metrics), "params": entries(params), "tags": entries(tags)}
    found = list(content.batches(**given_entries))
    for kind, limit in (("metrics", 1000), ("params", 100), ("tags", 100)):
        assert [e for batch in found for e in batch[kind]] == given_entries[kind]
        assert all(len(batch[kind]) <= limit for batch in found)
    for batch in found:
        assert 1 <= sum(map(len, batch.values())) <= 1000
        assert len(json.dumps([vars(e) for kind in ("params", "tags") for e in batch[kind]])) < 900_000


# --- sweeps ---------------------------------------------------------------------------------------------------------


def test_sweep_is_a_parent_with_children(store, folder):
    follow = tracker(TrackingSpec())
    parent = follow.start_sweep("first study", {"phalanx.folder": "outputs/sweeps/first"})
    assert store.get_run(parent).info.status == "RUNNING"
    children = [follow.log_run(record(name=f"trial {i}", parent=parent)) for i in range(2)]
    sweep = folder / "sweep"
    sweep.mkdir()
    (sweep / "trials.csv").write_text("number\n")
    (sweep / "best_config.yaml").write_text("seed: 0\n")
    follow.end_sweep(parent, "completed", {"val_accuracy": 0.9}, sweep, {"optimizer.lr": 0.1}, {"phalanx.best": "1"})
    run = store.get_run(parent)
    assert run.info.status == "FINISHED"
    assert run.info.end_time >= run.info.start_time
    assert run.data.metrics == {"val_accuracy": 0.9}
    assert run.data.tags["best.optimizer.lr"] == "0.1"
    assert run.data.tags["phalanx.best"] == "1"
    assert run.data.tags["mlflow.runName"] == run.data.tags["phalanx.sweep"] == "first study"
    assert "| optimizer.lr | 0.1 |" in run.data.tags["mlflow.note.content"]
    assert set(uploaded(store, parent)) == {"trials.csv", "best_config.yaml"}
    found = store.search_runs([run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent}'")
    assert {child.info.run_id for child in found} == set(children)


def test_weights_and_plots_of_a_sweep_join_the_best_trials_later(store, folder):
    follow = tracker(TrackingSpec())
    parent = follow.start_sweep("s", {})
    run = fill(folder / "0")
    (run / "plots" / "curves.png").unlink()
    child = follow.log_run(record(parent=parent, folder=run))
    assert not {"model.safetensors", "plots/curves.png"} & set(uploaded(store, child))
    assert content.NO_WEIGHTS in store.get_run(child).data.tags["mlflow.note.content"]
    follow.attach(child, fill(run))
    assert {"model.safetensors", "plots/curves.png", "result.json"} <= set(uploaded(store, child))
    note = store.get_run(child).data.tags["mlflow.note.content"]
    assert content.NO_WEIGHTS not in note
    assert "load_model('0')" in note
    assert note.startswith("**completed**")
    assert store.get_run(child).info.status == "FINISHED"
    follow.attach(None, run)


@pytest.mark.parametrize(("status", "state"), [("failed", "FAILED"), ("interrupted", "KILLED")])
def test_sweep_that_did_not_end_well_says_so(store, folder, status, state):
    follow = tracker(TrackingSpec())
    parent = follow.start_sweep("s", {})
    follow.end_sweep(parent, status, {}, folder / "sweep")
    assert store.get_run(parent).info.status == state
    assert store.get_run(parent).data.tags["phalanx.status"] == status


def test_resumed_sweep_goes_on_in_the_same_parent(store, folder):
    tags = {"phalanx.folder": "outputs/sweeps/s"}
    follow = tracker(TrackingSpec())
    parent = follow.start_sweep("s", tags)
    done = follow.log_run(record(parent=parent))
    killed = store.create_run("1", tags={"mlflow.parentRunId": parent}).info.run_id
    follow.end_sweep(parent, "interrupted", {"val_accuracy": 0.5}, folder / "sweep", {"optimizer.lr": 0.1})

    tracking._tracker.cache_clear()
    again = tracker(TrackingSpec())
    assert again.start_sweep("s", tags, resume=parent) == parent
    assert store.get_run(parent).info.status == "RUNNING"
    assert store.get_run(killed).info.status == "KILLED"
    assert store.get_run(done).info.status == "FINISHED"
    again.end_sweep(parent, "completed", {"val_accuracy": 0.4}, folder / "sweep", {"optimizer.lr": 0.2})
    run = store.get_run(parent)
    assert (run.info.status, run.data.metrics["val_accuracy"]) == ("FINISHED", 0.4)
    assert run.data.tags["best.optimizer.lr"] == "0.2"


def test_resume_of_another_sweep_starts_a_new_parent(store, caplog):
    tags = {"phalanx.folder": "outputs/sweeps/s"}
    follow = tracker(TrackingSpec())
    parent = follow.start_sweep("s", tags)
    assert follow.start_sweep("s", {"phalanx.folder": "elsewhere"}, resume=parent) != parent
    assert follow.start_sweep("other", tags, resume=parent) != parent
    assert follow.start_sweep("s", tags, resume="0" * 32) not in (None, parent)
    store.delete_run(parent)
    assert follow.start_sweep("s", tags, resume=parent) not in (None, parent)
    assert warnings_of(caplog) == []


# --- where ----------------------------------------------------------------------------------------------------------


def test_default_store_is_mlflows_own(store, folder):
    tracker(TrackingSpec()).log_run(record())
    left = {path.name for path in folder.iterdir()}
    assert left <= {"mlflow.db", "mlflow.db.lock", "mlruns"}
    assert len(store.search_runs(["1"])) == 1


def test_environment_names_the_store_and_the_config_wins(folder, empty_store, monkeypatch):
    for name in ("env.db", "config.db"):
        shutil.copy(empty_store, folder / name)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/env.db")
    tracker(TrackingSpec()).log_run(record())
    tracker(TrackingSpec(uri="sqlite:///config.db")).log_run(record())
    tracker(TrackingSpec(uri="sqlite:///config.db")).log_run(record())
    counts = [count_runs(folder / name) for name in ("env.db", "config.db")]
    assert counts == [1, 2]
    assert not (folder / "mlflow.db").exists()


def count_runs(file):
    with sqlite3.connect(file) as database:
        return database.execute("select count(*) from runs").fetchone()[0]


@pytest.mark.slow
def test_four_processes_open_a_fresh_store_at_once_in_silence(folder):
    script = """
import sys, time
from pathlib import Path
from phalanx.result import Status
from phalanx.tracking import RunRecord, TrackingSpec, tracker
import mlflow
Path(f"ready{sys.argv[1]}").touch()
while len(list(Path().glob("ready*"))) < 4:
    time.sleep(0.01)
t = tracker(TrackingSpec())
t.prepare()
assert t.log_run(RunRecord("r", {"a": 1}, {"b": 1.0}, [], {}, Status.COMPLETED, Path("x")))
"""
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(i)],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for i in range(4)
    ]
    said = [worker.communicate(timeout=180)[0] for worker in workers]
    assert [(worker.returncode, text) for worker, text in zip(workers, said, strict=True)] == [(0, "")] * 4
    assert count_runs("mlflow.db") == 4
    with sqlite3.connect("mlflow.db") as database:
        assert database.execute("select count(*) from experiments where name = 'phalanx'").fetchone() == (1,)


# --- stores that fail -----------------------------------------------------------------------------------------------


@pytest.fixture
def silent_server():
    """Accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def log_three_times(follow):
    """What a sweep of two trials calls; all ids and the seconds that it took."""
    started = time.monotonic()
    follow.prepare()
    parent = follow.start_sweep("s", {})
    ids = [parent, *(follow.log_run(record(parent=parent)) for _ in range(2))]
    follow.end_sweep(parent, "completed", {}, Path("sweep"))
    return ids, time.monotonic() - started


def test_dead_server_costs_one_warning_and_no_time(folder, closed_port, caplog):
    ids, seconds = log_three_times(tracker(TrackingSpec(uri=f"http://127.0.0.1:{closed_port}")))
    assert ids == [None] * 3
    assert seconds < 15
    (warning,) = warnings_of(caplog)
    assert f"no MLflow server answers at http://127.0.0.1:{closed_port}" in warning
    assert "refused" in warning
    assert "run folders" in warning
    assert "\n" not in warning


def test_silent_server_is_waited_for_once_and_briefly(folder, silent_server, caplog, monkeypatch):
    import mlflow  # noqa: F401  (its import is not what is measured)

    ids, seconds = log_three_times(tracker(TrackingSpec(uri=f"http://127.0.0.1:{silent_server}")))
    assert ids == [None] * 3
    assert seconds < guard.PROBE_S + 2
    (warning,) = warnings_of(caplog)
    assert "timed out" in warning


def test_dead_database_host_costs_one_warning_and_no_time(folder, closed_port, caplog):
    started = time.monotonic()
    follow = tracker(TrackingSpec(uri=f"postgresql://me:s3cret@127.0.0.1:{closed_port}/db"))
    assert follow.log_run(record()) is None
    assert follow.log_run(record()) is None
    assert time.monotonic() - started < 15
    (warning,) = warnings_of(caplog)
    assert f"no database answers at 127.0.0.1:{closed_port}" in warning


class _OnlyHealthy(http.server.BaseHTTPRequestHandler):
    """A server that says it is well and answers nothing else."""

    asked: ClassVar[list[str]] = []

    def do_GET(self):
        self.asked.append(self.path)
        if self.path != "/health":
            time.sleep(3)
            return
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"OK")

    do_POST = do_GET

    def log_message(self, *args):
        pass


def test_server_that_hangs_later_is_left_after_the_users_own_timeout(folder, caplog, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _OnlyHealthy)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        ids, seconds = log_three_times(tracker(TrackingSpec(uri=f"http://127.0.0.1:{server.server_port}")))
    finally:
        server.shutdown()
        server.server_close()
    assert ids == [None] * 3
    assert seconds < 3.5
    assert len(warnings_of(caplog)) == 1
    assert len(_OnlyHealthy.asked) == 2  # the probe and one request; no retries, and silence after the failure


def test_defaults_for_http_are_set_only_where_the_user_set_none(folder, closed_port, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "4")
    tracker(TrackingSpec(uri=f"http://127.0.0.1:{closed_port}")).prepare()
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "4"
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "5"


def test_locked_database_is_left_behind_when_patience_ends(store, folder, caplog, monkeypatch):
    follow = tracker(TrackingSpec())
    follow.prepare()
    monkeypatch.setattr(tracking, "CALL_S", 0.5)
    other = sqlite3.connect(folder / "mlflow.db", isolation_level=None)
    other.execute("begin exclusive")
    started = time.monotonic()
    assert follow.log_run(record()) is None
    assert time.monotonic() - started < 3
    other.execute("rollback")
    other.close()
    (warning,) = warnings_of(caplog)
    assert "no answer within 0.5 seconds" in warning


def test_deleted_experiment_is_explained(store, caplog):
    store.delete_experiment(store.create_experiment("phalanx"))
    assert tracker(TrackingSpec()).log_run(record()) is None
    (warning,) = warnings_of(caplog)
    assert "'phalanx' was deleted" in warning
    assert "mlflow experiments restore --experiment-id 1" in warning
    assert "tracking.experiment=" in warning
    assert tracker(TrackingSpec(experiment="other")).log_run(record()) is not None


def test_store_of_another_version_is_explained(folder, empty_store, caplog, capfd):
    shutil.copy(empty_store, folder / "mlflow.db")
    with sqlite3.connect(folder / "mlflow.db") as database:
        database.execute("update alembic_version set version_num = '0123456789ab'")
    assert tracker(TrackingSpec()).log_run(record()) is None
    (warning,) = warnings_of(caplog)
    assert "mlflow db upgrade" in warning
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("gopher://host/x", "unknown scheme"),
        ("./mlruns", "mlflow migrate-filestore"),
        ("sqlite:///no_database.txt", "DatabaseError"),
        ("sqlite:////proc/none/mlflow.db", "/proc/none"),
        (f"http://me:{SECRET}@127.0.0.1:9", "/ as %2F"),
        (f"postgresql://me:{SECRET}@127.0.0.1:9/db", "@ as %40"),
    ],
)
def test_wrong_uri_is_one_warning(folder, caplog, capfd, uri, said):
    (folder / "no_database.txt").write_text("this is not a database " * 100)
    follow = tracker(TrackingSpec(uri=uri))
    assert follow.log_run(record()) is None
    assert follow.log_run(record()) is None
    (warning,) = warnings_of(caplog)
    assert said in warning
    assert len(warning) < 400
    assert capfd.readouterr() == ("", "")


def test_failing_upload_ends_the_run(store, folder, caplog):
    (folder / "mlruns").write_text("a file where a folder should be")
    run_id = tracker(TrackingSpec()).log_run(record(folder=fill(folder / "run")))
    run = store.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["val_accuracy"] == 0.9
    assert len(warnings_of(caplog)) == 1


def test_base_tracker_and_mlflow_tracker_have_the_same_methods():
    methods = {name for name in vars(Tracker) if not name.startswith("_")}
    assert methods == {name for name in vars(tracking.MlflowTracker) if not name.startswith("_")}


# --- secrets --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql://me:{SECRET}@host:5432/db",
        f"a failure at http://me:{SECRET}@host/path, retry",
        f"https://{SECRET.replace('/', '')}@host",
        f"http://host/?user=me&password={SECRET}&x=1",
        f"mysql+pymysql://:{SECRET}@host/db?ssl=1",
    ],
)
def test_redact(text):
    safe = content.redact(text)
    assert "p@ss" not in safe
    assert "s3cret" not in safe
    assert "***" in safe
    assert "host" in safe


@pytest.mark.parametrize("text", ["sqlite:///mlflow.db", "http://host:5000/a", "me@host.org", "a: b@c", "key=1"])
def test_redact_leaves_the_harmless_alone(text):
    assert content.redact(text) == text


def test_redact_keeps_json_whole():
    text = json.dumps({"a": "http://host:80", "b": "x@y", "c": f"http://me:{SECRET}@host"}, separators=(",", ":"))
    assert json.loads(content.redact(text)) == {"a": "http://host:80", "b": "x@y", "c": "http://***@host"}


@pytest.mark.parametrize("scheme", ["http", "postgresql", "mysql", "gopher", "sqlite"])
def test_no_password_in_any_message(folder, closed_port, caplog, capfd, scheme):
    caplog.set_level(logging.DEBUG)
    follow = tracker(TrackingSpec(uri=f"{scheme}://me:{SECRET}@127.0.0.1:{closed_port}/db"))
    assert follow.log_run(record()) is None
    assert len(warnings_of(caplog)) == 1
    spoken = "".join(logging.Formatter().format(r) for r in caplog.records) + "".join(capfd.readouterr())
    assert SECRET not in spoken
    assert "s3cret" not in spoken


def test_no_password_in_the_store(store, folder):
    literal = f"uri: postgresql://me:{SECRET}@host/db\n"
    run = fill(folder / "run", **{".hydra/config.yaml": literal, "train.log": literal, "result.json": "{}"})
    follow = tracker(TrackingSpec())
    run_id = follow.log_run(
        record(folder=run, params={"tracking.uri": literal}, tags={"argv": literal}, name=f"x {literal}")
    )
    parent = follow.start_sweep("s", {"argv": literal})
    follow.end_sweep(parent, "completed", {}, folder / "sweep", {"tracking.uri": literal}, {"x": literal})
    files = uploaded(store, run_id)
    assert files["hydra/config.yaml"].read_text() == "uri: postgresql://***@host/db\n"
    kept = [path.read_bytes() for path in (folder / "mlruns").rglob("*") if path.is_file()]
    assert not any(SECRET.encode() in text for text in [*kept, (folder / "mlflow.db").read_bytes()])
    assert (run / ".hydra" / "config.yaml").read_text() == literal  # a tracker changes no file of the run


# --- threads --------------------------------------------------------------------------------------------------------


def test_within_returns_raises_and_gives_up():
    assert guard.within(5, lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        guard.within(5, lambda: 1 / 0)
    with pytest.raises(guard.Unusable, match=r"0\.05 seconds"):
        guard.within(0.05, lambda: time.sleep(1))


def test_ctrl_c_lets_the_call_finish():
    finished = []

    def call():
        time.sleep(0.4)
        finished.append(True)

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        with pytest.raises(KeyboardInterrupt):
            guard.within(5, call)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert finished == [True]


def test_only_the_trackers_own_threads_are_hushed(folder, capfd):
    import mlflow  # noqa: F401

    guard.hush()
    logger = logging.getLogger("mlflow.store.db.utils")
    logger.info("said by the user's thread")
    guard.within(5, lambda: logger.info("said by the tracker's thread"))
    guard.within(5, lambda: logging.getLogger("mlflow.other").error("an error in the tracker's thread"))
    said = capfd.readouterr().err
    assert "user's thread" in said
    assert "an error" in said
    assert "said by the tracker's" not in said
