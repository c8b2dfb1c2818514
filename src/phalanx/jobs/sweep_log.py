"""`SweepLog`: progress, files and tracking of a sweep, in the process that leads it.

Everything is read from the folders of the trials, so it is right after a resume and with any launcher.
"""

import functools
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from phalanx.analysis.final import Finalist, in_order, read_finalists, write_final
from phalanx.core.files import write_text
from phalanx.jobs.progress import SweepProgress, final_summary, print_line
from phalanx.runs.config import Config, objectives_of, tracking_spec
from phalanx.runs.layout import SweepPaths
from phalanx.runs.left_out import LeftOut
from phalanx.runs.manifest import Manifest, update_manifest
from phalanx.runs.stored_run import StoredRun, read_mlflow_run_id
from phalanx.runs.sweep_folder import (
    best_config,
    collect,
    front_first,
    ranked,
    read_trial,
    summarise_sweep,
    trials_csv,
)  # fmt: skip
from phalanx.tracking.client import tracker
from phalanx.training.spec import OBJECTIVES

log = logging.getLogger(__name__)


class SweepLog:
    """What the leading process does around the jobs of one sweep."""

    def __init__(
        self, root: Path, config: Config, *, n_trials: int | None, manifest: Mapping[str, Any] | None = None,
        console: Console | None = None,
    ) -> None:  # fmt: skip
        """Writes nothing yet.

        Args:
            root: The folder of the sweep.
            config: The configuration without the overrides of single jobs.
            n_trials: The total number of trials; None if it is not known.
            manifest: Entries of the manifest.
            console: By default standard output.
        """
        self.paths, self.manifest = SweepPaths(root), dict(manifest or {})
        self.tracking = tracking_spec(config)
        self.tracker = tracker(self.tracking, root)
        self.direction = OBJECTIVES.get(objectives_of(config)[0], "maximize")
        self.console = console or Console()
        self.progress = SweepProgress(self.console, n_trials, self.direction)
        self.known: dict[int, StoredRun] = {}
        self.best: list[StoredRun] = []  # trials that keep their weights

    def start(self) -> None:
        """Writes the manifest, or continues that of an earlier start; starts tracking and opens the display.

        Raises `UnreadableFile` if that of the earlier start is damaged.
        """
        Manifest.read(self.paths)
        self.paths.root.mkdir(parents=True, exist_ok=True)
        update_manifest(self.paths, summary=None, **self.manifest)
        self.tracker.start()
        self._add_missing(earlier := collect(self.paths, self.known))
        self._keep_best(earlier)
        self.progress.start(str(self.paths.root))

    def kept(self, n_trials: int) -> None:
        """Prints how many trials an earlier start has completed."""
        trials = "1 trial was" if n_trials == 1 else f"{n_trials} trials were"
        print_line(self.console, f"{trials} finished before and stay as they are")

    def trial_ended(self, number: int, overrides: Sequence[str]) -> None:
        """Shows a finished trial; a second call for the same result does nothing."""
        before = self.known.get(number)
        trial = read_trial(self.paths.trial(number), self.known)
        if trial is not None and trial is not before:
            self.progress.add(trial, overrides)
            self._keep_best([trial])

    def _add_missing(self, trials: Sequence[StoredRun]) -> None:
        """Counts trials that this process has not seen ending: of an earlier start, or of another driver."""
        for trial in trials:
            if trial.number not in self.progress.trials:
                self.progress.add(trial, quiet=True)

    def _keep_best(self, trials: Sequence[StoredRun]) -> None:
        """Removes the weights of trials that are not, or no longer, among the best."""
        numbers = {trial.number for trial in trials}
        candidates = [trial for trial in self.best if trial.number not in numbers] + list(trials)
        self.best = ranked(candidates, self.direction)[: self.tracking.keep]
        for number in {trial.number for trial in candidates} - {trial.number for trial in self.best}:
            self.paths.trial(number).model.unlink(missing_ok=True)

    def finish(self, error: BaseException | None, left_out: LeftOut) -> None:
        """Writes the summary files, draws plots of the best trials, ends tracking and prints the summary.

        Args:
            error: The exception that ended the sweep early, if any.
            left_out: Takes the files that cannot be read or written, each of which leaves the others as they are.
        """
        trials = collect(self.paths, self.known, left_out)
        best = front_first(ranked(trials, self.direction))
        self._add_missing(trials)
        self._keep_best(trials)
        left_out.attempt(lambda: write_text(self.paths.trials, trials_csv(trials)), None)
        self.progress.stop()
        if best:
            first = self.paths.trial(best[0].number)
            left_out.attempt(lambda: write_text(self.paths.best_config, best_config(first)), None)
            left_out.attempt(lambda: self._draw(best[: self.tracking.keep]), None)
        finalists = left_out.attempt(lambda: read_finalists(self.paths, best), [])
        write = functools.partial(write_final, self.paths, finalists, self.direction)
        sentences = left_out.attempt(write, []) if finalists else []
        self._report(trials, finalists, left_out)
        interrupted = isinstance(error, KeyboardInterrupt)
        nothing_to_do = not trials and error is None  # other drivers have evaluated all, in folders of their own
        status = "interrupted" if interrupted else "completed" if best or nothing_to_do else "failed"
        summary = summarise_sweep(trials, best, status)
        ending = left_out.attempt(lambda: update_manifest(self.paths, summary=summary), {}).get("ending")
        left_out.attempt(lambda: self._track(trials), None)
        self.tracker.end(status)
        self.progress.summary(best, str(self.paths.root), ending, stopped=error is not None)
        if self.tracker.model is not None:
            serve = f"mlflow models serve -m {self.tracker.model} --env-manager local"
            print_line(self.console, f"model: {self.tracker.model}  ({serve})")
        if finalists:
            final_summary(self.console, in_order(finalists, self.direction), sentences)

    def _track(self, trials: Sequence[StoredRun]) -> None:
        """Waits until the trials are logged to MLflow, and adds their ids there to `trials.csv`."""
        self.tracker.wait_until_delivered()
        if self.tracker.run_id is not None:
            update_manifest(self.paths, mlflow_run_id=self.tracker.run_id)
            ids = {trial.number: read_mlflow_run_id(self.paths.trial(trial.number)) for trial in trials}
            known = [replace(trial, mlflow_run_id=ids[trial.number]) for trial in trials]
            write_text(self.paths.trials, trials_csv(known))

    def _report(self, trials: Sequence[StoredRun], finalists: Sequence[Finalist], left_out: LeftOut) -> None:
        """Writes `report.html`; if drawing it fails, only a warning is logged."""
        from phalanx.report.build import write_sweep_report

        try:
            write_sweep_report(self.paths, trials, finalists=finalists, left_out=left_out)
        except OSError as error:
            left_out.add(error)
        except Exception:
            log.warning("the report could not be written; everything else is in %s", self.paths.root, exc_info=True)

    def _draw(self, best: Sequence[StoredRun]) -> None:
        """Draws plots of the best trials; writes example rows for the registered model of the best one."""
        from phalanx.report.run_figures.draw import draw_plots
        from phalanx.runs.run_folder import read_run, write_example

        for rank, trial in enumerate(best):
            paths = self.paths.trial(trial.number)
            if paths.model.is_file() and not paths.plots.is_dir():
                draw_plots(paths, *read_run(paths))
            if rank == 0 and paths.model.is_file() and self.tracking.register != "none":
                write_example(paths, read_run(paths)[0].data)
