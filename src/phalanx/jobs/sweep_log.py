"""A sweep's folder and its progress: manifest, live line, `trials.csv`, `best_config.yaml`, what is kept.

Everything is read back from the trials' own folders, so it is right after a resume and with any launcher.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from phalanx.analysis.final import Finalist, in_order, read_finalists, write_final
from phalanx.core.files import write_text
from phalanx.jobs.progress import SweepProgress, final_summary
from phalanx.runs.config import objectives_of, tracking_spec
from phalanx.runs.layout import SweepPaths
from phalanx.runs.manifest import update_manifest
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
from phalanx.tracking import tracker
from phalanx.training.spec import OBJECTIVES

log = logging.getLogger(__name__)


class SweepLog:
    """What the launching process does around the jobs of one sweep."""

    def __init__(
        self, root: Path, config: Any, *, n_trials: int | None, manifest: Mapping[str, Any] | None = None,
        console: Console | None = None,
    ) -> None:  # fmt: skip
        self.paths, self.n_trials, self.manifest = SweepPaths(root), n_trials, dict(manifest or {})
        self.tracking = tracking_spec(config)
        self.tracker = tracker(self.tracking, root)
        self.direction = OBJECTIVES.get(objectives_of(config)[0], "maximize")
        self.console = console or Console()

    def start(self) -> None:
        """Creates the folder and the manifest, or goes on with those of an earlier start; begins to track."""
        self.paths.root.mkdir(parents=True, exist_ok=True)
        update_manifest(self.paths, summary=None, **self.manifest)
        self.tracker.start()
        self.progress = SweepProgress(self.console, self.n_trials, self.direction)
        self.known: dict[int, StoredRun] = {}
        self.best: list[StoredRun] = []  # those that keep their weights
        earlier = collect(self.paths, self.known)
        for trial in earlier:
            self.progress.add(trial, quiet=True)
        self._keep(earlier)
        self.progress.start(str(self.paths.root))

    def training(self, text: str) -> None:
        """Shows how far the cohort is that trains now."""
        self.progress.training(text)

    def kept(self, n_trials: int) -> None:
        """Says that so many trials stay as an earlier start has left them."""
        trials = "1 trial was" if n_trials == 1 else f"{n_trials} trials were"
        self.console.print(f"{trials} finished before and stay as they are", highlight=False, soft_wrap=True)

    def trial_ended(self, number: int, overrides: Sequence[str]) -> None:
        """Shows one more trial and thins out what is kept; a second call for the same result does nothing."""
        before = self.known.get(number)
        trial = read_trial(self.paths.trial(number), self.known)
        if trial is not None and trial is not before:
            self.progress.add(trial, overrides)
            self._keep([trial])

    def _keep(self, trials: Sequence[StoredRun]) -> None:
        """Takes the weights from those that drop out of the best, or never were among them."""
        numbers = {trial.number for trial in trials}
        held = [trial for trial in self.best if trial.number not in numbers] + list(trials)
        self.best = ranked(held, self.direction)[: self.tracking.keep]
        for number in {trial.number for trial in held} - {trial.number for trial in self.best}:
            self.paths.trial(number).model.unlink(missing_ok=True)

    def finish(self, error: BaseException | None = None) -> None:
        """Writes the summary files, draws the plots of the best, and ends the tracking.

        `error` is what ended the sweep before its time, if anything did.
        """
        trials = collect(self.paths, self.known)
        best = front_first(ranked(trials, self.direction))
        for trial in trials:
            if trial.number not in self.progress.trials:  # another driver's of the same study
                self.progress.add(trial, quiet=True)
        self._keep(trials)
        write_text(self.paths.trials, trials_csv(trials))
        self.progress.stop()
        if best:
            write_text(self.paths.best_config, best_config(self.paths.trial(best[0].number)))
            self._draw(best[: self.tracking.keep])
        finalists = read_finalists(self.paths, best)
        sentences = write_final(self.paths, finalists, self.direction) if finalists else []
        self._report(trials, finalists)
        interrupted = isinstance(error, KeyboardInterrupt)
        nothing_to_do = not trials and error is None  # other drivers have evaluated all, in folders of their own
        status = "interrupted" if interrupted else "completed" if best or nothing_to_do else "failed"
        ending = update_manifest(self.paths, summary=summarise_sweep(trials, best, status)).get("ending")
        self._track(trials, status)
        self.progress.summary(best, str(self.paths.root), ending, stopped=error is not None)
        if self.tracker.model is not None:
            serve = f"mlflow models serve -m {self.tracker.model} --env-manager local"
            self.console.print(f"model: {self.tracker.model}  ({serve})", highlight=False, soft_wrap=True)
        if finalists:
            final_summary(self.console, in_order(finalists, self.direction), sentences)

    def _track(self, trials: Sequence[StoredRun], status: str) -> None:
        """Waits until the trials are logged to MLflow, and adds their ids there to `trials.csv`."""
        self.tracker.wait_until_delivered()
        if self.tracker.run_id is not None:
            update_manifest(self.paths, mlflow_run_id=self.tracker.run_id)
            ids = {trial.number: read_mlflow_run_id(self.paths.trial(trial.number)) for trial in trials}
            known = [replace(trial, mlflow_run_id=ids[trial.number]) for trial in trials]
            write_text(self.paths.trials, trials_csv(known))
        self.tracker.end(status)

    def _report(self, trials: Sequence[StoredRun], finalists: Sequence[Finalist]) -> None:
        """`report.html`; a report that fails is logged and costs nothing else."""
        from phalanx.report.build import write_sweep_report

        try:
            write_sweep_report(self.paths, trials, finalists=finalists)
        except Exception:
            log.warning("the report could not be written; everything else is in %s", self.paths.root, exc_info=True)

    def _draw(self, best: Sequence[StoredRun]) -> None:
        """Plots of the best trials, and for the best of all what its registered model shows as input."""
        from phalanx.report.run_figures.draw import draw_plots
        from phalanx.runs.run_folder import read_run, write_example

        for rank, trial in enumerate(best):
            paths = self.paths.trial(trial.number)
            if paths.model.is_file() and not paths.plots.is_dir():
                draw_plots(paths, *read_run(paths))
            if rank == 0 and paths.model.is_file() and self.tracking.register != "none":
                write_example(paths, read_run(paths)[0].data)
