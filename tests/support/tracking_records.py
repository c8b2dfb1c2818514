"""Run folders and records that the tests of tracking share."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
from dataclasses import replace
from pathlib import Path

from phalanx.core.result import EpochMetrics
from phalanx.runs.metrics_csv import metrics_csv
from phalanx.tracking import RunRecord, TrackingSpec, connection
from phalanx.tracking.sync import FolderSync

SRC = Path(__file__).parents[2] / "src"
SECRET = "s3cret/p@ss"
VARIABLES = ("MLFLOW_TRACKING_URI", *connection.DEFAULTS)


def without_variables(patch):
    """Has no tracking variable set, and none left behind that is set before the patch is undone."""
    for name in VARIABLES:
        patch.setenv(name, "")
        patch.delenv(name)


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
        key="",
        name="first",
        folder=Path("outputs/runs/first"),
        params={"optimizer.lr": 0.1, "model.hidden": (50, 20), "trainer.patience": None, "trainer.drop_last": False},
        metrics={"val_accuracy": 0.9, "val_loss": 0.25, "test_accuracy": None},
        history=history(3),
        tags={"phalanx.seed": "7", "phalanx.result": "digest"},
        ending="completed",
        start_ms=1_000_000,
        end_ms=1_009_000,
        has_files=True,
    )
    return replace(plain, **changes)


CONFIG = """\
data: {name: digits, n_val: 288}
model: {name: mlp, width: 64, hidden: [50, 20], dropout: 0.0}
loss: {name: LOSS, output: logits, default_lr: {sgd: 0.05}}
optimizer: {name: sgd, lr: 1.0e-05}
trainer: {epochs: 3, patience: null, drop_last: false}
tracking: {kind: mlflow, uri: null, experiment: phalanx, register: none}
seed: 7
objective: val_accuracy
"""
METRICS = {f"{split}_{name}": None for split in ("train", "val", "test") for name in ("loss", "accuracy", "likelihood")}


def run_folder(folder, epochs=3, *, weights=False, loss="mse", rows=None, **result):
    """A folder as a run leaves it."""
    curves = history(epochs) if rows is None else rows
    content = {
        "status": "completed",
        "objective": {"name": "val_accuracy", "value": 0.9, "direction": "maximize"},
        "metrics": {**METRICS, "val_accuracy": 0.9, "val_loss": 0.25},
        "best_epoch": 2, "epochs": epochs, "train_seconds": 6.0, "samples_per_second": 100.0, "device": "cpu",
        "seed": 7, "config_digest": "c0ffee", "data_digest": "da7a", "n_parameters": 120, "error": None,
        "failure": None, "git": {"commit": "abc", "dirty": False}, "mlflow_run_id": None,
        "data": {"name": "digits", "source": "digits", "n_train": 1149, "n_val": 288, "n_test": 360, "n_features": 64,
                 "n_classes": 10},
        **result,
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(CONFIG.replace("LOSS", loss))
    (folder / "metrics.csv").write_text(metrics_csv(curves))
    (folder / "train.log").write_text("trained\n")
    (folder / ".hydra").mkdir(exist_ok=True)
    (folder / ".hydra" / "overrides.yaml").write_text(f"- loss={loss}\n")
    if weights:
        (folder / "model.safetensors").write_bytes(b"weights")
        (folder / "plots").mkdir(exist_ok=True)
        (folder / "plots" / "curves.png").write_bytes(b"png")
    (folder / "result.json").write_text(json.dumps(content))
    return folder


def sweep_folder(folder, n_trials=3, *, summary=True, **result):
    """A folder as a sweep leaves it; its last trial is the best and kept its weights."""
    for number in range(n_trials):
        run_folder(folder / str(number), weights=number == n_trials - 1, **result)
    best = {"status": "completed", "best": n_trials - 1, "metrics": {"val_accuracy": 0.9}, "params": {"loss": "mse"}}
    (folder / "sweep.json").write_text(json.dumps({"search": False, "summary": best if summary else None}))
    for name in ("trials.csv", "best_config.yaml", "report.html"):
        (folder / name).write_text("text\n")
    return folder


def synced(root, status="completed", report=lambda *_: None, **spec):
    """Logs a folder as the process does at its end; returns the sync and how many results it left."""
    sync = FolderSync(root, TrackingSpec(**{"register": "none", **spec}), report)
    try:
        return sync, sync.finish(status)
    finally:
        sync.close()


def by_key(client, experiment="phalanx"):
    """Every run of the experiment by its place in the folder that was delivered."""
    number = client.get_experiment_by_name(experiment).experiment_id
    runs = client.search_runs([number])
    found = {run.data.tags["phalanx.key"]: run for run in runs}
    assert len(found) == len(runs)
    return found


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


PATIENT = {connection.TIMEOUT: "60"}  # for a command that has to reach a server, however busy the machine is


def environment():
    plain = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    return {**plain, "PYTHONPATH": str(SRC)}


def count_runs(file):
    with sqlite3.connect(file) as database:
        return database.execute("select count(*) from runs").fetchone()[0]
