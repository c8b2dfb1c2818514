"""A run folder, written and read back. `metrics.csv` and `result.json` are always whole.

What is written: result.json, metrics.csv, model.safetensors, config.yaml (resolved); plots are drawn elsewhere.
"""

from __future__ import annotations

import contextlib
import csv
import math
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, fields
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from phalanx.curves import metrics_csv, read_curves
from phalanx.data import Dataset
from phalanx.data.base import DataSpec
from phalanx.errors import RequestError, RunFolderError
from phalanx.model_file import read_weights, save_model
from phalanx.paths import RunPaths, read_json, relative, write_json, write_text
from phalanx.result import EpochMetrics, Metrics, Status, TrialResult
from phalanx.spec import TrialSpec

PACKAGES = ("phalanx", "torch", "numpy", "hydra-core", "omegaconf", "optuna", "mlflow")

_held: dict[Path, Any] = {}  # this process's locks, by folder


def hold(paths: RunPaths) -> None:
    """Keeps other processes from training in this folder until this one has ended or is killed.

    Raises `RequestError` if one trains there already.
    """
    from filelock import FileLock, Timeout

    lock = _held.setdefault(paths.root.resolve(), FileLock(paths.lock))
    try:
        if not lock.is_locked:
            lock.acquire(blocking=False)
    except Timeout:
        folder = relative(paths.root)
        raise RequestError(
            f"another process is training in {folder}; wait until it has ended, or stop it with Ctrl-C, and then type "
            f"the same command again; for a run of its own beside it type from_run={folder}"
        ) from None


def write_run(
    paths: RunPaths, spec: TrialSpec, dataset: Dataset, result: TrialResult, extra: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Writes everything that `result` holds, `result.json` last, with `extra` in it; returns what it says."""
    write_text(paths.metrics, metrics_csv(result.history))
    save_model(paths.model, spec, dataset, result)
    about = {"data": described(spec.data, dataset), "versions": versions(), "git": git_state(), "mlflow_run_id": None}
    content = {**result.to_json(), **(extra or {}), **about}
    write_json(paths.result, content)
    return content


def described(spec: DataSpec, dataset: Dataset) -> dict[str, Any]:
    """Which data a run was trained on: what a tracker lists as its inputs."""
    return {
        "name": dataset.name,
        "source": str(getattr(spec, "path", None) or getattr(spec, "root", None) or dataset.name),
        "n_train": len(dataset.train),
        "n_val": len(dataset.val),
        "n_test": len(dataset.test),
        "n_features": dataset.n_features,
        "n_classes": dataset.n_classes,
    }


def write_failure(paths: RunPaths, error: str, **known: Any) -> None:
    """`result.json` of a run that never got a result: status `failed`, all other keys there, unknown ones null."""
    empty: dict[str, Any] = {f.name: None for f in fields(TrialResult) if f.name not in ("history", "weights")}
    content = {
        **empty,
        "status": str(Status.FAILED),
        "objective": {"name": None, "value": None, "direction": None},
        "metrics": asdict(Metrics()),
        "epochs": 0,
        "train_seconds": 0.0,
        "samples_per_second": 0.0,
        "failure": None,
        "objectives": [],
        "data": None,
        **known,
        "error": error,
        "versions": versions(),
        "git": git_state(),
        "mlflow_run_id": None,
    }
    write_json(paths.result, content)


def read_run(paths: RunPaths) -> TrialResult:
    """The result in a run folder, with history, and with weights where they were kept."""
    stored = read_json(paths.check().result)
    try:
        weights = read_weights(paths.model) if paths.model.is_file() else None
        return TrialResult.from_json(stored, read_metrics(paths), weights)
    except (KeyError, TypeError, ValueError) as error:
        raise RunFolderError(f"{paths.result} is not a result of this version of Phalanx: {error}") from error


def read_metrics(paths: RunPaths) -> tuple[EpochMetrics, ...]:
    """The rows of `metrics.csv`; none if the run has no such file."""
    return read_curves(paths.metrics)


def read_curve(paths: RunPaths, name: str) -> tuple[list[int], list[float]]:
    """Epochs and the values of one column of `metrics.csv`; finite ones only, none where the file lacks it."""
    epochs: list[int] = []
    values: list[float] = []
    if paths.metrics.is_file():
        with open(paths.metrics, newline="", encoding="utf-8", errors="replace") as file:
            for row in csv.DictReader(file):
                with contextlib.suppress(KeyError, TypeError, ValueError):
                    epoch, value = int(row["epoch"]), float(row[name])
                    if math.isfinite(value):
                        epochs.append(epoch)
                        values.append(value)
    return epochs, values


@cache
def versions() -> dict[str, str | None]:
    """Versions of Python and of the packages that the numbers depend on; None for one that is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return found


@cache
def git_state() -> dict[str, Any]:
    """The commit of the working folder and whether it has uncommitted changes; None outside a repository."""
    commit = _git("rev-parse", "HEAD")
    status = _git("status", "--porcelain") if commit is not None else None
    return {"commit": commit, "dirty": None if status is None else bool(status)}


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
