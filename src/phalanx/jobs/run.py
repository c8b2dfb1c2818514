"""`run(job)`: one job from its configuration to its files, without Hydra.

Configuration → specs → data → training → files → plots → tracking → a number for the sweeper.
"""

import functools
import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from rich.console import Console

from phalanx.analysis import overfit_check
from phalanx.analysis.ensemble.predictions import write_predictions
from phalanx.analysis.out_of_fold import write_fold
from phalanx.analysis.sample_intervals import sample_intervals
from phalanx.core.advice import folder_option
from phalanx.core.baselines import NAMES, NOTE, UNUSED
from phalanx.core.console import busy, plain_console, print_line, print_request, print_words
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
from phalanx.core.metrics import BASIC, COSTS, METRICS, direction_of, split_name
from phalanx.core.result import Objective, Status, TrialResult
from phalanx.data import Dataset
from phalanx.data.cache import dataset_of
from phalanx.jobs.job import Job, JobResult
from phalanx.jobs.run_progress import RunProgress, about_inputs, headline, opening, summary
from phalanx.jobs.seeds import combined, correlation_of_folds, seed_results
from phalanx.report.run_figures.draw import draw_plots
from phalanx.runs.checkpoint import RunCheckpointer
from phalanx.runs.config import Settings, resolved_yaml
from phalanx.runs.layout import RunPaths, relative
from phalanx.runs.metrics_csv import curves_csv
from phalanx.runs.run_folder import described, read_run, write_example, write_failure, write_run
from phalanx.runs.stored_run import StoredRun
from phalanx.tracking.client import LoggingProcess, Tracker, tracker
from phalanx.training.epochs import epochs_note
from phalanx.training.loop import train_cohort
from phalanx.training.schedule_check import check_schedule
from phalanx.training.spec import TrialSpec, config_digest

log = logging.getLogger(__name__)


class RunFailed(PhalanxError):
    """The configuration was valid, but training did not end well; all files have been written."""


def run(
    job: Job, trained: JobResult | None = None, console: Console | None = None,
    logging_process: LoggingProcess | None = None,
) -> float | tuple[float, ...]:  # fmt: skip
    """Trains a job and writes its files. Also after an error `result.json` tells what happened.

    Args:
        job: The job; a single run shows its progress on the console.
        trained: The result of a job that a scheduler has trained, which is then only written.
        console: The console of a single run; by default standard output.
        logging_process: As of `phalanx.tracking.client.tracker`, for a single run.

    Returns:
        The objective, or all of them if there are several; NaN where the trial has no value.

    Raises:
        RequestError: The configuration or the data are wrong; nothing was trained.
        RunFailed: A single run diverged, or missed `trainer.expect_accuracy`.
        TrainingInterrupted: Ctrl-C or SIGTERM, after everything reached was written.
    """
    attempt = _Attempt(job, console or plain_console(), logging_process)
    try:
        attempt.train(trained)
    except Superseded:
        raise
    except CheckpointError:  # leaves the files of the interrupted run as they are
        attempt.tracker.cancel()
        raise
    except (Exception, KeyboardInterrupt) as error:
        attempt.fail(error)
        raise
    # The result is written from here on, and no later error may replace it by a failure.
    attempt.finish()
    return attempt.stored.return_value


class _Attempt:
    """One attempt to train a job and to write its files."""

    def __init__(self, job: Job, console: Console, logging_process: LoggingProcess | None) -> None:
        self.job, self.console, self.tracker, self.logging_process = job, console, Tracker(), logging_process
        self.known: dict[str, Any] = {"job_overrides": job.overrides}  # for `result.json` in case of an error

    def train(self, trained: JobResult | None) -> None:
        """Validates, trains, and writes the result. `trained` takes the place of training."""
        job, settings = self.job, self.job.settings
        if job.sweep is None:  # the process that leads a sweep tracks all its trials
            say = functools.partial(print_line, self.console)
            self.tracker = tracker(settings.tracking, job.folder, say, self.logging_process)
        self.known.update(seed=job.specs[0].seed, config_digest=config_digest(job.trial))
        assert not isinstance(job.config, Settings), "a job is run where it was configured"
        start = trained or job.checkpointer()
        write_text(job.paths.config_resolved, resolved_yaml(job.config, seed=job.specs[0].seed))
        device = _device(job.trial.device, trained)
        self.dataset = dataset_of(job.trial.data)
        about = described(job.trial.data, self.dataset)
        self.known.update(device=device, data_digest=self.dataset.digest, data=about)
        if warning := check_schedule(job.trial, len(self.dataset.train)):
            log.log(
                logging.WARNING if job.sweep is None else logging.INFO, warning
            )  # a sweep would print it many times
        self.note = epochs_note(job.trial, len(self.dataset.train))
        self.tracker.start()
        outcome = self._train(start) if isinstance(start, RunCheckpointer) else start
        if outcome.error is not None:
            raise outcome.error
        if outcome.note:
            log.info(outcome.note)
        job.check_fence()
        self.interrupt = outcome.interrupt
        self.result, self.stored = self._write(outcome.results)

    def _train(self, checkpointer: RunCheckpointer) -> JobResult:
        job, specs = self.job, self.job.specs
        for line in about_inputs(self.dataset.inputs, self.dataset.notes):
            log.info(line)
        if self.note:
            log.info(self.note)
        log.info("training %s%s", specs[0], f" {len(specs)} times, with other seeds or folds" if len(specs) > 1 else "")
        datasets = job.datasets()
        checkpointer.begin(*datasets)
        if job.sweep is None and checkpointer.states:
            job.paths.result.unlink(missing_ok=True)  # a folder without a result is still being trained
        try:
            with self._progress(checkpointer) as progress:
                callback = job.callback(checkpointer, progress)
                return JobResult(
                    train_cohort(specs, datasets, callback, test=job.reads_test, checkpointer=checkpointer)
                )
        except TrainingInterrupted as interrupt:
            if job.sweep is None and job.paths.checkpoint.is_file():
                print_line(self.console, f"go on: python train.py {folder_option('resume', relative(job.folder))}")
            return JobResult(interrupt.results, interrupt)

    def _progress(self, checkpointer: RunCheckpointer) -> AbstractContextManager[RunProgress | None]:
        """The progress of a single run; in a sweep it is shown for all jobs together."""
        if self.job.sweep is not None:
            return nullcontext()
        print_words(self.console, opening(self.job.trial, self.dataset, checkpointer.epochs_before))
        print_request(self.console, self.job.overrides)
        if self.note:
            print_words(self.console, self.note)
        for line in [*_without_effect(self.job), *about_inputs(self.dataset.inputs, self.dataset.notes)]:
            print_words(self.console, line)
        return RunProgress(self.console)

    def _write(self, results: Sequence[TrialResult]) -> tuple[TrialResult, StoredRun]:
        """Writes the results of the seeds; returns them as one result, and as the record that was written."""
        job, paths = self.job, self.job.paths
        aggregate = "mean" if job.sweep is None or job.sweep.final else job.sweep.manifest.aggregate
        several = len(results) > 1
        datasets = job.datasets() if several else [self.dataset]
        result = combined(results, aggregate, job.specs, correlation_of_folds(job.specs, datasets))
        failure = {Status.DIVERGED: Failure.DIVERGED, Status.FAILED: Failure.INTERRUPTED}.get(result.status)
        repeats = seed_results(results, job.specs, datasets) if several else []
        if several:
            write_text(paths.seeds, curves_csv(results, [row.place for row in repeats]))
        every = job.sweep is None
        stored = write_run(
            paths, job.specs[0], self.dataset, result, objectives=objectives(job.settings.objectives, result),
            failure=failure, aggregate=aggregate if several else None, repeats=repeats, job_overrides=job.overrides,
            intervals=None if several else _intervals(job.trial, self.dataset, result, every=every),
        )  # fmt: skip
        if job.trial.data.has_folds and job.sweep is not None and not job.sweep.manifest.search:
            write_fold(paths, job.trial, self.dataset, results)
        if job.sweep is not None and job.sweep.manifest.predictions and not job.sweep.final:
            write_predictions(paths, job.specs, datasets, results)
        if result.status is not Status.FAILED:
            paths.checkpoint.unlink(missing_ok=True)
        return result, stored

    def fail(self, error: BaseException) -> None:
        """Writes the error that ended the job before it had a result."""
        self.job.check_fence()
        text = f"{type(error).__name__}: {error}"
        write_failure(self.job.paths, text, failure_of(error), **self.known)
        self.tracker.cancel() if isinstance(error, RequestError) else self.tracker.end("failed")

    def finish(self) -> None:
        """Prints the result, draws and tracks it. Raises `RunFailed`, or the interrupt that ended training."""
        job = self.job
        if self.result.way is not None:
            log.info("model=%s trained %s", job.trial.model.name, self.result.way)
        for note in self.result.notes:
            log.info("note: %s", note)
        log.info(headline(self.result))
        if job.sweep is None and self.interrupt is None:
            summary(self.console, self.result, relative(job.folder), self.stored.intervals or {})
            with busy(self.console, "drawing"):
                draw_plots(job.paths, job.trial, self.dataset, self.result)
            if job.settings.tracking.register == "all":
                write_example(job.paths, job.trial.data)
        tracked = job.sweep is None and job.settings.tracking.kind != "none"
        with busy(self.console, "MLflow") if tracked else nullcontext():
            self.tracker.end(str(self.stored.status))
        if self.interrupt is not None:
            raise self.interrupt
        if job.sweep is None:
            for line in self.tracker.lines:
                print_line(self.console, line)
            if text := _check_outcome(job.trial, self.result):
                print_line(self.console, text)


def _without_effect(job: Job) -> list[str]:
    """A note for a baseline that was started with options of a network."""
    keys = [text.lstrip("+~").partition("=")[0] for text in job.overrides]
    typed = [key for key in keys if key.partition(".")[0] in UNUSED and key != "trainer.metrics"]
    return [f"note: {NOTE}"] if typed and job.trial.model.name in NAMES else []


def draw_again(paths: RunPaths) -> None:
    """Draws the plots of a run that has ended. Raises `RequestError` if its files or its data cannot be read."""
    draw_plots(paths, *read_run(paths))


def objectives(names: Sequence[str], result: TrialResult) -> list[Objective]:
    """All objectives of the trial with their values; the first is that of `result`."""
    found = [result.objective]
    for name in names[1:]:
        number = getattr(result, name) if name in COSTS else result.metrics[name]
        value = None if result.objective.value is None else number
        found.append(Objective(name, value, direction_of(name)))
    return found


def _intervals(
    spec: TrialSpec, dataset: Dataset, result: TrialResult, *, every: bool
) -> Mapping[str, tuple[float, float]]:
    """The intervals of the test metrics over test samples; none, with a warning, where they cannot be computed.

    Args:
        spec: What was trained.
        dataset: Its data.
        result: Its result.
        every: Whether all metrics get one; else loss, accuracy, likelihood and the metric of the objective.
    """
    basic = {info.name for info in BASIC}
    names = METRICS if every else [split_name(spec.objective)[1]]
    try:
        return sample_intervals(spec, dataset, result, [name for name in names if name not in basic])
    except Exception:
        log.warning("the test metrics have no intervals over test samples", exc_info=True)
        return {}


def _device(spec: DeviceSpec, trained: JobResult | None) -> str:
    """The device that the job trains on, or was trained on, perhaps on a machine with other devices."""
    if trained is not None and trained.results:
        return trained.results[0].device
    try:
        return str(resolve(spec))
    except DeviceError:
        if trained is None or isinstance(trained.error, DeviceError):
            raise
        return spec.kind


def _check_outcome(spec: TrialSpec, result: TrialResult) -> str:
    """Raises `RunFailed` if the run diverged or missed `trainer.expect_accuracy`; returns a text if it reached it."""
    if result.status is Status.DIVERGED:
        raise RunFailed(f"the run diverged: {result.error}; try a lower optimizer.lr or trainer.clip_norm=1")
    if spec.trainer.expect_accuracy is None:
        return ""
    text = overfit_check.sentence(spec, result)
    if not overfit_check.passed(spec, result):
        raise RunFailed(text)
    return text
