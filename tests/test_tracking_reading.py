"""What `read_experiment` gives, and what it says where it cannot."""

from __future__ import annotations

import shutil
import sqlite3

import pytest
from tracking_records import SECRET, fill, record

from phalanx.errors import RequestError
from phalanx.tracking import TrackingSpec, read_experiment, reading, tracker

pytest_plugins = ("tracking_store",)


def test_runs_are_read_with_params_metrics_tags_files_and_parents(store, folder, monkeypatch):
    monkeypatch.setattr(reading, "PAGE", 2)  # so that the next page is asked for
    follow = tracker(TrackingSpec(experiment="odd / näme"))
    parent = follow.start_sweep("s", {"phalanx.study": "s"})
    ids = [follow.log_run(record(name=f"t{i}", parent=parent, folder=fill(folder / str(i)))) for i in range(4)]
    runs = read_experiment("odd / näme")
    assert {run.run_id for run in runs} == {parent, *ids}
    (last,) = (run for run in runs if run.name == "t3")
    assert (last.status, last.parent, last.params["optimizer.lr"]) == ("FINISHED", parent, "0.1")
    assert last.metrics["val_accuracy"] == 0.9
    assert last.tags["phalanx.seed"] == "7"
    assert (last.artifacts / "metrics.csv").read_text() == "epoch\n1\n"
    assert (last.start_ms, last.end_ms) == (1_000_000, 1_009_000)
    assert {run.parent for run in runs if run.run_id == parent} == {None}


def test_children_of_a_deleted_parent_stand_alone(store):
    follow = tracker(TrackingSpec())
    parent = follow.start_sweep("s", {})
    child = follow.log_run(record(parent=parent))
    store.delete_run(parent)
    assert [(run.run_id, run.parent) for run in read_experiment("phalanx")] == [(child, None)]


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
        database.execute("update alembic_version set version_num = '0123456789ab'")
    with pytest.raises(RequestError, match="mlflow db upgrade"):
        read_experiment("phalanx", "sqlite:///old.db")
