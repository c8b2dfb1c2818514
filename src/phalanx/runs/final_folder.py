"""What a final leaves: the trial that it chose, and points on several splits, whose seeds each trained in a folder of
their own, as one result."""

import re
import shutil
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace

from phalanx.core.errors import UnreadableFile
from phalanx.core.reading import read_json
from phalanx.core.result import Status
from phalanx.runs.layout import RunPaths, SweepPaths
from phalanx.runs.stored_run import SeedResult, StoredRun, find_stored_run, write_stored_run

COPIED = ("config_resolved", "metrics", "overrides", "model")  # of the first split on which the training was completed


def chosen_by_final(paths: SweepPaths) -> int | None:
    """The number of the trial that `final.json` calls the best; None without a final, or if it has no best point.

    Raises `UnreadableFile` if the file is damaged.
    """
    if not paths.final_tests.exists():
        return None
    content = read_json(paths.final_tests)
    best = content.get("best", "") if isinstance(content, dict) else ""
    if best is None:
        return None
    if not isinstance(best, str) or not (found := re.fullmatch(r"trial ([0-9]+)", best)):
        raise UnreadableFile(paths.final_tests, "is damaged: its 'best' must be null or name a trial, as in 'trial 6'")
    return int(found[1])


def decided(best: Sequence[StoredRun], number: int | None) -> list[StoredRun]:
    """Trials that come best first in a search, with the one that its final chose before all others.

    Args:
        best: The trials.
        number: Of `chosen_by_final`.
    """
    return sorted(best, key=lambda trial: trial.number != number)


def combine_splits(target: RunPaths, folders: Mapping[int, RunPaths]) -> StoredRun | None:
    """Writes `result.json` of a point: its objective and metrics are means over the seeds.

    Without effect where a split has no result. If one seed diverged, so has the point.

    Args:
        target: The point's folder.
        folders: Those of its splits, by their seed.
    """
    found = {split_seed: find_stored_run(paths.root) for split_seed, paths in folders.items()}
    runs = {split_seed: run for split_seed, run in found.items() if run is not None}
    if len(runs) < len(folders):
        return None
    first = min(runs.values(), key=lambda run: run.status is not Status.COMPLETED)
    ends = {run.status for run in runs.values()}
    status = next((s for s in (Status.FAILED, Status.DIVERGED) if s in ends), Status.COMPLETED)
    errors = [f"split {split_seed}: {run.error}" for split_seed, run in runs.items() if run.error is not None]
    values = [run.value for run in runs.values()]
    objective = replace(first.objective, value=_mean(values) if status is Status.COMPLETED else None)
    for name in COPIED:
        source = getattr(RunPaths(first.folder), name)
        if source.is_file():
            getattr(target, name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, getattr(target, name))
    whole = replace(
        first,
        status=status,
        objective=objective,
        objectives=(objective, *first.objectives[1:]),
        metrics={name: _mean([run.metrics.get(name) for run in runs.values()]) for name in first.metrics},
        epochs=max(run.epochs for run in runs.values()),
        train_seconds=sum(run.train_seconds for run in runs.values()),
        error=f"{errors[0]} ({len(errors)} of {len(runs)} seeds)" if errors else None,
        failure=next((run.failure for run in runs.values() if run.failure is not None), None),
        aggregate="mean",
        classes=None,
        repeats=tuple(_seed(split_seed, run) for split_seed, run in runs.items()),
    )
    return write_stored_run(target, whole)


def _seed(split_seed: int, run: StoredRun) -> SeedResult:
    return SeedResult(
        -1 if run.seed is None else run.seed, run.status, run.value, run.metrics, run.best_epoch, run.epochs,
        run.error, split_seed, run.data_digest, run.classes,
    )  # fmt: skip


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known and len(known) == len(values) else None
