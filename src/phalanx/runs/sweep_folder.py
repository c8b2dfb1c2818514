"""A sweep's folder: its trials, read, ranked and summed up."""

import logging
import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict, cast

from phalanx.core.csv_text import csv_text, override_columns
from phalanx.core.errors import RunFolderError, UnreadableFile
from phalanx.core.metrics import SPLITS, measures_of
from phalanx.core.reading import MAX_TABLE, check_file
from phalanx.core.result import Status
from phalanx.runs.config_file import read_values, to_yaml
from phalanx.runs.conform import check_items, hints
from phalanx.runs.final_folder import chosen_by_final, decided
from phalanx.runs.layout import FINAL, MADE, RunPaths, SweepPaths
from phalanx.runs.left_out import LeftOut
from phalanx.runs.manifest import Manifest, read_manifest
from phalanx.runs.stored_run import StoredRun, find_usable_run, read_stored_run, write_stored_run

log = logging.getLogger(__name__)

FIRST_METRICS = (
    "train_loss", "train_accuracy", "val_loss", "val_accuracy", "val_likelihood", "test_loss", "test_accuracy",
)  # fmt: skip
COLUMNS = (
    "seed", "best_epoch", "epochs", "n_parameters", "train_seconds", "config_digest", "mlflow_run_id", "same_as",
    "failure", "error",
)  # fmt: skip

FIRST = ("number", "status", "objective")
RESULTS = (*FIRST, *FIRST_METRICS, *COLUMNS)  # columns of every `trials.csv`, which are not overrides


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
    found = (read_trial(paths.trial(number), known, left_out) for number in trial_numbers(paths))
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
            stored, other = read_stored_run(paths.root), next(iter(known.values()), None)
            known[number] = stored if other is None else stored.sharing(other)
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
    """One row a trial: number, status, objective, the overrides as columns of their own, metrics, cost, error.

    Behind them come the further metrics of which any trial has a value.
    """
    keys = list(dict.fromkeys(key for trial in trials for key in trial.overrides))
    there = {name for trial in trials for name, value in trial.metrics.items() if value is not None}
    further = [name for measure in measures_of(there) for split in SPLITS
               if (name := f"{split}_{measure}") in there and name not in FIRST_METRICS]  # fmt: skip
    named = override_columns(keys, [*RESULTS, *further])
    rows: list[list[Any]] = [[*FIRST, *named, *FIRST_METRICS, *COLUMNS, *further]]
    for trial in trials:
        rows.append(
            [trial.number, trial.status, trial.value]
            + [trial.overrides.get(key) for key in keys]
            + [trial.metrics.get(name) for name in FIRST_METRICS]
            + [getattr(trial, name) for name in COLUMNS]
            + [trial.metrics.get(name) for name in further]
        )
    return csv_text(rows)


def best_config(paths: SweepPaths, number: int) -> str:
    """A complete config that repeats a trial, with what Hydra needs to put it where runs belong."""
    values = read_values(paths.trial(number).config_resolved)
    files = (paths.request, paths.trial(number).hydra)  # a sweeper of somebody else's may write the second alone
    stored = (read_values(file, inside=paths.root).get("hydra") for file in files if file.is_file())
    hydra = next((node for node in stored if isinstance(node, dict)), {})
    kept = {key: hydra[key] for key in ("run", "job_logging", "hydra_logging") if key in hydra}
    head = "# python train.py --config-path <this folder, absolute> --config-name best_config\n"
    return head + to_yaml({**values, "hydra": kept})


def reuse(paths: SweepPaths, number: int, source: int) -> None:
    """Writes the files of the equal trial `source`, except weights and plots, for trial `number`.

    Without effect if another driver evaluated `source` in a folder of its own, or its result cannot be read.
    """
    target, found = paths.trial(number), paths.trial(source)
    stored = find_usable_run(found.root)
    if stored is None:
        return
    for name in ("config_resolved", "metrics", "seeds", "overrides"):
        if getattr(found, name).is_file():
            check_file(getattr(found, name), inside=found.root, limit=MAX_TABLE)
            getattr(target, name).parent.mkdir(parents=True, exist_ok=True)
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
            root = self.paths.root.absolute()
            return f"{root.parent.name}-{root.name}" if root.name in MADE and is_sweep(root.parent) else root.name
        return f"{'final' if self.key.startswith(FINAL) else 'trial'} {self.number}"


def is_sweep(root: Path) -> bool:
    """Whether the folder is a sweep's."""
    return os.path.lexists(SweepPaths(root).manifest)


def best_with_weights(root: Path) -> RunPaths:
    """The best trial of a sweep that keeps its weights: first the one that its final chose. Raises `RunFolderError` if
    none does."""
    paths = SweepPaths(root)
    trials = collect(paths)
    for trial in decided(front_first(ranked(trials, direction_of(trials))), chosen_by_final(paths)):
        if paths.trial(trial.number).model.is_file():
            return paths.trial(trial.number)
    raise RunFolderError(f"{root} is a sweep, and none of its {len(trials)} trials keeps weights (see tracking.keep)")


def run_locations(root: Path) -> Iterator[RunLocation]:
    """Every run in the folder of a sweep or of a single run, in order of numbers; some may have no result yet."""
    if not is_sweep(root):
        yield RunLocation(RunPaths(root))
        return
    name = root.absolute().name
    paths = SweepPaths(root)
    for number in trial_numbers(paths):
        yield RunLocation(paths.trial(number), str(number), name, number)
    for number in numbered(root / FINAL):
        yield RunLocation(paths.final(number), f"{FINAL}/{number}", name, number)


def trial_numbers(paths: SweepPaths) -> list[int]:
    """The numbers of the trials that have a folder; of a grid without those of an earlier, larger one."""
    try:
        n_jobs = Manifest.read(paths).n_jobs
    except UnreadableFile:  # which whoever needs more of the manifest reports
        n_jobs = None
    return [number for number in numbered(paths.root) if n_jobs is None or number < n_jobs]


def numbered(folder: Path) -> list[int]:
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
