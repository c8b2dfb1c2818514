"""Folders of runs and sweeps delivered to real SQLite stores."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import replace

import pytest
from support.tracking_records import (
    SECRET,
    by_key,
    count_runs,
    environment,
    history,
    run_folder,
    sweep_folder,
    synced,
    uploaded,
)  # fmt: skip

from phalanx.core.errors import SpecError
from phalanx.core.result import EpochMetrics
from phalanx.runs.provenance import write_diff
from phalanx.tracking import TrackingSpec, artifacts, tracker
from phalanx.tracking.connection import write_sqlite_ahead
from phalanx.tracking.limits import is_logged
from phalanx.tracking.notes import NO_WEIGHTS
from phalanx.tracking.sync import FolderSync

pytest_plugins = ("support.tracking_store",)

# --- the spec -------------------------------------------------------------------------------------------------------


def test_spec_lists_its_faults():
    with pytest.raises(SpecError) as caught:
        TrackingSpec(kind="wandb", keep=-1, live=0.0, register="best")
    assert len(caught.value.faults) == 4
    for name in ("", " ", "x" * 501):
        with pytest.raises(SpecError, match=r"tracking\.experiment"):
            TrackingSpec(experiment=name)


def test_spec_shows_no_password():
    spec = TrackingSpec(uri=f"postgresql://me:{SECRET}@host/db")
    assert SECRET not in repr(spec)
    with pytest.raises(SpecError) as caught:
        replace(spec, experiment="")
    assert SECRET not in str(caught.value)


def test_tracking_none_starts_no_process_and_needs_no_mlflow(folder):
    script = """
import sys
from pathlib import Path
started = []
sys.addaudithook(lambda event, args: started.append(args) if event == "subprocess.Popen" else None)
from phalanx.tracking import TrackingSpec, tracker
t = tracker(TrackingSpec(kind="none"), Path("x"))
t.start(); t.wait_until_delivered(); t.end("completed"); t.cancel()
assert not started, started
assert t.run_id is None and t.model is None
heavy = {"mlflow", "torch", "sqlalchemy"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", script], env=environment(), check=True, timeout=60)
    assert list(folder.iterdir()) == []


def test_the_delivering_process_does_without_torch():
    script = "import sys, phalanx.tracking.process; assert not {'torch', 'mlflow'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], env=environment(), check=True, timeout=60)


# --- one run --------------------------------------------------------------------------------------------------------


def test_run_has_params_metrics_curves_tags_inputs_files_and_times(store, folder):
    root = run_folder(folder / "outputs" / "runs" / "first", weights=True)
    sync, left = synced(root)
    assert left == 0
    run = store.get_run(sync.store.logged[""].run_id)
    assert run.data.params == {
        "data.name": "digits", "data.n_val": "288", "model.name": "mlp", "model.hidden": "[50,20]",
        "model.dropout": "0.0", "loss.name": "mse", "loss.output": "logits", "optimizer.name": "sgd",
        "optimizer.lr": "1e-05", "trainer.epochs": "3", "trainer.patience": "null", "trainer.drop_last": "false",
        "seed": "7", "objective": "val_accuracy", "override.loss": "mse",
    }  # fmt: skip
    # The plain name holds the number of the saved weights, not the one of the last epoch.
    assert run.data.metrics["val_accuracy"] == 0.9
    assert run.data.metrics["n_parameters"] == 120
    assert "test_accuracy" not in run.data.metrics
    curve = store.get_metric_history(run.info.run_id, "epoch/val_accuracy")
    assert [(m.step, m.value) for m in curve] == [(1, 0.0), (2, 0.5), (3, 1 - 1 / 3)]
    assert {name for name in run.data.metrics if name.startswith("epoch/")} == {
        f"epoch/{name}" for name in EpochMetrics.__dataclass_fields__ if name not in ("epoch", "further")
    }
    wanted = {
        "phalanx.kind": "run", "phalanx.seed": "7", "phalanx.status": "completed", "phalanx.config_digest": "c0ffee",
        "phalanx.data_digest": "da7a", "phalanx.git_commit": "abc", "phalanx.git_dirty": "False",
        "phalanx.folder": "outputs/runs/first", "mlflow.source.name": "train.py", "mlflow.source.git.commit": "abc",
        "mlflow.runName": "first",
    }  # fmt: skip
    assert {key: run.data.tags.get(key) for key in wanted} == wanted
    assert "mlflow.parentRunId" not in run.data.tags
    end_ms = int((root / "result.json").stat().st_mtime * 1000)
    assert (run.info.status, run.info.start_time, run.info.end_time) == ("FINISHED", end_ms - 6000, end_ms)
    inputs = {i.tags[0].value: i.dataset for i in run.inputs.dataset_inputs}
    assert {context: (d.name, json.loads(d.profile)["num_rows"]) for context, d in inputs.items()} == {
        "training": ("digits", 1149), "validation": ("digits", 288), "testing": ("digits", 360),
    }  # fmt: skip
    assert {d.digest for d in inputs.values()} == {"da7a-train", "da7a-val", "da7a-test"}
    files = uploaded(store, run.info.run_id)
    assert set(files) == {
        *("result.json", "metrics.csv", "model.safetensors", "train.log", "config.yaml"),
        *("hydra/overrides.yaml", "plots/curves.png"),
    }
    assert files["result.json"].read_bytes() == (root / "result.json").read_bytes()
    assert json.loads((root / "mlflow_run.json").read_text()) == {"run_id": run.info.run_id}
    assert files["model.safetensors"].samefile(root / "model.safetensors")  # no second copy of the bytes
    assert {file.path for file in store.list_artifacts(run.info.run_id)} == {name.partition("/")[0] for name in files}


def test_note_says_how_it_ended_and_how_to_load(store, folder):
    bare, _ = synced(run_folder(folder / "a", status="pruned"))
    note = store.get_run(bare.store.logged[""].run_id).data.tags["mlflow.note.content"]
    assert note.startswith("**pruned** after 3 epochs")
    assert NO_WEIGHTS in note
    kept, _ = synced(run_folder(folder / "outputs" / "runs" / "first", weights=True))
    run_id = kept.store.logged[""].run_id
    note = store.get_run(run_id).data.tags["mlflow.note.content"]
    assert "| val_accuracy | 0.9 |" in note
    assert "load_model('outputs/runs/first')" in note
    assert f"--run-id {run_id}" in note
    assert f"from_run={run_id}" in note


@pytest.mark.parametrize(
    ("result", "state", "tag"),
    [
        ({"status": "completed"}, "FINISHED", "completed"),
        ({"status": "pruned"}, "FINISHED", "pruned"),
        ({"status": "diverged", "failure": "diverged", "error": "the loss became NaN"}, "FAILED", "diverged"),
        ({"status": "failed", "failure": "crash"}, "FAILED", "failed"),
        ({"status": "failed", "failure": "interrupted"}, "KILLED", "interrupted"),
    ],
)
def test_status(store, folder, result, state, tag):
    sync, _ = synced(run_folder(folder / "run", **result))
    run = store.get_run(sync.store.logged[""].run_id)
    assert (run.info.status, run.data.tags["phalanx.status"]) == (state, tag)
    assert run.data.tags.get("phalanx.error") == result.get("error")


# --- sweeps ---------------------------------------------------------------------------------------------------------


def test_sweep_is_a_parent_with_children(store, folder):
    root = sweep_folder(folder / "outputs" / "sweeps" / "first")
    assert synced(root)[1] == 0
    runs = by_key(store)
    assert set(runs) == {"", "0", "1", "2"}
    parent = runs[""]
    assert (parent.info.status, parent.data.metrics) == ("FINISHED", {"val_accuracy": 0.9, "best/val_accuracy": 0.9})
    assert parent.data.tags["best.loss"] == "mse"
    assert parent.data.tags["mlflow.runName"] == parent.data.tags["phalanx.study"] == "first"
    assert "| loss | mse |" in parent.data.tags["mlflow.note.content"]
    assert set(uploaded(store, parent.info.run_id)) == {"trials.csv", "best_config.yaml", "report.html"}
    for number in "012":
        run = runs[number]
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert (run.data.tags["phalanx.kind"], run.data.tags["phalanx.trial"]) == ("trial", number)
        kept = {"model.safetensors", "plots/curves.png"} & set(uploaded(store, run.info.run_id))
        assert len(kept) == (2 if number == "2" else 0)


def test_every_seed_of_a_trial_is_a_run_below_it(store, folder):
    root = sweep_folder(folder / "s", n_trials=1)
    rows = [
        {"seed": seed, "status": "completed", "value": seed / 10, "metrics": {"val_accuracy": seed / 10},
         "best_epoch": seed, "epochs": 2, "error": None}
        for seed in (7, 8)
    ]  # fmt: skip
    run_folder(root / "0", repeats=rows)
    run_folder(root / "final" / "0", repeats=[{**rows[0], "split_seed": 4, "data_digest": "of split 4"}])
    run_folder(root / "final" / "0" / "split-4")  # is what the seed below the point shows
    lines = [f"{seed},{line}" for seed in (7, 8) for line in (root / "0" / "metrics.csv").read_text().split("\n")[1:3]]
    head = (root / "0" / "metrics.csv").read_text().split("\n")[0]
    (root / "0" / "seeds.csv").write_text("\n".join([f"seed,{head}", *lines]) + "\n")
    synced(root)
    runs = by_key(store)
    assert set(runs) == {"", "0", "0/seed 7", "0/seed 8", "final/0", "final/0/seed 7"}
    trial, seed = runs["0"], runs["0/seed 8"]
    assert trial.data.tags["phalanx.seeds"] == "2"
    assert seed.data.tags["mlflow.parentRunId"] == trial.info.run_id
    assert (seed.info.run_name, seed.data.tags["phalanx.kind"], seed.data.params["seed"]) == (
        "trial 0, seed 8",
        "seed",
        "8",
    )
    assert (seed.data.metrics["val_accuracy"], seed.data.metrics["best_epoch"]) == (0.8, 8)
    assert [m.step for m in store.get_metric_history(seed.info.run_id, "epoch/val_loss")] == [1, 2]
    assert runs["final/0"].info.run_name == "final 0"
    on_split = runs["final/0/seed 7"].data
    assert (on_split.params["data.split_seed"], on_split.tags["phalanx.data_digest"]) == ("4", "of split 4")
    assert on_split.tags["phalanx.split_seed"] == "4"
    assert runs["final/0/seed 7"].data.tags["mlflow.parentRunId"] == runs["final/0"].info.run_id


def test_a_grid_over_folds_has_its_predictions_and_tags_of_fold_and_split(store, folder):
    root = sweep_folder(folder / "s", n_trials=1)
    for number, fold in enumerate("12"):
        run_folder(root / str(number), overrides=[f"data.fold={fold}", "data.split_seed=3", "loss=mse"])
    run_folder(root / "2")
    for name in ("oof.csv", "oof_metrics.csv"):
        (root / name).write_text("trial,row\n")
    synced(root)
    runs = by_key(store)
    tags = {
        key: (run.data.tags.get("phalanx.fold"), run.data.tags.get("phalanx.split_seed")) for key, run in runs.items()
    }
    assert tags == {"": (None, None), "0": ("1", "3"), "1": ("2", "3"), "2": (None, None)}
    assert {"oof.csv", "oof_metrics.csv"} <= set(uploaded(store, runs[""].info.run_id))


def test_out_of_fold_predictions_that_are_too_large_cost_no_other_file(tmp_path, monkeypatch):
    monkeypatch.setattr(artifacts, "MAX_TABLE", 20)
    (tmp_path / "trials.csv").write_text("number\n")
    (tmp_path / "oof.csv").write_text("0," * 11)
    assert artifacts.sweep_files(tmp_path) == [(tmp_path / "trials.csv", "")]


def test_every_fold_and_seed_of_a_trial_is_a_run_below_it(store, folder):
    root = sweep_folder(folder / "s", n_trials=1)
    places = [(0, 0), (0, 1), (1, 0), (1, 1)]
    rows = [
        {"seed": seed, "fold": fold, "split_seed": 3, "data_digest": f"of {fold}", "status": "completed", "value": 0.5,
         "metrics": {"val_accuracy": 0.5}, "best_epoch": 1, "epochs": 1, "error": None}
        for seed, fold in places
    ]  # fmt: skip
    run_folder(root / "0", repeats=rows)
    head, line = (root / "0" / "metrics.csv").read_text().split("\n")[:2]
    curves = [f"{seed},3,{fold},{line}" for seed, fold in places]
    (root / "0" / "seeds.csv").write_text("\n".join([f"seed,split_seed,fold,{head}", *curves]) + "\n")
    synced(root)
    runs = by_key(store)
    assert set(runs) == {"", "0", *(f"0/seed {seed}, split 3, fold {fold}" for seed, fold in places)}
    one = runs["0/seed 1, split 3, fold 0"]
    assert (one.data.params["data.fold"], one.data.tags["phalanx.data_digest"]) == ("0", "of 0")
    assert one.data.tags["phalanx.fold"] == "0"
    assert [m.step for m in store.get_metric_history(one.info.run_id, "epoch/val_loss")] == [1]


@pytest.mark.parametrize(("status", "state"), [("failed", "FAILED"), ("interrupted", "KILLED"), (None, "KILLED")])
def test_sweep_that_did_not_end_well_says_so(store, folder, status, state):
    root = sweep_folder(folder / "s", n_trials=1, summary=False)
    synced(root, status)
    parent = by_key(store)[""]
    assert parent.info.status == state
    assert parent.data.tags["phalanx.status"] == (status or "interrupted")


def test_system_metrics_are_the_topmost_runs(store, folder, monkeypatch):
    monkeypatch.setattr("phalanx.tracking.inputs.MONITOR_S", 0.1)
    sync = FolderSync(sweep_folder(folder / "s", 1), TrackingSpec(system_metrics=True, register="none"))
    sync.update()
    for _ in range(200):
        if "system/cpu_utilization_percentage" in by_key(store)[""].data.metrics:
            break
        sync.store.monitor._shutdown_event.wait(0.1)
    sync.finish("completed")
    sync.close()
    assert sync.store.monitor is None
    assert "system/cpu_utilization_percentage" in by_key(store)[""].data.metrics
    assert by_key(store)[""].info.status == "FINISHED"


# --- again and again ------------------------------------------------------------------------------------------------


def counts(client):
    """How many entries of every kind the store has."""
    runs = by_key(client).values()
    points = sum(len(client.get_metric_history(r.info.run_id, name)) for r in runs for name in r.data.metrics)
    return len(runs), points, sum(len(r.data.params) for r in runs), sum(len(r.inputs.dataset_inputs) for r in runs)


def test_what_is_there_is_not_logged_twice(store, folder):
    root = sweep_folder(folder / "s")
    first, _ = synced(root)
    before, ids = counts(store), {key: run.info.run_id for key, run in by_key(store).items()}
    again, left = synced(root)
    assert (first.n_logged, again.n_logged, again.n_there, left) == (3, 0, 3, 0)
    assert counts(store) == before
    assert {key: run.info.run_id for key, run in by_key(store).items()} == ids
    assert "load_model('s/2')" in by_key(store)["2"].data.tags["mlflow.note.content"]


@pytest.mark.parametrize("at", range(7))
def test_a_delivery_that_dies_at_any_call_is_completed_by_the_next(store, folder, at, monkeypatch):
    """Cuts the delivery off at its nth write to the store; afterwards there is exactly what one delivery gives."""
    root, whole = sweep_folder(folder / "s", n_trials=1), folder / "whole"
    sweep_folder(whole, n_trials=1)
    synced(whole, experiment="whole")
    sync = FolderSync(root, TrackingSpec(register="none"))
    sync._lock(0)
    sync._open()
    calls = []
    for name in ("create_run", "log_batch", "log_inputs", "set_terminated", "set_tag"):
        real = getattr(sync.store.client, name)

        def counted(*args, _real=real, _name=name, **kwargs):
            if len(calls) == at:
                raise MemoryError("killed here")
            calls.append(_name)
            return _real(*args, **kwargs)

        monkeypatch.setattr(sync.store.client, name, counted)
    assert sync.finish("completed") >= 1
    sync.close()
    assert len(calls) == at
    assert synced(root)[1] == 0
    runs, wanted = by_key(store), by_key(store, "whole")
    assert {key: (r.info.status, r.data.params, r.data.metrics) for key, r in runs.items()} == {
        key: (r.info.status, r.data.params, r.data.metrics) for key, r in wanted.items()
    }
    for key, run in runs.items():
        for name in run.data.metrics:
            steps = [m.step for m in store.get_metric_history(run.info.run_id, name)]
            assert len(steps) == len(set(steps)) or (name == "val_accuracy" and key == ""), (key, name)
        assert set(uploaded(store, run.info.run_id)) == set(uploaded(store, wanted[key].info.run_id))


def test_a_sweep_that_goes_on_continues_its_runs(store, folder):
    root = sweep_folder(folder / "s", n_trials=2, summary=False)
    (root / "1" / "result.json").unlink()  # its process was killed while it trained
    synced(root, None)
    first = by_key(store)
    assert {key: run.info.status for key, run in first.items()} == {"": "KILLED", "0": "FINISHED", "1": "KILLED"}
    assert first["1"].data.tags["phalanx.status"] == "killed"
    run_folder(root / "1", 5, status="pruned")
    synced(root)
    runs = by_key(store)
    assert {key: run.info.run_id for key, run in runs.items()} == {key: run.info.run_id for key, run in first.items()}
    assert {key: run.info.status for key, run in runs.items()} == dict.fromkeys(("", "0", "1"), "FINISHED")
    assert runs["1"].data.tags["phalanx.status"] == "pruned"
    steps = [m.step for m in store.get_metric_history(runs["1"].info.run_id, "epoch/val_loss")]
    assert steps == [1, 2, 3, 4, 5]


def test_a_trial_that_was_tried_again_says_what_it_reached(store, folder):
    root = sweep_folder(folder / "s", n_trials=1)
    run_folder(root / "0", 0, status="failed", failure="crash", error="too bad")
    sync = FolderSync(root, TrackingSpec(register="none"))
    sync.update()
    assert by_key(store)["0"].info.status == "FAILED"
    run_folder(root / "0")
    sync.update()
    sync.close()
    run = by_key(store)["0"]
    assert (run.info.status, run.data.tags["phalanx.status"]) == ("FINISHED", "completed")
    assert run.data.metrics["val_accuracy"] == 0.9


def test_curves_appear_while_a_trial_trains(store, folder):
    root = sweep_folder(folder / "s", n_trials=2)
    for number in "01":
        (root / number / "result.json").unlink()
    (root / "0" / "metrics.csv").unlink()  # has only begun
    sync = FolderSync(root, TrackingSpec(register="none"))

    def steps():
        return [m.step for m in store.get_metric_history(by_key(store)["1"].info.run_id, "epoch/val_loss")]

    sync.update()
    assert set(by_key(store)) == {"", "1"}
    live = by_key(store)["1"]
    assert (live.info.status, live.data.params["loss.name"], steps()) == ("RUNNING", "mse", [1, 2, 3])
    run_folder(root / "1", 6)
    (root / "1" / "result.json").unlink()
    sync.update()
    assert steps() == [1, 2, 3, 4, 5, 6]
    run_folder(root / "1", 8)
    sync.update()
    sync.close()
    assert steps() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert by_key(store)["1"].info.status == "FINISHED"


def test_a_single_run_is_there_from_its_start(store, folder):
    root = run_folder(folder / "run")
    for name in ("result.json", "metrics.csv"):
        (root / name).unlink()
    sync = FolderSync(root, TrackingSpec())
    assert sync.update() == 0
    assert by_key(store)[""].info.status == "RUNNING"
    assert sync.finish() == 0  # its process was killed
    sync.close()
    assert by_key(store)[""].info.status == "KILLED"


def test_children_of_a_deleted_parent_move_to_the_new_one(store, folder):
    root = sweep_folder(folder / "s", n_trials=2)
    synced(root)
    old = by_key(store)
    store.delete_run(old[""].info.run_id)
    run_folder(root / "1", 4)
    assert synced(root)[1] == 0
    new = by_key(store)
    assert new[""].info.run_id != old[""].info.run_id
    for number in "01":
        assert new[number].info.run_id == old[number].info.run_id
        assert new[number].data.tags["mlflow.parentRunId"] == new[""].info.run_id


def test_two_processes_do_not_deliver_one_folder(store, folder, monkeypatch):
    monkeypatch.setattr("phalanx.tracking.sync.LOCK_S", 0.1)
    root, said = sweep_folder(folder / "s", n_trials=1), []
    first = FolderSync(root, TrackingSpec())
    first.update()
    second, left = synced(root, report=lambda *message: said.append(message[0]))
    assert (second.n_logged, left, said, second.locked_out) == (0, 0, [], True)
    first.close()
    assert synced(root)[0].n_there == 1


def test_a_damaged_run_is_named_and_costs_no_other(store, folder):
    root, said = sweep_folder(folder / "s"), []
    (root / "1" / "result.json").write_text("{")
    sync, left = synced(root, report=lambda *message: said.append(message))
    assert (sync.n_logged, left) == (2, 0)
    assert set(by_key(store)) == {"", "0", "2"}
    (warning,) = [value for kind, value in said if kind == "warning"]
    assert "trial 1 is not logged" in warning


# --- where ----------------------------------------------------------------------------------------------------------


def test_default_store_is_mlflows_own(store, folder):
    synced(run_folder(folder / "run"))
    assert {path.name for path in folder.iterdir()} <= {
        "run", "mlflow.db", "mlflow.db.lock", "mlflow.db-wal", "mlflow.db-shm", "mlruns",
    }  # fmt: skip


def test_environment_names_the_store_and_the_config_wins(folder, empty_store, monkeypatch):
    for name in ("env.db", "config.db"):
        shutil.copy(empty_store, folder / name)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/env.db")
    for name, spec in (("a", {}), ("b", {"uri": "sqlite:///config.db"}), ("c", {"uri": "sqlite:///config.db"})):
        synced(run_folder(folder / name), **spec)
    assert [count_runs(folder / name) for name in ("env.db", "config.db")] == [1, 2]
    assert not (folder / "mlflow.db").exists()


def test_sqlite_is_written_ahead(folder):
    """The contract with SQLAlchemy: its public hook reaches the engine that MLflow opens."""
    from mlflow import MlflowClient

    write_sqlite_ahead()
    MlflowClient("sqlite:///tuned.db").search_experiments()
    with sqlite3.connect(folder / "tuned.db") as database:
        assert database.execute("pragma journal_mode").fetchone() == ("wal",)
    from sqlalchemy import create_engine, text

    with create_engine("sqlite:///tuned.db").connect() as connection:
        assert connection.execute(text("pragma synchronous")).scalar() == 1  # NORMAL


def test_a_copy_of_the_file_alone_has_all_runs(store, folder, tmp_path_factory):
    synced(run_folder(folder / "r"))
    copy = tmp_path_factory.mktemp("copy") / "mlflow.db"
    shutil.copy(folder / "mlflow.db", copy)
    with sqlite3.connect(copy) as database:
        assert database.execute("select count(*) from runs").fetchone() == (1,)
        assert database.execute("select count(*) from metrics").fetchone()[0] > 0


@pytest.mark.slow
def test_four_processes_open_a_fresh_store_at_once_in_silence(folder):
    script = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from support.tracking_records import synced, run_folder
import mlflow
Path(f"ready{sys.argv[1]}").touch()
while len(list(Path().glob("ready*"))) < 4:
    time.sleep(0.01)
assert synced(run_folder(Path(sys.argv[1])))[1] == 0
"""
    tests = str(environment()["PYTHONPATH"]).replace("/src", "/tests")
    workers = [
        subprocess.Popen([sys.executable, "-c", script, str(i), tests], env=environment(), stderr=subprocess.PIPE)
        for i in range(4)
    ]
    said = [worker.communicate(timeout=600)[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * 4, said
    assert count_runs("mlflow.db") == 4
    with sqlite3.connect("mlflow.db") as database:
        assert database.execute("select count(*) from experiments where name = 'phalanx'").fetchone() == (1,)


# --- the diff -------------------------------------------------------------------------------------------------------


def test_uncommitted_changes_are_an_artifact_without_secrets(store, folder, monkeypatch):
    def git(*arguments):
        subprocess.run(["git", "-c", "user.name=x", "-c", "user.email=x@y", *arguments], check=True, cwd=folder)

    git("init", "-q")
    (folder / "code.py").write_text("a = 1\n")
    git("add", "code.py")
    git("commit", "-qm", "first")
    root = sweep_folder(folder / "outputs" / "s", n_trials=1)
    write_diff(root)
    assert not (root / "uncommitted.diff").exists()
    (folder / "code.py").write_text(
        f'a = 2\nURL = "postgresql://me:{SECRET}@host/db"\napi_key = "abcdef123456"\nn_tokens = 3\n' + "b = 1\n" * 50
    )
    monkeypatch.setattr("phalanx.runs.provenance.DIFF_BYTES", 400)
    write_diff(root)
    text = (root / "uncommitted.diff").read_text()
    assert "+a = 2" in text
    assert "+n_tokens = 3" in text
    assert "more bytes were left out" in text
    for secret in ("s3cret", "p@ss", "abcdef123456"):
        assert secret not in text
    synced(root)
    assert "uncommitted.diff" in uploaded(store, by_key(store)[""].info.run_id)
    (folder / "code.py").write_text("a = 3\n")
    write_diff(root)  # the sweep goes on: what it began with stands
    assert (root / "uncommitted.diff").read_text() == text


def steps_of(store, key="", name="epoch/val_loss"):
    run_id = by_key(store)[key].info.run_id
    return [m.step for m in store.get_metric_history(run_id, name)]


def test_a_long_curve_has_the_best_epoch_and_the_same_points_however_often_it_is_logged(store, folder):
    once = run_folder(folder / "once", rows=history(3001), best_epoch=2777)
    synced(once)
    kept = [*range(1, 501), *range(502, 1001, 2), *range(1004, 2001, 4), *range(2008, 3002, 8)]
    assert steps_of(store) == sorted([*kept, 2777, 3001])
    live = folder / "live"
    sync = FolderSync(live, TrackingSpec(register="none", experiment="live"))
    for epochs in (100, 777, 1501, 2222, 3001):
        run_folder(live, rows=history(epochs), best_epoch=2777)
        if epochs < 3001:
            (live / "result.json").unlink()
        sync.update()
    sync.close()
    run = by_key(store, "live")[""]
    assert [m.step for m in store.get_metric_history(run.info.run_id, "epoch/val_loss")] == sorted([*kept, 2777, 3001])


def test_no_other_number_of_points_than_the_docs_say():
    assert sum(map(is_logged, range(1, 501))) == 500
    assert sum(map(is_logged, range(1, 10_001))) == 1562


def test_the_sweeps_own_run_shows_data_objective_and_the_best_so_far_while_it_runs(store, folder):
    root = sweep_folder(folder / "s", n_trials=5, summary=False)
    values = (0.5, 0.4, None, 0.8, 0.7)
    for number, value in enumerate(values):
        objective = {"name": "val_accuracy", "value": value, "direction": "maximize"}
        run_folder(root / str(number), objective=objective, status="completed" if value else "diverged")
    (root / "3" / "result.json").unlink()  # it still trains
    sync = FolderSync(root, TrackingSpec(register="none"))
    sync.update()

    def best():
        parent = by_key(store)[""]
        history = store.get_metric_history(parent.info.run_id, "best/val_accuracy")
        return parent, {m.step: m.value for m in history}

    parent, curve = best()
    assert (parent.info.status, curve) == ("RUNNING", {0: 0.5, 1: 0.5, 2: 0.5})
    assert parent.data.params == {"objective": "val_accuracy"}
    assert parent.data.tags["phalanx.objective"] == "maximize val_accuracy"
    assert {i.dataset.name for i in parent.inputs.dataset_inputs} == {"digits"}
    run_folder(root / "3", objective={"name": "val_accuracy", "value": 0.8, "direction": "maximize"})
    sync.finish("completed")
    sync.close()
    wanted = {0: 0.5, 1: 0.5, 2: 0.5, 3: 0.8, 4: 0.8}
    assert best()[1] == wanted
    synced(root)  # the same folder once more
    parent, curve = best()
    assert curve == wanted
    assert len(store.get_metric_history(parent.info.run_id, "best/val_accuracy")) == 5
    assert len(parent.inputs.dataset_inputs) == 3


def test_overrides_are_params_that_no_key_of_the_configuration_collides_with(store, folder):
    root = run_folder(folder / "run")
    typed = ["model=mlp3", "model.width=64", "optimizer.lr=0.5", "+loss.a=1", "~trainer.patience", "seed=7",
             f"tracking.uri=http://me:{SECRET}@host", "hydra.sweeper.n_trials=3", "device.threads=1"]  # fmt: skip
    (root / ".hydra" / "overrides.yaml").write_text(json.dumps(typed))
    synced(root)
    params = by_key(store)[""].data.params
    found = {key.removeprefix("override."): value for key, value in params.items() if key.startswith("override.")}
    assert found == {"model": "mlp3", "model.width": "64", "optimizer.lr": "0.5", "loss.a": "1"}
    assert params["optimizer.lr"] == "1e-05"


def test_a_trial_whose_overrides_are_being_written_is_logged_all_the_same(store, folder):
    root = sweep_folder(folder / "s", n_trials=1)
    (root / "0" / "result.json").unlink()
    (root / "0" / ".hydra" / "overrides.yaml").write_text("")
    sync = FolderSync(root, TrackingSpec(register="none"))
    sync.update()
    assert "override.loss" not in by_key(store)["0"].data.params
    run_folder(root / "0")
    sync.finish("completed")
    sync.close()
    assert by_key(store)["0"].data.params["override.loss"] == "mse"


def test_the_tracker_of_a_spec(folder):
    assert type(tracker(TrackingSpec(kind="none"), folder)).__name__ == "Tracker"
