"""`SweepLog`: progress, files and tracking of a sweep, in the process that leads it.

Everything is read from the folders of the trials, so it is right after a resume and with any launcher.
"""

import functools
import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from phalanx.analysis.final import Finalist, in_order, read_finalists, write_final
from phalanx.analysis.out_of_fold import write_out_of_fold
from phalanx.core.console import busy, plain_console, print_line, print_words
from phalanx.core.files import write_text
from phalanx.core.metrics import direction_of
from phalanx.jobs.closing_tables import final_summary
from phalanx.jobs.live_report import LiveReport
from phalanx.jobs.sweep_progress import SweepProgress
from phalanx.runs.config import Config, objectives_of, overrides_typed, tracking_spec
from phalanx.runs.final_folder import chosen_by_final, decided
from phalanx.runs.layout import SweepPaths
from phalanx.runs.left_out import LeftOut
from phalanx.runs.manifest import Manifest, read_manifest, update_manifest
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
from phalanx.tracking.client import LoggingProcess, tracker

log = logging.getLogger(__name__)

MOST_BEGUN = 8  # runs whose figures are drawn at the same time: their numbers are in memory


class SweepLog:
    """What the leading process does around the jobs of one sweep."""

    def __init__(
        self, root: Path, config: Config, *, n_trials: int | None, manifest: Mapping[str, Any] | None = None,
        console: Console | None = None, live_report_s: float | None = None,
        logging_process: LoggingProcess | None = None,
    ) -> None:  # fmt: skip
        """Writes nothing yet.

        Args:
            root: The folder of the sweep.
            config: The configuration without the overrides of single jobs.
            n_trials: The total number of trials; None if it is not known.
            manifest: Entries of the manifest.
            console: By default standard output.
            live_report_s: Seconds between two reports while the sweep runs; None for one at its end alone.
            logging_process: As of `tracker`.
        """
        self.paths, self.manifest = SweepPaths(root), dict(manifest or {})
        self.tracking = tracking_spec(config)
        self.overrides = overrides_typed(config)
        self.console = console or plain_console()
        self.tracker = tracker(self.tracking, root, lambda text: print_line(self.console, text), logging_process)
        self.direction = direction_of(objectives_of(config)[0])
        self.min_updates = (config.get("trainer") or {}).get("min_updates")
        self.progress = SweepProgress(self.console, n_trials, self.direction)
        self.live_report = LiveReport(root, live_report_s)
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
        self.progress.start(str(self.paths.root), self.overrides)
        if self.min_updates is not None:
            said = f"trainer.min_updates={self.min_updates} raises the epochs of a trial until it makes so many updates"
            print_words(self.console, f"{said}; trials.csv has the epochs of each")

    def kept(self, n_trials: int, changed: Mapping[str, int]) -> None:
        """Prints how many trials of an earlier start stay, and how many train again for a reason that is given."""
        if n_trials:
            trials = "1 trial was" if n_trials == 1 else f"{n_trials} trials were"
            print_line(self.console, f"{trials} finished before and stay as they are")
        for why, n in changed.items():
            print_line(self.console, f"{why}; {'1 trial trains' if n == 1 else f'{n} trials train'} again")

    def say_once(self, text: str) -> None:
        """Prints a line that holds for several trials, the first time."""
        if text not in self.progress.told:
            self.progress.told.add(text)
            print_words(self.console, text)

    def trains_anew(self, number: int) -> None:
        """Takes a trial of an earlier start out of the counts; its folder has no result any more."""
        self.known.pop(number, None)
        self.best = [trial for trial in self.best if trial.number != number]
        self.progress.discard(number)

    def trial_ended(self, number: int, overrides: Sequence[str]) -> None:
        """Shows a finished trial; a second call for the same result does nothing."""
        before = self.known.get(number)
        trial = read_trial(self.paths.trial(number), self.known)
        if trial is not None and trial is not before:
            self.progress.add(trial, overrides)
            self._keep_best([trial])
            self.live_report.update()

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
        """Writes the summary files, prints the summary, draws plots of the best trials and ends tracking.

        Args:
            error: The exception that ended the sweep early, if any.
            left_out: Takes the files that cannot be read or written, each of which leaves the others as they are.
        """
        self.live_report.stop()
        trials = collect(self.paths, self.known, left_out)
        best, finalists = self._sum_up(trials, left_out, stopped=error is not None)
        if best:
            left_out.attempt(lambda: self._register(best[0].number), None)
        with busy(self.console, "drawing"), ExitStack() as plots:  # which are drawn while the report is made
            left_out.attempt(lambda: self._draw(best[: self.tracking.keep], plots), None)
            left_out.attempt(lambda: self._measure_baselines(trials), None)
            self._report(trials, finalists, left_out)
        interrupted = isinstance(error, KeyboardInterrupt)
        nothing_to_do = not trials and error is None  # other drivers have evaluated all, in folders of their own
        status = "interrupted" if interrupted else "completed" if best or nothing_to_do else "failed"
        summary = summarise_sweep(trials, best, status)
        left_out.attempt(lambda: update_manifest(self.paths, summary=summary), {})
        with busy(self.console, "MLflow") if self.tracking.kind != "none" else nullcontext():
            left_out.attempt(lambda: self._track(trials), None)
            self.tracker.end(status)
        for line in self.tracker.lines:
            print_line(self.console, line)

    def _sum_up(
        self, trials: Sequence[StoredRun], left_out: LeftOut, *, stopped: bool
    ) -> tuple[list[StoredRun], list[Finalist]]:
        """Writes the tables and `best_config.yaml`, and prints the numbers. Returns the best trials and finalists."""
        searched = front_first(ranked(trials, self.direction))
        self._add_missing(trials)
        self._keep_best(trials)
        left_out.attempt(lambda: write_text(self.paths.trials, trials_csv(trials)), None)
        self.progress.stop()
        finalists = left_out.attempt(lambda: read_finalists(self.paths, searched), [])
        write = functools.partial(write_final, self.paths, finalists, self.direction)
        sentences = left_out.attempt(write, []) if finalists else []
        chosen = left_out.attempt(lambda: chosen_by_final(self.paths), None)
        best = decided(searched, chosen)
        if best:
            number = best[0].number
            left_out.attempt(lambda: write_text(self.paths.best_config, best_config(self.paths, number)), None)
        ending = left_out.attempt(lambda: read_manifest(self.paths), {}).get("ending")
        for line in left_out.attempt(lambda: write_out_of_fold(self.paths, trials), []):
            print_line(self.console, line)
        self.progress.summary(searched, str(self.paths.root), ending, stopped=stopped, chosen=chosen)
        if finalists:
            final_summary(self.console, in_order(finalists, self.direction), sentences)
        return best, finalists

    def _track(self, trials: Sequence[StoredRun]) -> None:
        """Waits until the trials are logged to MLflow, and adds their ids there to `trials.csv`."""
        self.tracker.wait_until_delivered()
        if self.tracker.run_id is not None:
            update_manifest(self.paths, mlflow_run_id=self.tracker.run_id)
            ids = {trial.number: read_mlflow_run_id(self.paths.trial(trial.number)) for trial in trials}
            known = [replace(trial, mlflow_run_id=ids[trial.number]) for trial in trials]
            write_text(self.paths.trials, trials_csv(known))
        if self.tracker.place is not None:
            from phalanx.report.build import add_place

            add_place(self.paths, self.tracker.place)

    def _measure_baselines(self, trials: Sequence[StoredRun]) -> None:
        """Notes what the cheapest baselines reach, for the report of a search."""
        if self.manifest.get("search") and trials:
            from phalanx.jobs.reference_lines import reference_values

            update_manifest(self.paths, baselines=reference_values(self.paths, trials))

    def _report(self, trials: Sequence[StoredRun], finalists: Sequence[Finalist], left_out: LeftOut) -> None:
        """Writes `report.html`; if drawing it fails, only a warning is logged."""
        from phalanx.report.build import write_sweep_report

        try:
            write_sweep_report(self.paths, trials, finalists=finalists or None, left_out=left_out)
        except OSError as error:
            left_out.add(error)
        except Exception:
            log.warning("the report could not be written; everything else is in %s", self.paths.root, exc_info=True)

    def _register(self, number: int) -> None:
        """Writes example rows of the best trial's model, which is then registered while figures are drawn."""
        from phalanx.runs.run_folder import read_run, write_example

        trial = self.paths.trial(number)
        registered = trial if trial.model.is_file() else self.paths.final(number)
        if self.tracking.register != "none" and registered.model.is_file():
            write_example(registered, read_run(registered)[0].data)
            self.tracker.register(number)

    def _draw(self, best: Sequence[StoredRun], plots: ExitStack) -> None:
        """Begins to draw plots of the best trials, which are there at the end of `plots`."""
        from phalanx.report.run_figures.draw import draw_plots, drawing_plots
        from phalanx.runs.run_folder import read_run

        for place, trial in enumerate(best):
            paths = self.paths.trial(trial.number)
            if paths.model.is_file() and not paths.plots.is_dir():
                if place < MOST_BEGUN:
                    plots.enter_context(drawing_plots(paths, *read_run(paths)))
                else:
                    draw_plots(paths, *read_run(paths))
