"""A sweep's folder: its trials, read, ranked and summed up."""

import logging
import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict, cast

from phalanx.core.csv_text import csv_text
from phalanx.core.errors import RunFolderError, UnreadableFile
from phalanx.core.reading import MAX_TABLE, check_file
from phalanx.core.result import Status
from phalanx.runs.config_file import read_values, to_yaml
from phalanx.runs.conform import check_items, hints
from phalanx.runs.layout import FINAL, RunPaths, SweepPaths
from phalanx.runs.left_out import LeftOut
from phalanx.runs.manifest import read_manifest
from phalanx.runs.stored_run import StoredRun, find_stored_run, read_stored_run, write_stored_run

log = logging.getLogger(__name__)

METRICS = ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "val_likelihood", "test_loss", "test_accuracy")
COLUMNS = (
    "seed", "best_epoch", "epochs", "n_parameters", "train_seconds", "config_digest", "mlflow_run_id", "same_as",
    "failure", "error",
)  # fmt: skip


class SweepSummary(TypedDict, total=False):
    """The summary of a sweep in its manifest: how it ended, its best trial, and counts of trials."""

    status: str  # completed, failed or interrupted
    best: int | None  # the number of the best trial
    metrics: dict[str, float | None]  # of the best trial, and n_trials, n_failed, n_interrupted
    params: dict[str, str]  # overrides of the best trial


def summarise_sweep(trials: Sequence[StoredRun], best: Sequence[StoredRun], status: str) -> SweepSummary:
    """Summarises a sweep for its manifest and for a tracking store.

    Args:
        trials: All trials of the sweep.
        best: The completed ones, the best first.
        status: How the sweep ended: completed, failed or interrupted.
    """
    n_interrupted = sum(trial.ending == "interrupted" for trial in trials)
    n_failed = sum(trial.value is None for trial in trials) - n_interrupted
    counts = {"n_trials": len(trials), "n_failed": n_failed, "n_interrupted": n_interrupted}
    if not best:
        return {"status": status, "best": None, "metrics": {**counts}, "params": {}}
    metrics, params = {**best[0].metrics, **counts}, dict(best[0].overrides)
    return {"status": status, "best": best[0].number, "metrics": metrics, "params": params}


def collect(
    paths: SweepPaths, known: dict[int, StoredRun] | None = None, left_out: LeftOut | None = None
) -> list[StoredRun]:
    """The finished trials of a sweep, in order of their numbers.

    Args:
        paths: The sweep's folder.
        known: Trials by number that were read before. Only trials that are not in it, or were written since, are
            read, and are then in it.
        left_out: Takes the trials whose files cannot be read; None logs a warning for each.
    """
    known = {} if known is None else known
    found = (read_trial(paths.trial(number), known, left_out) for number in _numbers(paths.root))
    return [trial for trial in found if trial is not None]


def read_trial(paths: RunPaths, known: dict[int, StoredRun], left_out: LeftOut | None = None) -> StoredRun | None:
    """The trial in this folder; None without a result that can be read.

    Args:
        paths: The trial's folder.
        known: As of `collect`.
        left_out: As of `collect`.
    """
    number = int(paths.root.name)
    try:
        if number not in known or known[number].written_ns != paths.result.stat().st_mtime_ns:
            known[number] = read_stored_run(paths.root)
    except FileNotFoundError:
        return None
    except (RunFolderError, OSError) as error:
        known.pop(number, None)
        if left_out is None:
            log.warning("left out of the summary: %s", error)
        else:
            left_out.add(error)
        return None
    return known[number]


def direction_of(trials: Sequence[StoredRun]) -> str:
    """The direction of the objective, which trials that failed early do not know; `maximize` where none knows."""
    return next((trial.objective.direction for trial in trials if trial.objective.direction), "maximize")


def ranked(trials: Sequence[StoredRun], direction: str) -> list[StoredRun]:
    """The completed trials, best first; equal ones in order of their numbers."""
    sign = -1 if direction == "maximize" else 1
    valued = [trial for trial in trials if trial.status is Status.COMPLETED and trial.value is not None]
    return sorted(valued, key=lambda trial: (sign * (trial.value or 0.0), trial.number))


def front_first(best: Sequence[StoredRun]) -> list[StoredRun]:
    """With several objectives, the trials of the Pareto front, marked so, before the others; else all as they are."""
    if not best or len(best[0].objectives) < 2:
        return list(best)
    front = {trial.number for trial in pareto_front(best)}
    marked = [replace(trial, front=trial.number in front) for trial in best]
    return sorted(marked, key=lambda trial: not trial.front)


def pareto_front(trials: Sequence[StoredRun]) -> list[StoredRun]:
    """The trials that no other one equals or beats in every objective and beats in one; the order is kept.

    A trial without a value of an objective is not on the front.
    """
    points = [
        tuple(math.inf if o.value is None else o.value if o.direction == "minimize" else -o.value for o in t.objectives)
        for t in trials
    ]
    front: list[tuple[float, ...]] = []
    for point in sorted(set(points)):  # whatever beats a point comes before it
        if not any(all(a <= b for a, b in zip(other, point, strict=True)) for other in front):
            front.append(point)
    return [trial for trial, point in zip(trials, points, strict=True) if point in front]


def trials_csv(trials: Sequence[StoredRun]) -> str:
    """One row a trial: number, status, objective, the overrides as columns, metrics, cost, error."""
    keys = list(dict.fromkeys(key for trial in trials for key in trial.overrides))
    columns = [name for name in COLUMNS if name not in keys]
    rows: list[list[Any]] = [["number", "status", "objective", *keys, *METRICS, *columns]]
    for trial in trials:
        rows.append(
            [trial.number, trial.status, trial.value]
            + [trial.overrides.get(key) for key in keys]
            + [trial.metrics.get(name) for name in METRICS]
            + [getattr(trial, name) for name in columns]
        )
    return csv_text(rows)


def best_config(paths: RunPaths) -> str:
    """A complete config that repeats a trial, with what Hydra needs to put it where runs belong."""
    values = read_values(paths.config_resolved)
    hydra = read_values(paths.hydra, inside=paths.root).get("hydra") if paths.hydra.is_file() else None
    hydra = hydra if isinstance(hydra, dict) else {}
    kept = {key: hydra[key] for key in ("run", "job_logging", "hydra_logging") if key in hydra}
    head = "# python train.py --config-path <this folder, absolute> --config-name best_config\n"
    return head + to_yaml({**values, "hydra": kept})


def reuse(paths: SweepPaths, number: int, source: int) -> None:
    """Writes the files of the equal trial `source`, except weights and plots, for trial `number`.

    Without effect if another driver evaluated `source` in a folder of its own.
    """
    target, found = paths.trial(number), paths.trial(source)
    stored = find_stored_run(found.root)
    if stored is None:
        return
    target.root.mkdir(parents=True, exist_ok=True)
    target.overrides.parent.mkdir(exist_ok=True)
    for name in ("config_resolved", "metrics", "seeds", "overrides"):
        if getattr(found, name).is_file():
            check_file(getattr(found, name), inside=found.root, limit=MAX_TABLE)
            shutil.copyfile(getattr(found, name), getattr(target, name))
    write_stored_run(target, replace(stored, same_as=source))


@dataclass(frozen=True)
class RunLocation:
    """The folder of a run in what is logged, with its `key` as in `RunRecord`; sweep and number only of a trial."""

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
    return os.path.lexists(SweepPaths(root).manifest)


def run_locations(root: Path) -> Iterator[RunLocation]:
    """Every run in the folder of a sweep or of a single run, in order of numbers; some may have no result yet."""
    if not is_sweep(root):
        yield RunLocation(RunPaths(root))
        return
    name = root.absolute().name
    for prefix, folder in (("", root), (f"{FINAL}/", root / FINAL)):
        for number in _numbers(folder):
            yield RunLocation(RunPaths(folder / str(number)), f"{prefix}{number}", name, number)


def _numbers(folder: Path) -> list[int]:
    """The trial numbers that name a folder's entries."""
    return sorted(int(f.name) for f in folder.iterdir() if f.name.isdecimal()) if folder.is_dir() else []


def sweep_summary(root: Path) -> SweepSummary:
    """The summary in a sweep's manifest; empty while the sweep runs, or if its process was killed.

    Raises `UnreadableFile` if the manifest is damaged.
    """
    paths = SweepPaths(root)
    summary = read_manifest(paths).get("summary") or {}
    try:
        check_items({"summary": summary}, {"summary": Mapping[str, Any]})
        check_items(summary, hints(SweepSummary))
    except ValueError as error:
        raise UnreadableFile(paths.manifest, f"is damaged: in its summary {error}") from error
    return cast(SweepSummary, summary)
