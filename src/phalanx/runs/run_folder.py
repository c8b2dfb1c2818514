"""A run folder, written and read back. `metrics.csv` and `result.json` are always whole.

What is written: result.json, metrics.csv, model.safetensors, config.yaml (resolved); plots are drawn elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from phalanx.core.errors import (
    RequestError,
    RunFolderError,
)
from phalanx.core.files import read_json, write_json, write_text
from phalanx.core.result import Metrics, Status, TrialResult
from phalanx.data import Dataset
from phalanx.data.base import DataSpec
from phalanx.data.cache import dataset_of
from phalanx.runs.config import trial_spec
from phalanx.runs.config_file import read_yaml
from phalanx.runs.layout import RunPaths, relative
from phalanx.runs.metrics_csv import metrics_csv, read_metrics
from phalanx.runs.model_file import read_weights, save_model
from phalanx.runs.provenance import git_state, versions
from phalanx.training.spec import TrialSpec

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


EXAMPLE_ROWS = 3


def read_trial(paths: RunPaths) -> tuple[TrialSpec, Dataset, TrialResult]:
    """Everything about a finished run, from its folder."""
    spec = trial_spec(read_yaml(paths.config_resolved))
    return spec, dataset_of(spec.data), read_run(paths)


def write_example(paths: RunPaths, spec: DataSpec) -> None:
    """The first rows of the data as they come from its source: what the registered model shows as its input."""
    rows = spec.read().x[:EXAMPLE_ROWS]
    if hasattr(rows, "to_json"):  # a pandas table
        content = json.loads(rows.to_json(orient="split", index=False))
    else:
        content = {"data": rows.reshape(len(rows), -1).tolist()}
    write_json(paths.example, content)
