"""A sweep's folder and its progress: manifest, live line, `trials.csv`, `best_config.yaml`, what is kept.

Everything is read back from the trials' own folders, so it is right after a resume and with any launcher.
"""

from __future__ import annotations

import csv
import io
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from phalanx.config import objectives_of, read_overrides, read_yaml, to_yaml, tracking_spec
from phalanx.errors import RunFolderError
from phalanx.final import in_order, read_finalists, rows, write_final
from phalanx.manifest import update_manifest
from phalanx.paths import FINAL, RunPaths, SweepPaths, read_json, replacing, write_json, write_text
from phalanx.progress import SweepProgress, final_summary
from phalanx.result import ended_as
from phalanx.spec import OBJECTIVES
from phalanx.tracking import tracker

log = logging.getLogger(__name__)

current: SweepLog | None = None  # the sweep that this process leads

Known = dict[int, tuple[int, dict[str, Any]]]  # trials by number: when their result was written, and what it says
METRICS = ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "val_likelihood", "test_loss", "test_accuracy")


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
        self.known: Known = {}
        self.best: list[dict[str, Any]] = []  # those that keep their weights
        earlier = collect(self.paths, self.known)
        for trial in earlier:
            self.progress.add(trial, quiet=True)
        self._keep(earlier)
        self.progress.start(str(self.paths.root))
        global current
        current = self

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
        trial = _look(self.paths.trial(number), self.known)
        if trial is not None and self.known[number] is not before:
            self.progress.add(trial, overrides)
            self._keep([trial])

    def _keep(self, trials: Sequence[dict[str, Any]]) -> None:
        """Takes the weights from those that drop out of the best, or never were among them."""
        numbers = {trial["number"] for trial in trials}
        held = [trial for trial in self.best if trial["number"] not in numbers] + list(trials)
        self.best = ranked(held, self.direction)[: self.tracking.keep]
        for number in {trial["number"] for trial in held} - {trial["number"] for trial in self.best}:
            self.paths.trial(number).model.unlink(missing_ok=True)

    def finish(self, error: BaseException | None = None) -> None:
        """Writes the summary files, draws the plots of the best, and ends the tracking.

        `error` is what ended the sweep before its time, if anything did.
        """
        global current
        current = None
        trials = collect(self.paths, self.known)
        best = front_first(ranked(trials, self.direction))
        for trial in trials:
            if trial["number"] not in self.progress.trials:  # another driver's of the same study
                self.progress.add(trial, quiet=True)
        self._keep(trials)
        write_text(self.paths.trials, trials_csv(trials))
        self.progress.stop()
        if best:
            write_text(self.paths.best_config, best_config(self.paths.trial(best[0]["number"])))
            self._draw(best[: self.tracking.keep])
        finalists, sentences = self._final(best)
        self._report(trials)
        interrupted = isinstance(error, KeyboardInterrupt)
        nothing_to_do = not trials and error is None  # other drivers have evaluated all, in folders of their own
        status = "interrupted" if interrupted else "completed" if best or nothing_to_do else "failed"
        ending = update_manifest(self.paths, summary=told(trials, best, status)).get("ending")
        self._track(trials, status)
        self.progress.summary(best, str(self.paths.root), ending, stopped=error is not None)
        if self.tracker.model is not None:
            serve = f"mlflow models serve -m {self.tracker.model} --env-manager local"
            self.console.print(f"model: {self.tracker.model}  ({serve})", highlight=False, soft_wrap=True)
        if finalists:
            final_summary(self.console, finalists, sentences)

    def _track(self, trials: Sequence[dict[str, Any]], status: str) -> None:
        """Waits until the trials are in the tracking store, and writes down their ids there."""
        self.tracker.settle()
        ids, new = self.tracker.ids, False
        for trial in trials:
            found = ids.get(str(trial["number"]))
            if found not in (None, trial["mlflow_run_id"]):
                trial["mlflow_run_id"], new = found, True
                note_run_id(self.paths.trial(trial["number"]), found)
        if "" in ids:
            update_manifest(self.paths, mlflow_run_id=ids[""])
        if new:
            write_text(self.paths.trials, trials_csv(trials))
        self.tracker.end(status)

    def _final(self, best: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
        """The final's rows and sentences, where there was one."""
        finalists = read_finalists(self.paths, best) if self.paths.root.joinpath(FINAL).is_dir() else []
        if not finalists:
            return [], []
        return rows(in_order(finalists, self.direction)), write_final(self.paths, finalists, self.direction)

    def _report(self, trials: Sequence[dict[str, Any]]) -> None:
        """`report.html`; a report that fails is logged and costs nothing else."""
        from phalanx.reporting import write_sweep_report

        try:
            write_sweep_report(self.paths, trials)
        except Exception:
            log.warning("the report could not be written; everything else is in %s", self.paths.root, exc_info=True)

    def _draw(self, best: Sequence[dict[str, Any]]) -> None:
        """Plots of the best trials, and for the best of all what its registered model shows as input."""
        from phalanx.app import draw_plots, read_trial, write_example

        for rank, trial in enumerate(best):
            paths = self.paths.trial(trial["number"])
            if paths.model.is_file() and not paths.plots.is_dir():
                draw_plots(paths, *read_trial(paths))
            if rank == 0 and paths.model.is_file() and self.tracking.register != "none":
                write_example(paths, read_trial(paths)[0].data)


def told(trials: Sequence[dict[str, Any]], best: Sequence[dict[str, Any]], status: str) -> dict[str, Any]:
    """What a tracking store is told of a whole sweep: the best trial, and how many there were."""
    n_interrupted = sum(ended_as(trial) == "interrupted" for trial in trials)
    n_failed = sum(trial["objective"]["value"] is None for trial in trials) - n_interrupted
    counts = {"n_trials": len(trials), "n_failed": n_failed, "n_interrupted": n_interrupted}
    metrics = {**(best[0]["metrics"] if best else {}), **counts}
    params, number = (best[0]["overrides"], best[0]["number"]) if best else ({}, None)
    return {"status": status, "best": number, "metrics": metrics, "params": params}


def note_run_id(paths: RunPaths, run_id: str) -> bool:
    """Writes the id that a tracking store gave to a run, and leaves the time at which its result was written.

    False if it stood there already.
    """
    if read_json(paths.result)["mlflow_run_id"] == run_id:
        return False
    when = paths.result.stat()
    with replacing(paths.result, durable=False) as temporary:  # which write_json has synced
        write_json(temporary, {**read_json(paths.result), "mlflow_run_id": run_id})
        os.utime(temporary, ns=(when.st_atime_ns, when.st_mtime_ns))
    return True


def collect(paths: SweepPaths, known: Known | None = None) -> list[dict[str, Any]]:
    """What `result.json` of every trial says, with `number` and `overrides`, in order of numbers.

    Only what is not in `known`, or was written since, is read, and is then in it.
    """
    seen: Known = {} if known is None else known
    numbers = sorted(int(f.name) for f in paths.root.iterdir() if f.name.isdecimal()) if paths.root.is_dir() else []
    found = (_look(paths.trial(number), seen) for number in numbers)
    return [trial for trial in found if trial is not None]


def ranked(trials: Sequence[dict[str, Any]], direction: str) -> list[dict[str, Any]]:
    """The completed trials, best first; equal ones in order of their numbers."""
    sign = -1 if direction == "maximize" else 1
    valued = [trial for trial in trials if trial["status"] == "completed"]
    return sorted(valued, key=lambda trial: (sign * trial["objective"]["value"], trial["number"]))


def front_first(best: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """With several objectives, the trials of the Pareto front before the others; else as they come."""
    if not best or len(best[0].get("objectives", ())) < 2:
        return list(best)
    front = {trial["number"] for trial in pareto_front(best)}
    marked = [{**trial, "front": trial["number"] in front} for trial in best]
    return sorted(marked, key=lambda trial: not trial["front"])


def pareto_front(trials: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The trials that no other one equals or beats in every objective and beats in one; the order is kept."""
    points = [
        tuple(o["value"] if o["direction"] == "minimize" else -o["value"] for o in trial["objectives"])
        for trial in trials
    ]
    front: list[tuple[float, ...]] = []
    for point in sorted(set(points)):  # whatever beats a point comes before it
        if not any(all(a <= b for a, b in zip(other, point, strict=True)) for other in front):
            front.append(point)
    return [trial for trial, point in zip(trials, points, strict=True) if point in front]


def trials_csv(trials: Sequence[dict[str, Any]]) -> str:
    """One row a trial: number, status, objective, the overrides as columns, metrics, cost, error."""
    keys = list(dict.fromkeys(key for trial in trials for key in trial["overrides"]))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    costs = (
        "seed", "best_epoch", "epochs", "n_parameters", "train_seconds", "config_digest", "mlflow_run_id", "same_as",
        "failure", "error",
    )  # fmt: skip
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


def reuse(paths: SweepPaths, number: int, source: int) -> None:
    """Gives trial `number` what the equal trial `source` left, but for weights and plots, and says so in it.

    A trial that another driver evaluated in a folder of its own left nothing here, so neither does its equal.
    """
    target, found = paths.trial(number), paths.trial(source)
    if not found.result.is_file():
        return
    target.root.mkdir(parents=True, exist_ok=True)
    target.overrides.parent.mkdir(exist_ok=True)
    for name in ("config_resolved", "metrics", "seeds", "overrides"):
        if getattr(found, name).is_file():
            shutil.copyfile(getattr(found, name), getattr(target, name))
    write_json(target.result, {**read_json(found.result), "same_as": source, "mlflow_run_id": None})


def _look(paths: RunPaths, known: Known) -> dict[str, Any] | None:
    """A trial as it was read before, or as it is now; None while there is no result."""
    number = int(paths.root.name)
    try:
        written = paths.result.stat().st_mtime_ns
    except FileNotFoundError:
        return None
    if known.get(number, (None,))[0] != written:
        trial = _trial(paths)
        if trial is None:
            return None
        known[number] = written, trial
    return known[number][1]


def _trial(paths: RunPaths) -> dict[str, Any] | None:
    try:
        stored = read_json(paths.result)
        overrides = read_overrides(paths.overrides) if paths.overrides.is_file() else []
    except RunFolderError as error:
        log.warning("left out of the summary: %s", error)
        return None
    pairs = (override.lstrip("+").split("=", 1) for override in overrides if "=" in override)
    return {**stored, "number": int(paths.root.name), "overrides": dict(pairs)}
