"""Console output: progress and summaries of runs and sweeps, with bars and tables on a terminal, else plain lines."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from phalanx.analysis.final import Finalist
from phalanx.analysis.statistics import SPLITS
from phalanx.core.callbacks import Callback
from phalanx.core.result import EpochMetrics, Status, TrialResult
from phalanx.data import Dataset
from phalanx.runs.stored_run import StoredRun
from phalanx.training.spec import TrialSpec

PLAIN_LINES = 10  # lines of progress that a run prints where there is no terminal
REDRAWS_PER_SECOND = 8
BEST_SHOWN = 5  # trials in a sweep's summary


def print_line(console: Console, text: str) -> None:
    """Prints text as it is, without markup, colors or line breaks."""
    console.print(text, highlight=False, soft_wrap=True, markup=False)


class RunProgress(Callback):
    """Progress of a single run; a context manager around training."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.n_epochs, self.steps_per_epoch = 0, 1
        self.note, self.drawn, self.started = "", 0.0, time.monotonic()
        self.bar = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("epoch {task.fields[epoch]}"),
            TextColumn("{task.fields[note]}"), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
            console=console, auto_refresh=False, transient=True, disable=not console.is_terminal,
        )  # fmt: skip

    def __enter__(self) -> RunProgress:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def on_start(self, n_trials: int, n_epochs: int, steps_per_epoch: int) -> None:
        self.n_epochs, self.steps_per_epoch = n_epochs, steps_per_epoch
        self.task = self.bar.add_task("training", total=n_epochs * steps_per_epoch, epoch=f"0/{n_epochs}", note="")

    def on_step(self, epoch: int, step: int) -> None:
        # Redrawn here and not by a timer thread, which would compete with the training loop.
        now = time.monotonic()
        if now - self.drawn > 1 / REDRAWS_PER_SECOND:
            self.drawn = now
            done = (epoch - 1) * self.steps_per_epoch + step
            self.bar.update(self.task, completed=done, epoch=f"{epoch}/{self.n_epochs}", note=self.note)
            self.bar.refresh()

    def on_epoch(self, rows: Mapping[int, EpochMetrics]) -> Collection[int]:
        row = next(iter(rows.values()))
        self.note = f"loss {row.train_loss:.4f}  val accuracy {row.val_accuracy:.4f}"
        has_line = row.epoch in (1, self.n_epochs) or row.epoch % max(1, self.n_epochs // PLAIN_LINES) == 0
        if has_line and not self.console.is_terminal:
            print_line(
                self.console,
                f"epoch {row.epoch}/{self.n_epochs}  loss {row.train_loss:.4f}  val_loss {row.val_loss:.4f}  "
                f"val_accuracy {row.val_accuracy:.4f}  {time.monotonic() - self.started:.1f} s",
            )
        return ()


class SweepProgress:
    """Progress of a sweep: counts and the best trial in one redrawn line on a terminal, else a line for each trial."""

    def __init__(self, console: Console, n_trials: int | None, direction: str) -> None:
        """Starts without trials.

        Args:
            console: Where to print.
            n_trials: The total number of trials; None if it is not known.
            direction: `maximize` or `minimize`, of the first objective.
        """
        self.console, self.n_trials, self.sign = console, n_trials, -1 if direction == "maximize" else 1
        self.trials: dict[int, StoredRun] = {}  # a trial that is trained again replaces its first attempt
        self.counts: Counter[str] = Counter()
        self.best: StoredRun | None = None
        self.bar = Progress(
            TextColumn("trials"), BarColumn(), TextColumn("{task.fields[note]}"), TimeElapsedColumn(),
            TextColumn("left"), TimeRemainingColumn(), console=console, disable=not console.is_terminal,
            refresh_per_second=2, transient=True,
        )  # fmt: skip
        self.task = self.bar.add_task("trials", total=n_trials, note="")

    def start(self, folder: str) -> None:
        """Opens the display."""
        total = "" if self.n_trials is None else f" of {self.n_trials} trials"
        earlier = f", {self._n_finished} finished before" if self._n_finished else ""
        print_line(self.console, f"sweep{total} in {folder}{earlier}")
        self.bar.start()

    def training(self, text: str) -> None:
        """Shows the progress of the trials in training, on a terminal only."""
        self.bar.update(self.task, note=f"{self._note()}  ·  {text}")

    def stop(self) -> None:
        """Closes the display."""
        self.bar.stop()

    def add(self, trial: StoredRun, overrides: Sequence[str] = (), *, quiet: bool = False) -> None:
        """Counts a finished trial and prints it; on a terminal only failures are printed.

        Args:
            trial: The trial as it was stored.
            overrides: What it was started with, for its line.
            quiet: Print nothing, e.g. for a trial of an earlier start.
        """
        earlier = self.trials.get(trial.number)
        if earlier is not None:
            self.counts[_ending(earlier)] -= 1
        self.trials[trial.number] = trial
        self.counts[_ending(trial)] += 1
        if _ending(trial) == "completed" and (self.best is None or self._rank(trial) < self._rank(self.best)):
            self.best = trial
        self.bar.update(self.task, completed=self._n_finished, note=self._note())
        if not quiet and (not self.console.is_terminal or trial.status in (Status.FAILED, Status.DIVERGED)):
            print_line(self.console, _trial_line(trial, overrides))

    def summary(
        self, best: Sequence[StoredRun], folder: str, ending: str | None = None, *, stopped: bool = False
    ) -> None:
        """Prints the best trials with the overrides in which they differ, and the folder of the sweep.

        Args:
            best: The trials with a value, best first.
            folder: Of the sweep.
            ending: Why the sweep ended; None for a grid.
            stopped: Whether an error or an interrupt ended it early.
        """
        shared = set.intersection(*(set(trial.overrides.items()) for trial in best)) if len(best) > 1 else set()
        table = Table(show_edge=False, pad_edge=False)
        for name in ("trial", "objective", "test accuracy", "parameters", "overrides"):
            table.add_column(name, justify="left" if name == "overrides" else "right", overflow="fold")
        for trial in best[:BEST_SHOWN]:
            differing = [f"{key}={value}" for key, value in trial.overrides.items() if (key, value) not in shared]
            row = (
                str(trial.number), _number(trial.value), _number(trial.metrics.get("test_accuracy")),
                f"{trial.n_parameters:,}", " ".join(differing),
            )  # fmt: skip
            table.add_row(*row)
            if not self.console.is_terminal:
                print_line(self.console, "  ".join(["front" if trial.front else "best", *row]))
        if best and self.console.is_terminal:
            self.console.print(table)
        reason = f" ({ending})" if ending else ""
        print_line(self.console, f"{'stopped' if stopped else 'done'}: {self._note()}{reason}")
        print_line(self.console, f"files: {folder}")

    def _rank(self, trial: StoredRun) -> tuple[float, int]:
        return self.sign * (trial.value or 0.0), trial.number

    @property
    def _n_finished(self) -> int:
        """The number of trials that are not trained again at the next start."""
        return len(self.trials) - self.counts["interrupted"]

    def _note(self) -> str:
        total = "" if self.n_trials is None else f"/{self.n_trials}"
        texts = [f"{self._n_finished}{total} trials", f"{self.counts['failed']} failed"]
        texts += [f"{self.counts[kind]} {kind}" for kind in ("interrupted", "pruned") if self.counts[kind]]
        if self.best is not None:
            texts.append(f"best {self.best.objective.name} {self.best.value:.4f} (trial {self.best.number})")
        return ", ".join(texts)


def _ending(trial: StoredRun) -> str:
    """How a trial is counted: one without a value has failed, unless it was interrupted."""
    return trial.ending if trial.ending == "interrupted" or trial.value is not None else "failed"


def _trial_line(trial: StoredRun, overrides: Sequence[str]) -> str:
    value = trial.value
    outcome = f"{trial.status}: {trial.error}" if value is None else f"{trial.objective.name} {value:.4f}"
    if _ending(trial) == "interrupted":
        outcome = "interrupted" + (f" after epoch {trial.epochs}" if trial.epochs else "")
    if trial.status is Status.PRUNED:
        outcome += f"  pruned after epoch {trial.epochs}"
    if trial.same_as is not None:
        outcome += f"  as trial {trial.same_as}, the same point"
    return f"trial {trial.number}  {outcome}  {' '.join(overrides)}".rstrip()


def final_summary(console: Console, finalists: Sequence[Finalist], sentences: Sequence[str]) -> None:
    """Prints the final's points with mean and 95 % interval, and what the tests say of them.

    Args:
        console: Where to print.
        finalists: One or more, the best first.
        sentences: What the tests say, as `write_final` returns it.
    """
    on_splits = ", each on a fresh split" if any(finalist.repeats == SPLITS for finalist in finalists) else ""
    print_line(console, f"final on {finalists[0].n_seeds} fresh seeds{on_splits}, mean [95 % interval]:")
    for finalist in finalists:
        measures = [
            f"{name} {found.mean:.4f}" + ("" if found.low is None else f" [{found.low:.4f}, {found.high:.4f}]")
            for name, found in ((finalist.judge, finalist.test), (finalist.objective, finalist.value))
            if found is not None
        ]
        lost = [finalist.lost.counts] if finalist.lost else []
        print_line(console, "  ".join(["", finalist.name, *measures, *lost]))
    for text in sentences:
        print_line(console, f"  {text}")


def summary(console: Console, result: TrialResult, folder: str) -> None:
    """Prints the metrics of a run, its headline and its folder.

    Args:
        console: Where to print.
        result: Of the run; with several seeds their results as one.
        folder: Of the run.
    """
    table = Table("split", show_edge=False, pad_edge=False, title_justify="left")
    names = ("loss", "accuracy", "likelihood")
    for name in names:
        table.add_column(name, justify="right")
    for split in ("train", "val", "test"):
        numbers = [_number(getattr(result.metrics, f"{split}_{name}")) for name in names]
        table.add_row(split, *numbers)
        if not console.is_terminal:
            print_line(console, f"{split:<6}" + "  ".join(map(" ".join, zip(names, numbers, strict=True))))
    if console.is_terminal:
        console.print(table)
    print_line(console, headline(result))
    print_line(console, f"files: {folder}")


def opening(spec: TrialSpec, dataset: Dataset, epochs_before: int) -> str:
    """Describes a run before its first epoch, in one line.

    Args:
        spec: The trial.
        dataset: Its data.
        epochs_before: Epochs that were trained before the run was interrupted.
    """
    widths = "-".join(map(str, (dataset.n_features, *getattr(spec.model, "hidden", ()), dataset.n_classes)))
    return (
        f"{dataset.name} ({len(dataset.train)} train, {len(dataset.val)} val, {len(dataset.test)} test)  "
        f"{widths} {getattr(spec.model, 'activation', '')}  {spec.loss.name}  {spec.optimizer.name} "
        f"lr={spec.optimizer.lr:g}  batch {spec.trainer.batch_size or len(dataset.train)}  seed {spec.seed}"
        + (f"  goes on after epoch {epochs_before}" if epochs_before else "")
    )


def headline(result: TrialResult) -> str:
    """Describes a result in one sentence: status, epochs, speed, device and size."""
    reached = "no epoch ended well" if result.best_epoch is None else f"weights of epoch {result.best_epoch}"
    status = str(result.status) if result.status is not Status.COMPLETED else "done"
    return (
        f"{status}: {result.epochs} epochs in {result.train_seconds:.1f} s "
        f"({result.samples_per_second:,.0f} samples/s, {result.device}), {reached}, "
        f"{result.n_parameters:,} parameters"
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
