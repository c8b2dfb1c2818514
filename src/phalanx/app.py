"""One job from its composed config to its files: what `train.py` does, without Hydra.

Flow: config → specs → data → training → files → plots → tracking → a number for the sweeper.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from rich.console import Console

from phalanx import verdict
from phalanx.checkpoint import Checkpoints
from phalanx.config import Settings, read_yaml, resolved_yaml, settings, trial_spec
from phalanx.data import Dataset, load_dataset
from phalanx.data.base import DataSpec
from phalanx.device import DeviceSpec, resolve
from phalanx.errors import (
    CheckpointError,
    DeviceError,
    Failure,
    PhalanxError,
    RequestError,
    Superseded,
    TrainingInterrupted,
    failure_of,
)
from phalanx.live import Live
from phalanx.manifest import Fence, Sweep
from phalanx.observer import Deadline, Observer
from phalanx.paths import RunPaths, relative, write_json, write_text
from phalanx.progress import RunProgress, headline, opening, summary
from phalanx.repeats import combined, curves_csv, rows
from phalanx.result import Status, TrialResult, values_of
from phalanx.runs import described, read_run, write_failure, write_run
from phalanx.spec import COSTS, OBJECTIVES, TrialSpec, config_digest
from phalanx.study import Pruning
from phalanx.tracking import Tracker, tracker
from phalanx.training import train_cohort

log = logging.getLogger(__name__)

FindTrial = Callable[[], Any] | None
EXAMPLE_ROWS = 3


@dataclass(frozen=True)
class Trained:
    """What `phalanx.together` has trained of a job before the job itself is run: a result for each seed."""

    results: Sequence[TrialResult]
    interrupt: TrainingInterrupted | None = None
    error: Exception | None = None
    note: str = ""
    fence: Fence | None = None  # as it stood when the training began


ready: dict[Path, Trained] = {}  # by the job's folder


class RunFailed(PhalanxError):
    """The request was right, but training did not end well; all that there is has been written."""


def run(
    cfg: Any, folder: Path, sweep: Sweep | None = None, console: Console | None = None, find_trial: FindTrial = None
) -> float | tuple[float, ...]:
    """Trains the configuration and leaves everything in `folder`. Returns the objective; NaN if it diverged.

    With several objectives it returns all of them. `find_trial` gives the study's trial to prune by. Raises
    `RequestError` before training if the request is wrong, and `RunFailed` if a single run diverged. Either way, and
    after any other error, `result.json` says so.
    """
    job = _Job(cfg, RunPaths(folder), sweep, console or Console(), find_trial)
    try:
        job.train()
    except Superseded:
        raise
    except CheckpointError:  # what the run had reached stays as it is
        job.follow.cancel()
        raise
    except (Exception, KeyboardInterrupt) as error:
        job.fail(error)
        raise
    # From here on the result is written, and nothing that fails may take it back.
    job.finish()
    return values_of(job.content)


class _Job:
    """What is known of a job on its way from config to files."""

    def __init__(self, cfg: Any, paths: RunPaths, sweep: Sweep | None, console: Console, find_trial: FindTrial) -> None:
        self.cfg, self.paths, self.sweep, self.console, self.find_trial = cfg, paths, sweep, console, find_trial
        self.trained = ready.pop(paths.root, None)
        self.fence = (self.trained and self.trained.fence) or Fence(paths)
        self.follow, self.known = Tracker(), {}

    def train(self) -> None:
        """From the configuration to the written result."""
        self.asked = settings(self.cfg)
        if self.sweep is None:  # a sweep's trials are followed by the process that leads it
            self.follow = tracker(self.asked.tracking, self.paths.root)
        trial, self.specs = self.asked.trial, with_seeds(self.asked.trial, self.sweep)
        self.known.update(seed=self.specs[0].seed, config_digest=config_digest(trial))
        keeper = None if self.trained else checkpoints(self.asked, self.paths.root, self.sweep, self.fence)
        write_text(self.paths.config_resolved, resolved_yaml(self.cfg, seed=self.specs[0].seed))
        device = _device(trial.device, self.trained)
        self.dataset = dataset_of(trial.data)
        self.known.update(device=device, data_digest=self.dataset.digest, data=described(trial.data, self.dataset))
        self.follow.start()
        results, self.interrupt = self._train(keeper) if keeper else _taken(self.trained)
        self.fence.check()
        self.result, self.content = self._write(results)

    def _train(self, keeper: Checkpoints) -> tuple[list[TrialResult], TrainingInterrupted | None]:
        """The result of each seed, and what interrupted the training, if anything did."""
        specs, sweep = self.specs, self.sweep
        log.info("training %s%s", specs[0], f" with {len(specs)} seeds" if len(specs) > 1 else "")
        keeper.begin(self.dataset.digest)
        if keeper.states and sweep is None:
            self.paths.result.unlink(missing_ok=True)  # of the part before: a folder without one is being trained
        try:
            if sweep is not None:
                watcher = self._live(_watcher(specs[0], sweep, self.find_trial, keeper.seconds_before), keeper)
                return train_cohort(specs, self.dataset, watcher, test=sweep.reads_test, keeper=keeper), None
            self.console.print(opening(specs[0], self.dataset, keeper.epochs_before), highlight=False, soft_wrap=True)
            with RunProgress(self.console) as progress:
                return train_cohort(specs, self.dataset, self._live(progress, keeper), keeper=keeper), None
        except TrainingInterrupted as interrupted:
            if sweep is None and self.paths.checkpoint.is_file():
                go_on = f"go on: python train.py resume={relative(self.paths.root)}"
                self.console.print(go_on, highlight=False, soft_wrap=True)
            return interrupted.results, interrupted

    def _live(self, watcher: Observer, keeper: Checkpoints) -> Live:
        live = Live(self.paths, self.asked.tracking.live, self.fence, watcher)
        live.goes_on(dict(enumerate(keeper.states)))
        return live

    def _write(self, results: Sequence[TrialResult]) -> tuple[TrialResult, dict[str, Any]]:
        """Writes what the seeds reached; returns it as one result, and what `result.json` says."""
        aggregate = "mean" if self.sweep is None or self.sweep.final else self.sweep.manifest.aggregate
        result = combined(results, aggregate)
        failure = {Status.DIVERGED: Failure.DIVERGED, Status.FAILED: Failure.INTERRUPTED}.get(result.status)
        extra = {"failure": failure and str(failure), "objectives": objectives(self.asked.objectives, result)}
        if len(results) > 1:
            extra |= {"aggregate": aggregate, "repeats": rows(results)}
            write_text(self.paths.seeds, curves_csv(results))
        content = write_run(self.paths, self.specs[0], self.dataset, result, extra)
        if result.status is not Status.FAILED:
            self.paths.checkpoint.unlink(missing_ok=True)
        return result, content

    def fail(self, error: BaseException) -> None:
        """Writes down what ended the job before it had a result."""
        self.fence.check()
        write_failure(self.paths, f"{type(error).__name__}: {error}", failure=str(failure_of(error)), **self.known)
        self.follow.cancel() if isinstance(error, RequestError) else self.follow.end("failed")

    def finish(self) -> None:
        """Plots, tracking, and what a person is told. Raises `RunFailed`, or what interrupted the training."""
        log.info(headline(self.result))
        if self.sweep is None and self.interrupt is None:
            draw_plots(self.paths, self.specs[0], self.dataset, self.result)
            if self.asked.tracking.register == "all":
                write_example(self.paths, self.asked.trial.data)
        _track(self.follow, self.paths, self.content)
        if self.interrupt is not None:
            raise self.interrupt
        if self.sweep is None:
            summary(self.console, self.result, relative(self.paths.root))
            _judge(self.console, self.specs[0], self.result)


def _device(spec: DeviceSpec, trained: Trained | None) -> str:
    """Where the job trains, or has trained: elsewhere there may be a device that is not here."""
    if trained is not None and trained.results:
        return trained.results[0].device
    try:
        return str(resolve(spec))
    except DeviceError:
        if trained is None:
            raise
        return spec.kind


def _judge(console: Console, spec: TrialSpec, result: TrialResult) -> None:
    """Raises `RunFailed` if the run diverged, or missed the training accuracy that was expected; says if it did not."""
    if result.status is Status.DIVERGED:
        raise RunFailed(f"the run diverged: {result.error}; try a lower optimizer.lr or trainer.clip_norm=1")
    if spec.trainer.expect_accuracy is None:
        return
    text = verdict.sentence(spec, result)
    if not verdict.passed(spec, result):
        raise RunFailed(text)
    console.print(text, highlight=False, soft_wrap=True)


def with_seeds(spec: TrialSpec, sweep: Sweep | None) -> list[TrialSpec]:
    """The trial with each seed that its sweep asks for."""
    return [spec] if sweep is None else [replace(spec, seed=seed) for seed in sweep.seeds(spec.seed)]


def _taken(trained: Trained) -> tuple[Sequence[TrialResult], TrainingInterrupted | None]:
    """The results of a job that was trained in a cohort; raises what ended it."""
    if trained.error is not None:
        raise trained.error
    log.info(trained.note)
    return trained.results, trained.interrupt


def _watcher(spec: TrialSpec, sweep: Sweep, find_trial: FindTrial, spent: float) -> Observer:
    watcher, limit = pruning(spec, sweep, find_trial), sweep.manifest.trial_timeout_s
    return watcher if limit is None else Deadline(limit, watcher, spent)


def checkpoints(asked: Settings, folder: Path, sweep: Sweep | None, fence: Fence | None = None) -> Checkpoints:
    """Where a job in this folder goes on, and what keeps how far it is.

    Raises `CheckpointError` if there is a checkpoint of something else; a sweep, which nobody watches, sets it aside.
    """
    return Checkpoints(RunPaths(folder), asked.checkpoint, with_seeds(asked.trial, sweep), fence, strict=sweep is None)


def pruning(spec: TrialSpec, sweep: Sweep, find_trial: FindTrial) -> Observer:
    """Who reports the trial's epochs to its study; nobody in a grid and in a final."""
    if not sweep.manifest.search or sweep.final or find_trial is None:
        return Observer()
    return Pruning(find_trial(), spec.objective)


def objectives(names: Sequence[str], result: TrialResult) -> list[dict[str, Any]]:
    """Name, value and direction of everything the trial was asked to be good at; the first as in `objective`."""
    found = [asdict(result.objective)]
    for name in names[1:]:
        number = getattr(result, name) if name in COSTS else getattr(result.metrics, name)
        value = None if result.objective.value is None else number
        found.append({"name": name, "value": value, "direction": (OBJECTIVES | COSTS)[name]})
    return found


def _track(follow: Tracker, paths: RunPaths, content: dict[str, Any]) -> None:
    """Waits until the run is in the tracking store, and writes its id there into `result.json`."""
    follow.settle()
    if "" in follow.ids:
        content["mlflow_run_id"] = follow.ids[""]
        write_json(paths.result, content)
    follow.end(content["status"])


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
    return spec, dataset_of(spec.data), read_run(paths)


def write_example(paths: RunPaths, spec: DataSpec) -> None:
    """The first rows of the data as they come from its source: what the registered model shows as its input."""
    rows = spec.read().x[:EXAMPLE_ROWS]
    if hasattr(rows, "to_json"):  # a pandas table
        content = json.loads(rows.to_json(orient="split", index=False))
    else:
        content = {"data": rows.reshape(len(rows), -1).tolist()}
    write_json(paths.example, content)


@lru_cache(maxsize=2)
def dataset_of(spec: DataSpec) -> Dataset:
    """The data on the CPU, read once for all trials of a sweep that share it."""
    return _offered.pop(spec, None) or load_dataset(spec)


_offered: dict[DataSpec, Dataset] = {}


def offer(spec: DataSpec, dataset: Dataset) -> None:
    """Has `dataset_of` give this, which came from another process, where it has not read the data itself."""
    _offered[spec] = dataset
    dataset_of(spec)
    _offered.clear()
