"""Runs and sweeps logged to real SQLite stores."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import replace

import pytest
from tracking_records import SECRET, count_runs, environment, fill, record, uploaded, warnings_of

from phalanx import tracking
from phalanx.errors import SpecError
from phalanx.result import EpochMetrics, Status
from phalanx.tracking import TrackingSpec, content, tracker

pytest_plugins = ("tracking_store",)

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

    tracking.store._tracker.cache_clear()
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
