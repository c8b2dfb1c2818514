"""Reads the folder of a run into the records that are logged of it. Knows neither MLflow nor torch."""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from phalanx.core.errors import UnreadableFile
from phalanx.core.reading import parse_json, read_bytes
from phalanx.core.result import EpochMetrics
from phalanx.runs.config_file import flat_values, read_overrides, read_values, settings_typed
from phalanx.runs.layout import FINAL, RunPaths, relative
from phalanx.runs.metrics_csv import place_text, read_metrics, read_seeds
from phalanx.runs.provenance import GitState
from phalanx.runs.stored_run import DataSummary, StoredRun, find_stored_run
from phalanx.runs.sweep_folder import RunLocation
from phalanx.tracking.class_tag import class_tag

RESULT = "phalanx.result"  # the tag with the digest of what `result.json` holds
OBJECTIVE, VALUE = "phalanx.objective", "phalanx.value"  # tags: `maximize val_accuracy`, and the value of it
FOLD, SPLIT = "phalanx.fold", "phalanx.split_seed"  # tags of runs that were asked for one
OVERRIDE = "override."  # begins the params that hold what was typed or searched, such as `model=mlp3`
TRAINING = "training"  # the ending of a run that has none yet
STATES = {TRAINING: "RUNNING", "completed": "FINISHED", "pruned": "FINISHED", "interrupted": "KILLED"}  # else FAILED
COST_METRICS = ("best_epoch", "train_seconds", "n_parameters")  # costs of training that are logged as metrics


@dataclass(frozen=True)
class RunRecord:
    """What is known of one run, ready to be logged: a single run, a trial of a sweep, or one seed of a trial."""

    key: str  # its path in the folder that is logged: "" the folder itself, "3" a trial, "3/seed 7" a seed of it
    name: str
    folder: Path
    params: Mapping[str, Any]  # flat: "optimizer.lr": 0.1, and the overrides: "override.model": "mlp3"
    metrics: Mapping[str, float | None]  # at the saved weights; None is left out
    history: Sequence[EpochMetrics]
    tags: Mapping[str, str]
    ending: str  # `training`, `interrupted`, or how it ended: `completed`, `pruned` …
    start_ms: int | None = None  # since 1970
    end_ms: int | None = None
    data: DataSummary | None = None
    mlflow_run_id: str | None = None  # in the store that it was last logged to
    has_files: bool = False  # a seed has none: those of its folder are the trial's

    @property
    def state(self) -> str:
        """MLflow's word for how it ended; a pruned trial ended as it should."""
        return STATES.get(self.ending, "FAILED")

    @property
    def parent_key(self) -> str | None:
        """The key of the record above this one; None for the topmost."""
        return self.key.rpartition("/seed ")[0] if self.key else None


def read_records(location: RunLocation) -> list[RunRecord]:
    """Returns the run and, if it was trained with several seeds, each of them.

    Raises `RunFolderError` if the folder is damaged.
    """
    paths = location.paths
    stored = find_stored_run(paths.root)
    params = flat_values(read_values(paths.config_resolved)) if paths.config_resolved.exists() else {}
    params |= {f"{OVERRIDE}{key}": text for key, text in _typed(paths, stored).items()}
    history = read_metrics(paths.metrics, 0 if stored is None else stored.n_rows)
    if stored is None:
        return [_training(location, params, history)]
    run = _ended(location, params, history, stored)
    return [run, *_seeds(run, stored)]


def _typed(paths: RunPaths, stored: StoredRun | None) -> dict[str, str]:
    """What the overrides set of the trial, by key."""
    if stored is not None:
        return settings_typed(f"{key}={text}" for key, text in stored.overrides.items())
    try:
        return settings_typed(read_overrides(paths.overrides, inside=paths.root))
    except (FileNotFoundError, UnreadableFile):  # Hydra may be writing it
        return {}


def is_digest(logged: str | None, record: RunRecord) -> bool:
    """Whether `logged`, a tag in the store, is the digest of a record's result, as any version computes it."""
    current, result = record.tags.get(RESULT), RunPaths(record.folder).result
    if logged is None or current is None or logged == current:
        return logged is not None and logged == current
    file = read_bytes(result)  # earlier versions took the whole file, or all that it held but the id in MLflow
    held = {key: value for key, value in parse_json(file.decode(), result).items() if key != "mlflow_run_id"}
    return logged in (_digest(file), _digest(json.dumps(held, sort_keys=True).encode()))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _training(location: RunLocation, params: Mapping[str, Any], history: Sequence[EpochMetrics]) -> RunRecord:
    root, tags = location.paths.root, _location_tags(location) | {"phalanx.status": TRAINING}
    start = time.time() - sum(row.seconds for row in history) if history else root.stat().st_mtime
    return RunRecord(
        location.key, location.name, root, params, {}, history, tags, TRAINING, start_ms=max(0, int(1000 * start))
    )  # fmt: skip


def _ended(
    location: RunLocation, params: Mapping[str, Any], history: Sequence[EpochMetrics], stored: StoredRun
) -> RunRecord:  # fmt: skip
    end_ms, git = stored.written_ns // 1_000_000, stored.git or GitState()
    known = {
        "phalanx.seed": stored.seed,
        FOLD: stored.overrides.get("data.fold"),
        SPLIT: stored.overrides.get("data.split_seed"),
        "phalanx.config_digest": stored.config_digest,
        "phalanx.data_digest": stored.data_digest,
        "phalanx.failure": stored.failure,
        "phalanx.error": stored.error,
        "phalanx.same_as": stored.same_as,
        "phalanx.seeds": len(stored.repeats) or None,
        "phalanx.git_commit": git.commit,
        "phalanx.git_dirty": git.dirty,
        "mlflow.source.git.commit": git.commit,
        "phalanx.status": stored.ending,
        OBJECTIVE: f"{stored.objective.direction} {stored.objective.name}".strip() or None,
        VALUE: stored.objective.value,
        RESULT: _digest(json.dumps(stored.to_json(), sort_keys=True).encode()),
    }
    objective = stored.objective.name  # first, because MLflow's comparison page draws the first metric by itself
    first = {objective: stored.metrics[objective]} if objective in stored.metrics else {}
    return RunRecord(
        key=location.key,
        name=location.name,
        folder=location.paths.root,
        params=params,
        metrics={**first, **stored.metrics, **{name: getattr(stored, name) for name in COST_METRICS}},
        history=history,
        tags={
            **_location_tags(location),
            **{key: str(value) for key, value in known.items() if value is not None},
            **class_tag(stored.data.classes if stored.data else (), stored.classes),
        },
        ending=stored.ending,
        start_ms=max(0, end_ms - int(1000 * stored.train_seconds)),
        end_ms=end_ms,
        data=stored.data,
        mlflow_run_id=stored.mlflow_run_id,
        has_files=True,
    )


def _seeds(run: RunRecord, stored: StoredRun) -> list[RunRecord]:
    n_epochs = {row.place: row.epochs for row in stored.repeats}
    curves = read_seeds(RunPaths(run.folder).seeds, n_epochs) if stored.repeats else {}
    shared = len({row.seed for row in stored.repeats}) < len(stored.repeats)  # of a seed on several folds or splits
    found = []
    for row in stored.repeats:
        history, where = curves.get(row.place, ()), place_text(row.place if shared else (row.seed, None, None))
        tags = {**run.tags, "phalanx.kind": "seed", "phalanx.seed": str(row.seed), "phalanx.status": str(row.status)}
        tags.pop("phalanx.seeds", None)
        tags |= class_tag(stored.data.classes if stored.data else (), row.classes)
        params = {**run.params, "seed": row.seed}
        if row.split_seed is not None:
            params["data.split_seed"], tags["phalanx.data_digest"] = row.split_seed, str(row.data_digest)
            tags[SPLIT] = str(row.split_seed)
        if row.fold is not None:
            params["data.fold"], tags[FOLD] = row.fold, str(row.fold)
        seconds = sum(epoch.seconds for epoch in history)
        costs = {"best_epoch": row.best_epoch, "train_seconds": seconds, "n_parameters": stored.n_parameters}
        seed = replace(
            run, key=f"{run.key}/{where}", name=f"{run.name}, {where}", history=history, tags=tags,
            params=params, metrics={**row.metrics, **costs}, has_files=False,
            ending=run.ending if run.ending == "interrupted" else str(row.status),
        )  # fmt: skip
        found.append(seed)
    return found


def _location_tags(location: RunLocation) -> dict[str, str]:
    tags = {"phalanx.folder": relative(location.paths.root), "phalanx.kind": "run"}
    if location.sweep is not None:
        kind = "final" if location.key.startswith(FINAL) else "trial"
        tags |= {"phalanx.kind": kind, "phalanx.study": location.sweep, "phalanx.trial": str(location.number)}
    return tags
