"""One job from its composed config to its files: what `train.py` does, without Hydra.

Flow: config → specs → data → training → files → plots → tracking → a number for the sweeper.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from rich.console import Console

from phalanx.config import Settings, read_yaml, resolved_yaml, settings, trial_spec
from phalanx.data import Dataset, load_dataset
from phalanx.data.base import DataSpec
from phalanx.device import resolve
from phalanx.errors import PhalanxError, TrainingInterrupted
from phalanx.fields import walk
from phalanx.observer import Observer
from phalanx.paths import RunPaths, SweepPaths, read_json, relative, write_json, write_text
from phalanx.progress import RunProgress, headline, summary
from phalanx.result import Status, TrialResult
from phalanx.runs import read_run, write_failure, write_run
from phalanx.spec import TrialSpec, config_digest
from phalanx.study import Pruning
from phalanx.tracking import RunRecord, tracker
from phalanx.training import train_trial

log = logging.getLogger(__name__)


class RunFailed(PhalanxError):
    """The request was right, but training did not end well; all that there is has been written."""


@dataclass(frozen=True)
class Sweep:
    """What a job has to know about the sweep it belongs to, read from the sweep's manifest."""

    name: str
    number: int
    search: bool = False  # a search chooses by validation, so its trials never read the test split
    parent: str | None = None  # the tracking run that holds the trials

    @classmethod
    def of(cls, folder: Path, number: int) -> Sweep:
        """The sweep whose trial `number` is written to `folder`."""
        manifest = SweepPaths(folder.parent).manifest
        known = read_json(manifest) if manifest.is_file() else {}
        return cls(folder.parent.name, number, bool(known.get("search")), known.get("parent"))


def run(cfg: Any, folder: Path, sweep: Sweep | None = None, console: Console | None = None) -> float:
    """Trains the configuration and leaves everything in `folder`. Returns the objective; NaN if it diverged.

    Raises `RequestError` before training if the request is wrong, and `RunFailed` if a single run diverged. Either
    way, and after any other error, `result.json` says so.
    """
    paths, console, started = RunPaths(folder), console or Console(), time.time()
    known: dict[str, Any] = {}
    try:
        asked = settings(cfg)
        known.update(seed=asked.trial.seed, config_digest=config_digest(asked.trial))
        write_text(paths.config_resolved, resolved_yaml(cfg))
        device = resolve(asked.trial.device)
        dataset = _dataset(asked.trial.data)
        known.update(device=str(device), data_digest=dataset.digest)
        result, interrupt = _train(asked.trial, dataset, sweep, console)
        content = write_run(paths, asked.trial, dataset, result)
    except (Exception, KeyboardInterrupt) as error:
        write_failure(paths, f"{type(error).__name__}: {error}", **known)
        raise
    # From here on the result is written, and nothing that fails may take it back.
    log.info(headline(result))
    if sweep is None and interrupt is None:
        draw_plots(paths, asked.trial, dataset, result)
    _track(asked, paths, sweep, result, content, started, interrupt is not None)
    if interrupt is not None:
        raise interrupt
    if sweep is None:
        summary(console, result, relative(paths.root))
        if result.status is Status.DIVERGED:
            raise RunFailed(f"the run diverged: {result.error}; try a lower optimizer.lr or trainer.clip_norm=1")
    return math.nan if result.objective.value is None else result.objective.value


def _train(
    spec: TrialSpec, dataset: Dataset, sweep: Sweep | None, console: Console
) -> tuple[TrialResult, TrainingInterrupted | None]:
    """The trial's result, and what interrupted it, if anything did."""
    log.info("training %s", spec)
    try:
        if sweep is not None:
            watcher = Pruning(sweep.number, spec.objective) if sweep.search else Observer()
            return train_trial(spec, dataset, watcher, test=not sweep.search), None
        console.print(_opening(spec, dataset), highlight=False, soft_wrap=True)
        with RunProgress(console) as progress:
            return train_trial(spec, dataset, progress), None
    except TrainingInterrupted as interrupted:
        return interrupted.results[0], interrupted


def _opening(spec: TrialSpec, dataset: Dataset) -> str:
    hidden = getattr(spec.model, "hidden", ())
    widths = "-".join(map(str, (dataset.n_features, *hidden, dataset.n_classes)))
    return (
        f"{dataset.name} ({len(dataset.train)} train, {len(dataset.val)} val, {len(dataset.test)} test)  "
        f"{widths} {getattr(spec.model, 'activation', '')}  {spec.loss.name}  {spec.optimizer.name} "
        f"lr={spec.optimizer.lr:g}  batch {spec.trainer.batch_size or len(dataset.train)}  seed {spec.seed}"
    )


def _track(
    asked: Settings, paths: RunPaths, sweep: Sweep | None, result: TrialResult, content: dict[str, Any],
    started: float, interrupted: bool,
) -> None:  # fmt: skip
    """Logs the run, and writes its id into `result.json` before the files are uploaded."""

    def on_started(run_id: str) -> None:
        content["mlflow_run_id"] = run_id
        write_json(paths.result, content)

    follow = tracker(asked.tracking)
    follow.log_run(record(paths, asked.trial, result, sweep, started, interrupted, content["git"]), on_started)


def draw_plots(paths: RunPaths, spec: TrialSpec, dataset: Dataset, result: TrialResult) -> None:
    """All plots of one run; a plot that fails is logged and costs nothing else."""
    from phalanx.report.plots import draw_run

    try:
        draw_run(paths.plots, dataset, spec, result)
    except Exception:
        log.warning("the plots could not be drawn; everything else is in %s", paths.root, exc_info=True)


def read_trial(paths: RunPaths) -> tuple[TrialSpec, Dataset, TrialResult]:
    """Everything about a finished run, from its folder."""
    spec = trial_spec(read_yaml(paths.config_resolved))
    return spec, _dataset(spec.data), read_run(paths)


def record(
    paths: RunPaths, spec: TrialSpec, result: TrialResult, sweep: Sweep | None, started: float, interrupted: bool,
    git: Mapping[str, Any],
) -> RunRecord:  # fmt: skip
    """What the tracker is told about one finished trial."""
    tags = {
        "phalanx.seed": str(spec.seed),
        "phalanx.config_digest": result.config_digest,
        "phalanx.data_digest": result.data_digest,
        "phalanx.status": str(result.status),
        "phalanx.git_commit": str(git.get("commit")),
        "phalanx.git_dirty": str(git.get("dirty")),
    }
    if sweep is not None:
        tags |= {"phalanx.study": sweep.name, "phalanx.trial": str(sweep.number)}
    final = {name: getattr(result.metrics, name) for name in type(result.metrics).__dataclass_fields__}
    numbers = {"best_epoch": result.best_epoch, "train_seconds": result.train_seconds}
    return RunRecord(
        name=paths.root.name if sweep is None else f"trial {sweep.number}",
        params=flat_params(spec),
        metrics={**final, **numbers, "n_parameters": result.n_parameters},
        history=result.history,
        tags=tags,
        status=result.status,
        folder=paths.root,
        parent=sweep.parent if sweep else None,
        interrupted=interrupted,
        start_ms=int(started * 1000),
        end_ms=int(time.time() * 1000),
    )


def flat_params(spec: TrialSpec) -> dict[str, Any]:
    """Every field as `group.name: value`, lists as text."""
    return {key: list(value) if isinstance(value, tuple) else value for key, _, value in walk(spec)}


@lru_cache(maxsize=2)
def _dataset(spec: DataSpec) -> Dataset:
    """The data on the CPU, read once for all trials of a sweep that share it."""
    return load_dataset(spec)
