"""A sweep's folder: its trials, read, ranked and summed up."""

from __future__ import annotations

import csv
import io
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phalanx.core.errors import RunFolderError
from phalanx.core.files import read_json, replacing, write_json
from phalanx.core.result import ended_as
from phalanx.runs.config_file import read_overrides, read_yaml, to_yaml
from phalanx.runs.layout import FINAL, RunPaths, SweepPaths

log = logging.getLogger(__name__)

Known = dict[int, tuple[int, dict[str, Any]]]  # trials by number: when their result was written, and what it says


METRICS = ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "val_likelihood", "test_loss", "test_accuracy")


def told(trials: Sequence[dict[str, Any]], best: Sequence[dict[str, Any]], status: str) -> dict[str, Any]:
    """What a tracking store is told of a whole sweep: the best trial, and how many there were."""
    n_interrupted = sum(ended_as(trial) == "interrupted" for trial in trials)
    n_failed = sum(trial["objective"]["value"] is None for trial in trials) - n_interrupted
    counts = {"n_trials": len(trials), "n_failed": n_failed, "n_interrupted": n_interrupted}
    metrics = {**(best[0]["metrics"] if best else {}), **counts}
    params, number = (best[0]["overrides"], best[0]["number"]) if best else ({}, None)
    return {"status": status, "best": number, "metrics": metrics, "params": params}


def note_run_id(paths: RunPaths, run_id: str) -> bool:
    """Writes the id that a tracking store gave to a run, and leaves the time at which its result was written.

    False if it stood there already.
    """
    if read_json(paths.result)["mlflow_run_id"] == run_id:
        return False
    when = paths.result.stat()
    with replacing(paths.result, durable=False) as temporary:  # which write_json has synced
        write_json(temporary, {**read_json(paths.result), "mlflow_run_id": run_id})
        os.utime(temporary, ns=(when.st_atime_ns, when.st_mtime_ns))
    return True


def collect(paths: SweepPaths, known: Known | None = None) -> list[dict[str, Any]]:
    """What `result.json` of every trial says, with `number` and `overrides`, in order of numbers.

    Only what is not in `known`, or was written since, is read, and is then in it.
    """
    seen: Known = {} if known is None else known
    numbers = sorted(int(f.name) for f in paths.root.iterdir() if f.name.isdecimal()) if paths.root.is_dir() else []
    found = (_look(paths.trial(number), seen) for number in numbers)
    return [trial for trial in found if trial is not None]


def ranked(trials: Sequence[dict[str, Any]], direction: str) -> list[dict[str, Any]]:
    """The completed trials, best first; equal ones in order of their numbers."""
    sign = -1 if direction == "maximize" else 1
    valued = [trial for trial in trials if trial["status"] == "completed"]
    return sorted(valued, key=lambda trial: (sign * trial["objective"]["value"], trial["number"]))


def front_first(best: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """With several objectives, the trials of the Pareto front before the others; else as they come."""
    if not best or len(best[0].get("objectives", ())) < 2:
        return list(best)
    front = {trial["number"] for trial in pareto_front(best)}
    marked = [{**trial, "front": trial["number"] in front} for trial in best]
    return sorted(marked, key=lambda trial: not trial["front"])


def pareto_front(trials: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The trials that no other one equals or beats in every objective and beats in one; the order is kept."""
    points = [
        tuple(o["value"] if o["direction"] == "minimize" else -o["value"] for o in trial["objectives"])
        for trial in trials
    ]
    front: list[tuple[float, ...]] = []
    for point in sorted(set(points)):  # whatever beats a point comes before it
        if not any(all(a <= b for a, b in zip(other, point, strict=True)) for other in front):
            front.append(point)
    return [trial for trial, point in zip(trials, points, strict=True) if point in front]


def trials_csv(trials: Sequence[dict[str, Any]]) -> str:
    """One row a trial: number, status, objective, the overrides as columns, metrics, cost, error."""
    keys = list(dict.fromkeys(key for trial in trials for key in trial["overrides"]))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    costs = (
        "seed", "best_epoch", "epochs", "n_parameters", "train_seconds", "config_digest", "mlflow_run_id", "same_as",
        "failure", "error",
    )  # fmt: skip
    writer.writerow(["number", "status", "objective", *keys, *METRICS, *(c for c in costs if c not in keys)])
    for trial in trials:
        writer.writerow(
            [trial["number"], trial["status"], trial["objective"]["value"]]
            + [trial["overrides"].get(key) for key in keys]
            + [trial["metrics"].get(name) for name in METRICS]
            + [trial.get(name) for name in costs if name not in keys]
        )
    return text.getvalue()


def best_config(paths: RunPaths) -> str:
    """A complete config that repeats a trial, with what Hydra needs to put it where runs belong."""
    values = read_yaml(paths.config_resolved)
    hydra = read_yaml(paths.hydra)["hydra"] if paths.hydra.is_file() else {}
    kept = {key: hydra[key] for key in ("run", "job_logging", "hydra_logging") if key in hydra}
    head = "# python train.py --config-path <this folder, absolute> --config-name best_config\n"
    return head + to_yaml({**values, "hydra": kept})


def reuse(paths: SweepPaths, number: int, source: int) -> None:
    """Gives trial `number` what the equal trial `source` left, but for weights and plots, and says so in it.

    A trial that another driver evaluated in a folder of its own left nothing here, so neither does its equal.
    """
    target, found = paths.trial(number), paths.trial(source)
    if not found.result.is_file():
        return
    target.root.mkdir(parents=True, exist_ok=True)
    target.overrides.parent.mkdir(exist_ok=True)
    for name in ("config_resolved", "metrics", "seeds", "overrides"):
        if getattr(found, name).is_file():
            shutil.copyfile(getattr(found, name), getattr(target, name))
    write_json(target.result, {**read_json(found.result), "same_as": source, "mlflow_run_id": None})


def _look(paths: RunPaths, known: Known) -> dict[str, Any] | None:
    """A trial as it was read before, or as it is now; None while there is no result."""
    number = int(paths.root.name)
    try:
        written = paths.result.stat().st_mtime_ns
    except FileNotFoundError:
        return None
    if known.get(number, (None,))[0] != written:
        trial = _trial(paths)
        if trial is None:
            return None
        known[number] = written, trial
    return known[number][1]


def _trial(paths: RunPaths) -> dict[str, Any] | None:
    try:
        stored = read_json(paths.result)
        overrides = read_overrides(paths.overrides) if paths.overrides.is_file() else []
    except RunFolderError as error:
        log.warning("left out of the summary: %s", error)
        return None
    pairs = (override.lstrip("+").split("=", 1) for override in overrides if "=" in override)
    return {**stored, "number": int(paths.root.name), "overrides": dict(pairs)}


@dataclass(frozen=True)
class Place:
    """Where a run stands: `key` as in `RunRecord`, the sweep's name or None, the trial's number or None."""

    paths: RunPaths
    key: str = ""
    sweep: str | None = None
    number: int | None = None

    @property
    def name(self) -> str:
        if self.number is None:
            return self.paths.root.absolute().name
        return f"{'final' if self.key.startswith(FINAL) else 'trial'} {self.number}"


def is_sweep(root: Path) -> bool:
    """Whether the folder is a sweep's."""
    return SweepPaths(root).manifest.is_file()


def places(root: Path) -> Iterator[Place]:
    """Every run in the folder of a sweep or of a single run, in order of numbers; some may have no result yet."""
    if not is_sweep(root):
        yield Place(RunPaths(root))
        return
    name = root.absolute().name
    for prefix, folder in (("", root), (f"{FINAL}/", root / FINAL)):
        names = [entry.name for entry in folder.iterdir() if entry.name.isdecimal()] if folder.is_dir() else []
        for number in sorted(map(int, names)):
            yield Place(RunPaths(folder / str(number)), f"{prefix}{number}", name, number)


def sweep_summary(root: Path) -> dict[str, Any]:
    """What the leading process wrote down at the sweep's end; empty while it runs, or if it was killed."""
    return read_json(SweepPaths(root).manifest).get("summary") or {}
