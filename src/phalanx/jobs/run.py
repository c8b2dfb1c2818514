"""One job from its composed config to its files: what `train.py` does, without Hydra.

Flow: config → specs → data → training → files → plots → tracking → a number for the sweeper.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from phalanx.analysis import overfit_check
from phalanx.core.callbacks import Callback
from phalanx.core.device import DeviceSpec, resolve
from phalanx.core.errors import (
    CheckpointError,
    DeviceError,
    Failure,
    PhalanxError,
    RequestError,
    Superseded,
    TrainingInterrupted,
    failure_of,
)
from phalanx.core.files import write_text
from phalanx.core.result import Status, TrialResult
from phalanx.data.cache import dataset_of
from phalanx.jobs.handover import JobResult, ready
from phalanx.jobs.job import FindTrial, _watcher, checkpointer_of, objectives, with_seeds
from phalanx.jobs.progress import RunProgress, headline, opening, summary
from phalanx.jobs.seeds import combined, seed_results
from phalanx.report.run_figures.draw import draw_plots
from phalanx.runs.checkpoint import RunCheckpointer
from phalanx.runs.config import resolved_yaml, settings
from phalanx.runs.fencing import FencingToken
from phalanx.runs.layout import RunPaths, relative
from phalanx.runs.live_metrics import LiveMetrics
from phalanx.runs.manifest import Sweep
from phalanx.runs.metrics_csv import curves_csv
from phalanx.runs.run_folder import described, write_example, write_failure, write_run
from phalanx.runs.stored_run import StoredRun
from phalanx.tracking import Tracker, tracker
from phalanx.training.loop import train_cohort
from phalanx.training.spec import TrialSpec, config_digest

log = logging.getLogger(__name__)


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
        job.tracker.cancel()
        raise
    except (Exception, KeyboardInterrupt) as error:
        job.fail(error)
        raise
    # From here on the result is written, and nothing that fails may take it back.
    job.finish()
    return job.stored.return_value


class _Job:
    """What is known of a job on its way from config to files."""

    def __init__(self, cfg: Any, paths: RunPaths, sweep: Sweep | None, console: Console, find_trial: FindTrial) -> None:
        self.cfg, self.paths, self.sweep, self.console, self.find_trial = cfg, paths, sweep, console, find_trial
        self.trained = ready.pop(paths.root, None)
        self.fence = (self.trained and self.trained.fence) or FencingToken(paths)
        self.tracker, self.known = Tracker(), {}

    def train(self) -> None:
        """From the configuration to the written result."""
        self.asked = settings(self.cfg)
        if self.sweep is None:  # the process that leads a sweep logs its trials
            self.tracker = tracker(self.asked.tracking, self.paths.root)
        trial, self.specs = self.asked.trial, with_seeds(self.asked.trial, self.sweep)
        self.known.update(seed=self.specs[0].seed, config_digest=config_digest(trial))
        checkpointer = None if self.trained else checkpointer_of(self.asked, self.paths.root, self.sweep, self.fence)
        write_text(self.paths.config_resolved, resolved_yaml(self.cfg, seed=self.specs[0].seed))
        device = _device(trial.device, self.trained)
        self.dataset = dataset_of(trial.data)
        self.known.update(device=device, data_digest=self.dataset.digest, data=described(trial.data, self.dataset))
        self.tracker.start()
        results, self.interrupt = self._train(checkpointer) if checkpointer else _taken(self.trained)
        self.fence.check()
        self.result, self.stored = self._write(results)

    def _train(self, checkpointer: RunCheckpointer) -> tuple[list[TrialResult], TrainingInterrupted | None]:
        """The result of each seed, and what interrupted the training, if anything did."""
        specs, sweep = self.specs, self.sweep
        log.info("training %s%s", specs[0], f" with {len(specs)} seeds" if len(specs) > 1 else "")
        checkpointer.begin(self.dataset.digest)
        if checkpointer.states and sweep is None:
            self.paths.result.unlink(missing_ok=True)  # of the part before: a folder without one is being trained
        try:
            if sweep is not None:
                watcher = self._live(
                    _watcher(specs[0], sweep, self.find_trial, checkpointer.seconds_before), checkpointer
                )
                return train_cohort(
                    specs, self.dataset, watcher, test=sweep.reads_test, checkpointer=checkpointer
                ), None
            self.console.print(
                opening(specs[0], self.dataset, checkpointer.epochs_before), highlight=False, soft_wrap=True
            )
            with RunProgress(self.console) as progress:
                return train_cohort(
                    specs, self.dataset, self._live(progress, checkpointer), checkpointer=checkpointer
                ), None
        except TrainingInterrupted as interrupted:
            if sweep is None and self.paths.checkpoint.is_file():
                go_on = f"go on: python train.py resume={relative(self.paths.root)}"
                self.console.print(go_on, highlight=False, soft_wrap=True)
            return interrupted.results, interrupted

    def _live(self, watcher: Callback, checkpointer: RunCheckpointer) -> LiveMetrics:
        live = LiveMetrics(self.paths, self.asked.tracking.live, self.fence, watcher)
        live.goes_on(dict(enumerate(checkpointer.states)))
        return live

    def _write(self, results: Sequence[TrialResult]) -> tuple[TrialResult, StoredRun]:
        """Writes the results of the seeds; returns them as one result, and as the record that was written."""
        aggregate = "mean" if self.sweep is None or self.sweep.final else self.sweep.manifest.aggregate
        result = combined(results, aggregate)
        failure = {Status.DIVERGED: Failure.DIVERGED, Status.FAILED: Failure.INTERRUPTED}.get(result.status)
        several = len(results) > 1
        if several:
            write_text(self.paths.seeds, curves_csv(results))
        stored = write_run(
            self.paths, self.specs[0], self.dataset, result, objectives=objectives(self.asked.objectives, result),
            failure=failure, aggregate=aggregate if several else None, repeats=seed_results(results) if several else (),
        )  # fmt: skip
        if result.status is not Status.FAILED:
            self.paths.checkpoint.unlink(missing_ok=True)
        return result, stored

    def fail(self, error: BaseException) -> None:
        """Writes down what ended the job before it had a result."""
        self.fence.check()
        write_failure(self.paths, f"{type(error).__name__}: {error}", failure_of(error), **self.known)
        self.tracker.cancel() if isinstance(error, RequestError) else self.tracker.end("failed")

    def finish(self) -> None:
        """Plots, tracking, and what a person is told. Raises `RunFailed`, or what interrupted the training."""
        log.info(headline(self.result))
        if self.sweep is None and self.interrupt is None:
            draw_plots(self.paths, self.specs[0], self.dataset, self.result)
            if self.asked.tracking.register == "all":
                write_example(self.paths, self.asked.trial.data)
        self.tracker.end(str(self.stored.status))
        if self.interrupt is not None:
            raise self.interrupt
        if self.sweep is None:
            summary(self.console, self.result, relative(self.paths.root))
            _judge(self.console, self.specs[0], self.result)


def _device(spec: DeviceSpec, trained: JobResult | None) -> str:
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
    text = overfit_check.sentence(spec, result)
    if not overfit_check.passed(spec, result):
        raise RunFailed(text)
    console.print(text, highlight=False, soft_wrap=True)


def _taken(trained: JobResult) -> tuple[Sequence[TrialResult], TrainingInterrupted | None]:
    """The results of a job that was trained in a cohort; raises what ended it."""
    if trained.error is not None:
        raise trained.error
    log.info(trained.note)
    return trained.results, trained.interrupt
