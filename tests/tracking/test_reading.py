"""What `read_experiment` gives, and what it says where it cannot."""

from __future__ import annotations

import shutil
import sqlite3

import pytest
from support.tracking_records import SECRET, by_key, sweep_folder, synced

from phalanx.core.errors import RequestError
from phalanx.tracking import read_experiment, reading

pytest_plugins = ("support.tracking_store",)


def test_runs_are_read_with_params_metrics_tags_files_and_parents(store, folder, monkeypatch):
    monkeypatch.setattr(reading, "PAGE", 2)  # so that the next page is asked for
    synced(sweep_folder(folder / "s", 4), experiment="odd / näme")
    runs = read_experiment("odd / näme")
    (parent,) = (run for run in runs if run.tags["phalanx.kind"] == "sweep")
    (last,) = (run for run in runs if run.name == "trial 3")
    assert len(runs) == 5
    assert (last.status, last.parent, last.params["optimizer.lr"]) == ("FINISHED", parent.run_id, "1e-05")
    assert last.metrics["val_accuracy"] == 0.9
    assert last.tags["phalanx.seed"] == "7"
    assert (last.artifacts / "metrics.csv").read_bytes() == (folder / "s" / "3" / "metrics.csv").read_bytes()
    assert last.end_ms - last.start_ms == 6000
    assert parent.parent is None


def test_children_of_a_deleted_parent_stand_alone(store, folder):
    synced(sweep_folder(folder / "s", 1))
    runs = by_key(store)
    store.delete_run(runs[""].info.run_id)
    assert [(run.run_id, run.parent) for run in read_experiment("phalanx")] == [(runs["0"].info.run_id, None)]


def test_what_cannot_be_read_is_explained(store, folder, empty_store, closed_port):
    store.create_experiment("there")
    with pytest.raises(RequestError, match=r"no experiment 'absent'; there are: .*'there'"):
        read_experiment("absent")
    store.delete_experiment(store.get_experiment_by_name("there").experiment_id)
    with pytest.raises(RequestError, match=r"'there' was deleted.*mlflow experiments restore"):
        read_experiment("there")
    with pytest.raises(RequestError, match=r"no database gone\.db"):
        read_experiment("phalanx", "sqlite:///gone.db")
    assert not (folder / "gone.db").exists()
    with pytest.raises(RequestError, match="unknown scheme"):
        read_experiment("phalanx", "gopher://host")
    with pytest.raises(RequestError, match="no MLflow server answers"):
        read_experiment("phalanx", f"http://127.0.0.1:{closed_port}")
    with pytest.raises(RequestError) as caught:
        read_experiment("phalanx", f"postgresql://me:{SECRET}@127.0.0.1:9/db")
    assert "p@ss" not in str(caught.value)
    assert "s3cret" not in str(caught.value)
    shutil.copy(empty_store, folder / "old.db")
    with sqlite3.connect(folder / "old.db") as database:
        database.execute("update alembic_version set version_num = '451aebb31d03'")
    with pytest.raises(RequestError, match="mlflow db upgrade"):
        read_experiment("phalanx", "sqlite:///old.db")


def config_of(run):
    found = reading.run_config(run)
    return found.config, found.changes


def test_the_configuration_of_a_run_is_read_back(store, folder):
    rows = [
        {"seed": 8, "status": "completed", "value": 0.9, "metrics": {}, "best_epoch": 1, "epochs": 1, "error": None}
    ]
    root = sweep_folder(folder / "s", 1, repeats=rows)
    synced(root)
    runs = {key: run.info.run_id for key, run in by_key(store).items()}
    own = (root / "0" / "config.yaml").read_text()
    assert config_of(runs["0"]) == (own, {})
    assert config_of(runs["0/seed 8"]) == (own, {"seed": 8})
    assert config_of(runs[""]) == ("text\n", {})  # a sweep's best_config.yaml
    with pytest.raises(RequestError, match=r"has no run 'f{32}'"):
        reading.run_config("f" * 32)
    for file in folder.rglob("config.yaml"):
        file.unlink()
    with pytest.raises(RequestError, match=r"has no config\.yaml: its artifacts are gone"):
        reading.run_config(runs["0"])
    (root / "0" / "config.yaml").write_text("seed: 3\n")
    assert config_of(runs["0"]) == ("seed: 3\n", {})  # from the run's own folder
