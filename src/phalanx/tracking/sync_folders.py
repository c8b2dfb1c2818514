"""Delivers finished folders to MLflow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import phalanx.tracking.connection as connection
from phalanx.core.errors import PhalanxError, RunFolderError
from phalanx.core.files import write_text
from phalanx.runs.config import tracking_of
from phalanx.runs.layout import RunPaths, SweepPaths, TrackedPaths
from phalanx.runs.manifest import update_manifest
from phalanx.runs.options import TrackingSpec
from phalanx.runs.stored_run import read_mlflow_run_id, write_mlflow_run_id
from phalanx.runs.sweep_folder import (
    collect,
    direction_of,
    front_first,
    is_sweep,
    places,
    ranked,
    summarise_sweep,
    sweep_summary,
    trials_csv,
)
from phalanx.tracking.sync import Delivery


class Undelivered(PhalanxError):
    """The tracking store could not be used, or another process holds a folder."""


@dataclass
class Count:
    """How many runs were delivered, were there already, and were not delivered."""

    delivered: int = 0
    already: int = 0
    left: int = 0
    reason: str = ""

    def __str__(self) -> str:
        runs = "1 run" if self.delivered == 1 else f"{self.delivered} runs"
        there = f", {self.already} already there" if self.already else ""
        left = f", {self.left} not delivered ({self.reason})" if self.left else ""
        return f"{runs} delivered{there}{left}"


def targets(paths: Sequence[Path]) -> list[Path]:
    """The runs and sweeps in the folders, each once. Raises `RunFolderError` for a path that holds none."""
    found: dict[Path, Path] = {}
    for path in paths:
        inside = [path] if _is_target(path) else list(_inside(path))
        if not inside:
            raise RunFolderError(f"{path} holds no run and no sweep; try outputs, or outputs/sweeps/<study>")
        found |= {folder.resolve(): folder for folder in inside}
    return list(found.values())


def asked(root: Path) -> TrackingSpec:
    """How the runs of a folder were told to be tracked; the defaults where they were told not to be."""
    files = (place.paths.config_resolved for place in places(root))
    file = next((file for file in files if file.is_file()), None)
    spec = TrackingSpec() if file is None else tracking_of(file)
    return spec if spec.kind == "mlflow" else TrackingSpec(register="none")


def deliver(root: Path, spec: TrackingSpec, *, elsewhere: bool = False) -> Count:
    """Delivers one folder, and writes down the ids that its runs have in the store; `elsewhere` leaves ids that are
    known, because they belong to the place that the runs were told."""
    count, ids = Count(), {}

    def say(kind: str, value: Any) -> None:
        if kind == "run":
            ids[value[0]] = value[1]
        elif kind in ("warn", "down"):
            count.reason = str(value)
        elif kind == "elsewhere":
            count.left, count.reason = 1, "a process that runs now delivers it"

    if is_sweep(root) and not sweep_summary(root):
        _sum_up(root)
    delivery = Delivery(root, spec, "train.py", say)
    try:
        with connection.silence():
            count.left = delivery.finish() + len(delivery.refused) or count.left
    finally:
        delivery.close()
    if is_sweep(root) and "" in ids and not elsewhere:
        update_manifest(SweepPaths(root), mlflow_run_id=ids[""])
    count.delivered, count.already, new = delivery.delivered, delivery.already, False
    for place in places(root):
        if place.key not in ids or not place.paths.result.is_file():
            continue
        known = read_mlflow_run_id(place.paths)
        if known != ids[place.key] and (known is None or not elsewhere):
            write_mlflow_run_id(place.paths, ids[place.key])
            new = True
    if new and is_sweep(root):
        write_text(SweepPaths(root).trials, trials_csv(collect(SweepPaths(root))))
    return count


def _sum_up(root: Path) -> None:
    """Writes down the summary of a sweep whose process was killed before it could."""
    trials = collect(SweepPaths(root))
    best = front_first(ranked(trials, direction_of(trials)))
    update_manifest(SweepPaths(root), summary=summarise_sweep(trials, best, "interrupted"))


def _is_target(path: Path) -> bool:
    return path.is_dir() and (
        is_sweep(path) or RunPaths(path).result.is_file() or TrackedPaths(path).identity.is_file()
    )


def _inside(path: Path) -> Iterator[Path]:
    """Runs and sweeps at most two folders below."""
    for folder in sorted(path.glob("*/")):
        if _is_target(folder):
            yield folder
        else:
            yield from filter(_is_target, sorted(folder.glob("*/")))
