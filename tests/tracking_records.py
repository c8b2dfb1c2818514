"""Run folders and records that the tests of tracking share."""

from __future__ import annotations

import logging
import os
import sqlite3
from dataclasses import replace
from pathlib import Path

from phalanx.result import EpochMetrics, Status
from phalanx.tracking import RunRecord, guard

SRC = Path(__file__).parents[1] / "src"
SECRET = "s3cret/p@ss"
VARIABLES = ("MLFLOW_TRACKING_URI", *guard.DEFAULTS)


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


def environment():
    plain = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    return {**plain, "PYTHONPATH": str(SRC)}


def count_runs(file):
    with sqlite3.connect(file) as database:
        return database.execute("select count(*) from runs").fetchone()[0]
