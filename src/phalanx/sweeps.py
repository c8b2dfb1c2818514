"""A sweep's folder and its progress: manifest, live line, `trials.csv`, `best_config.yaml`, what is kept.

Everything is read back from the trials' own folders, so it is right after a resume and with any launcher.
"""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from phalanx.config import read_yaml, to_yaml, tracking_spec
from phalanx.errors import RunFolderError
from phalanx.paths import RunPaths, SweepPaths, read_json, write_json, write_text
from phalanx.progress import SweepProgress
from phalanx.spec import OBJECTIVES
from phalanx.tracking import tracker

log = logging.getLogger(__name__)

METRICS = ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "val_likelihood", "test_loss", "test_accuracy")


class SweepLog:
    """What the launching process does around the jobs of one sweep."""

    def __init__(self, root: Path, config: Any, *, search: bool, n_trials: int | None, console: Console | None = None):
        self.paths, self.config, self.search, self.n_trials = SweepPaths(root), config, search, n_trials
        self.tracking = tracking_spec(config)
        self.tracker = tracker(self.tracking)
        self.direction = OBJECTIVES.get(config.get("objective"), "maximize")
        self.console = console or Console()
        self.parent: str | None = None

    def start(self) -> None:
        """Creates the folder, the tracking parent and the manifest; goes on with those of an earlier start."""
        self.paths.root.mkdir(parents=True, exist_ok=True)
        known = read_json(self.paths.manifest) if self.paths.manifest.is_file() else {}
        self.tracker.prepare()
        tags = {"phalanx.study": self.paths.root.name, "phalanx.folder": self.paths.root.as_posix()}
        self.parent = self.tracker.start_sweep(self.paths.root.name, tags, known.get("parent"))
        write_json(self.paths.manifest, {"search": self.search, "parent": self.parent or known.get("parent")})
        self.progress = SweepProgress(self.console, self.n_trials, self.direction)
        for trial in collect(self.paths):
            self.progress.add(trial, quiet=True)
        self.with_weights = set(self.progress.trials)
        self.progress.start(str(self.paths.root))

    def trial_ended(self, number: int, overrides: Sequence[str]) -> None:
        """Shows one more trial and thins out what is kept."""
        trial = _trial(self.paths.trial(number))
        if trial is not None:
            self.with_weights.add(number)
            self.progress.add(trial, overrides)
            self._thin()

    def _thin(self) -> None:
        """Takes the weights from the trial that dropped out of the best, or never was among them."""
        trials = list(self.progress.trials.values())
        kept = {trial["number"] for trial in ranked(trials, self.direction)[: self.tracking.keep]}
        for number in self.with_weights - kept:
            self.paths.trial(number).model.unlink(missing_ok=True)
        self.with_weights &= kept

    def finish(self, error: BaseException | None = None) -> None:
        """Writes the summary files, draws the plots of the best, closes the tracking parent.

        `error` is what ended the sweep before its time, if anything did.
        """
        trials = collect(self.paths)
        best = ranked(trials, self.direction)
        write_text(self.paths.trials, trials_csv(trials))
        self.progress.stop()
        if best:
            write_text(self.paths.best_config, best_config(self.paths.trial(best[0]["number"])))
            self._draw(best[: self.tracking.keep])
        self._report(trials, best)
        interrupted = isinstance(error, KeyboardInterrupt)
        status = "interrupted" if interrupted else "completed" if best else "failed"
        metrics = {
            **(best[0]["metrics"] if best else {}),
            "n_trials": len(trials),
            "n_failed": sum(t["objective"]["value"] is None for t in trials),
        }
        params = best[0]["overrides"] if best else {}
        self.tracker.end_sweep(self.parent, status, metrics, self.paths.root, params)
        ending = read_json(self.paths.manifest).get("ending")
        self.progress.summary(best, str(self.paths.root), ending, stopped=error is not None)

    def _report(self, trials: Sequence[dict[str, Any]], best: Sequence[dict[str, Any]]) -> None:
        """`report.html`; a report that fails is logged and costs nothing else."""
        from phalanx.report.sweep import report_html

        try:
            write_text(self.paths.report, report_html(self.paths.root.name, trials, best, self.direction))
        except Exception:
            log.warning("the report could not be written; everything else is in %s", self.paths.root, exc_info=True)

    def _draw(self, best: Sequence[dict[str, Any]]) -> None:
        """Plots of the best trials, which also join their runs in the tracker."""
        from phalanx.app import draw_plots, read_trial

        for trial in best:
            paths = self.paths.trial(trial["number"])
            if paths.model.is_file() and not paths.plots.is_dir():
                draw_plots(paths, *read_trial(paths))
                self.tracker.attach(trial["mlflow_run_id"], paths.root)


def collect(paths: SweepPaths) -> list[dict[str, Any]]:
    """What `result.json` of every trial says, with `number` and `overrides`, in order of numbers."""
    numbers = sorted(int(f.name) for f in paths.root.iterdir() if f.name.isdecimal()) if paths.root.is_dir() else []
    found = (_trial(paths.trial(number)) for number in numbers)
    return [trial for trial in found if trial is not None]


def ranked(trials: Sequence[dict[str, Any]], direction: str) -> list[dict[str, Any]]:
    """The completed trials, best first; equal ones in order of their numbers."""
    sign = -1 if direction == "maximize" else 1
    valued = [trial for trial in trials if trial["status"] == "completed"]
    return sorted(valued, key=lambda trial: (sign * trial["objective"]["value"], trial["number"]))


def trials_csv(trials: Sequence[dict[str, Any]]) -> str:
    """One row a trial: number, status, objective, the overrides as columns, metrics, cost, error."""
    keys = list(dict.fromkeys(key for trial in trials for key in trial["overrides"]))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    costs = ("seed", "best_epoch", "epochs", "n_parameters", "train_seconds", "config_digest", "mlflow_run_id", "error")
    writer.writerow(["number", "status", "objective", *keys, *METRICS, *(c for c in costs if c not in keys)])
    for trial in trials:
        writer.writerow(
            [trial["number"], trial["status"], trial["objective"]["value"]]
            + [trial["overrides"].get(key) for key in keys]
            + [trial["metrics"].get(name) for name in METRICS]
            + [trial.get(name) for name in costs if name not in keys]
        )
    return text.getvalue()


def best_config(paths: RunPaths) -> str:
    """A complete config that repeats a trial, with what Hydra needs to put it where runs belong."""
    values = read_yaml(paths.config_resolved)
    hydra = read_yaml(paths.hydra)["hydra"] if paths.hydra.is_file() else {}
    kept = {key: hydra[key] for key in ("run", "job_logging", "hydra_logging") if key in hydra}
    head = "# python train.py --config-path <this folder, absolute> --config-name best_config\n"
    return head + to_yaml({**values, "hydra": kept})


def _trial(paths: RunPaths) -> dict[str, Any] | None:
    if not paths.result.is_file():
        return None
    try:
        stored = read_json(paths.result)
        overrides = read_yaml(paths.overrides) if paths.overrides.is_file() else []
    except RunFolderError as error:
        log.warning("left out of the summary: %s", error)
        return None
    pairs = (override.lstrip("+").split("=", 1) for override in overrides if "=" in override)
    return {**stored, "number": int(paths.root.name), "overrides": dict(pairs)}
