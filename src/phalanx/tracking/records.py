"""From the folder of a run or a sweep to what a tracking store is told about it. Knows neither MLflow nor torch."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import phalanx.tracking.content as content
from phalanx.core.errors import RunFolderError
from phalanx.runs.config_file import flat_values, read_values
from phalanx.runs.layout import FINAL, RunPaths, TrackedPaths, relative
from phalanx.runs.metrics_csv import read_curves, read_seeds
from phalanx.runs.provenance import GitState
from phalanx.runs.stored_run import StoredRun, find_stored_run
from phalanx.runs.sweep_folder import Place
from phalanx.tracking.content import RunRecord

COST_METRICS = ("best_epoch", "train_seconds", "n_parameters")  # costs of training that are logged as metrics


def records(place: Place) -> list[RunRecord]:
    """The run and, where it was trained with several seeds, each of them. Raises `RunFolderError` if it is damaged."""
    paths = place.paths
    stored = find_stored_run(paths.root)
    params = flat_values(read_values(paths.config_resolved)) if paths.config_resolved.is_file() else {}
    try:
        history = read_curves(paths.metrics)
        if stored is None:
            return [_training(place, params, history)]
        whole = _ended(place, params, history, stored)
        return [whole, *_seeds(whole, stored)]
    except (KeyError, TypeError, ValueError) as error:
        raise RunFolderError(f"{paths.root} is not a run of this version of Phalanx: {error}") from error


def result_digest(stored: StoredRun) -> str:
    """Tells one result from another."""
    return content.digest(stored.to_json())


def _training(place: Place, params: Mapping[str, Any], history: Any) -> RunRecord:
    tags = _place_tags(place) | {"phalanx.status": "training"}
    root = place.paths.root
    begun = int((root.stat().st_mtime if not history else time.time() - sum(r.seconds for r in history)) * 1000)
    return RunRecord(place.key, place.name, root, params, {}, history, tags, None, start_ms=begun)


def _ended(place: Place, params: Mapping[str, Any], history: Any, stored: StoredRun) -> RunRecord:
    end_ms = stored.written_ns // 1_000_000
    git = stored.git or GitState()
    known = {
        "phalanx.seed": stored.seed,
        "phalanx.config_digest": stored.config_digest,
        "phalanx.data_digest": stored.data_digest,
        "phalanx.failure": stored.failure,
        "phalanx.error": stored.error,
        "phalanx.same_as": stored.same_as,
        "phalanx.seeds": len(stored.repeats) or None,
        "phalanx.git_commit": git.commit,
        "phalanx.git_dirty": git.dirty,
        "mlflow.source.git.commit": git.commit,
    }
    tags = _place_tags(place) | {key: str(value) for key, value in known.items() if value is not None}
    tags |= {"phalanx.status": stored.ending, "phalanx.result": result_digest(stored)}
    return RunRecord(
        key=place.key,
        name=place.name,
        folder=place.paths.root,
        params=params,
        metrics={**_objective(stored), **stored.metrics, **{name: getattr(stored, name) for name in COST_METRICS}},
        history=history,
        tags=tags,
        status=stored.status,
        interrupted=stored.ending == "interrupted",
        start_ms=end_ms - int(1000 * stored.train_seconds),
        end_ms=end_ms,
        data=stored.data,
        result=stored,
    )


def _objective(stored: StoredRun) -> dict[str, float | None]:
    """The objective's metric, to stand first, since MLflow's comparison page draws the first metric by itself."""
    name = stored.objective.name
    return {name: stored.metrics[name]} if name in stored.metrics else {}


def _seeds(whole: RunRecord, stored: StoredRun) -> list[RunRecord]:
    curves = read_seeds(RunPaths(whole.folder).seeds) if stored.repeats else {}
    found = []
    for row in stored.repeats:
        seed, history = row.seed, curves.get(row.seed, ())
        tags = {**whole.tags, "phalanx.kind": "seed", "phalanx.seed": str(seed), "phalanx.status": str(row.status)}
        tags.pop("phalanx.seeds", None)
        seconds = sum(epoch.seconds for epoch in history)
        costs = {"best_epoch": row.best_epoch, "train_seconds": seconds, "n_parameters": stored.n_parameters}
        found.append(
            replace(
                whole,
                key=f"{whole.key}/seed {seed}",
                name=f"{whole.name}, seed {seed}",
                params={**whole.params, "seed": seed},
                metrics={**row.metrics, **costs},
                history=history,
                tags=tags,
                status=row.status,
                result=None,
            )
        )
    return found


def _place_tags(place: Place) -> dict[str, str]:
    tags = {"phalanx.folder": relative(place.paths.root), "phalanx.kind": "run"}
    if place.sweep is not None:
        kind = "final" if place.key.startswith(FINAL) else "trial"
        tags |= {"phalanx.kind": kind, "phalanx.study": place.sweep, "phalanx.trial": str(place.number)}
    return tags


def sweep_tags(root: Path) -> dict[str, str]:
    """What the topmost run of a sweep says of itself."""
    name = root.absolute().name
    return {"phalanx.kind": "sweep", "phalanx.study": name, "phalanx.folder": relative(root)}


def uncommitted(root: Path) -> Path | None:
    """The file with the changes that were not committed, if there is one."""
    file = TrackedPaths(root).diff
    return file if file.is_file() else None
