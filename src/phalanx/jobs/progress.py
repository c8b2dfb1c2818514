"""What a person sees while a run trains and when it ends: rich on a terminal, plain lines anywhere else."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from phalanx.analysis.final import Finalist
from phalanx.core.callbacks import Callback
from phalanx.core.result import EpochMetrics, Status, TrialResult
from phalanx.data import Dataset
from phalanx.runs.stored_run import StoredRun
from phalanx.training.spec import TrialSpec

PLAIN_LINES = 10  # so many lines of progress a run where nothing can be redrawn
REDRAWS_PER_SECOND = 8
BEST_SHOWN = 5  # trials in a sweep's closing table


class RunProgress(Callback):
    """A bar with loss, accuracy and time left for one trial; use as a context manager around training."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.n_epochs, self.steps_per_epoch = 0, 1
        self.note, self.drawn, self.started = "", 0.0, time.monotonic()
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("epoch {task.fields[epoch]}"),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            auto_refresh=False,
            transient=True,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> RunProgress:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def on_start(self, n_trials: int, n_epochs: int, steps_per_epoch: int) -> None:
        self.n_epochs, self.steps_per_epoch = n_epochs, steps_per_epoch
        self.task = self.bar.add_task("training", total=n_epochs * steps_per_epoch, epoch=f"0/{n_epochs}", note="")

    def on_step(self, epoch: int, step: int) -> None:
        # Redrawn from here and not from a timer thread, which would take turns with the training loop.
        now = time.monotonic()
        if now - self.drawn > 1 / REDRAWS_PER_SECOND:
            self.drawn = now
            done = (epoch - 1) * self.steps_per_epoch + step
            self.bar.update(self.task, completed=done, epoch=f"{epoch}/{self.n_epochs}", note=self.note)
            self.bar.refresh()

    def on_epoch(self, rows: Mapping[int, EpochMetrics]) -> Collection[int]:
        metrics = next(iter(rows.values()))
        self.note = f"loss {metrics.train_loss:.4f}  val accuracy {metrics.val_accuracy:.4f}"
        if not self.console.is_terminal and _worth_a_line(metrics.epoch, self.n_epochs):
            seconds = time.monotonic() - self.started
            self.console.print(
                f"epoch {metrics.epoch}/{self.n_epochs}  loss {metrics.train_loss:.4f}  "
                f"val_loss {metrics.val_loss:.4f}  val_accuracy {metrics.val_accuracy:.4f}  {seconds:.1f} s",
                highlight=False,
                soft_wrap=True,
            )
        return ()


class SweepProgress:
    """A live line with trials done, failed and the best so far; where nothing can be redrawn, a line a trial."""

    def __init__(self, console: Console, n_trials: int | None, direction: str) -> None:
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
        self.console.print(f"sweep{total} in {folder}{earlier}", highlight=False, soft_wrap=True)
        self.bar.start()

    def training(self, text: str) -> None:
        """How far the trials are that train now; shown on a terminal only."""
        self.bar.update(self.task, note=f"{self._note()}  ·  {text}")

    def stop(self) -> None:
        """Closes the display."""
        self.bar.stop()

    def add(self, trial: StoredRun, overrides: Sequence[str] = (), *, quiet: bool = False) -> None:
        """Counts and shows one more finished trial."""
        self._count(trial)
        self.bar.update(self.task, completed=self._n_finished, note=self._note())
        if not quiet and (not self.console.is_terminal or trial.status in (Status.FAILED, Status.DIVERGED)):
            self.console.print(_trial_line(trial, overrides), highlight=False, soft_wrap=True, markup=False)

    def summary(
        self, best: Sequence[StoredRun], folder: str, ending: str | None = None, *, stopped: bool = False
    ) -> None:
        """The best trials, told apart by the overrides in which they differ, and where the sweep's files are."""
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
                label = "front" if trial.front else "best"
                self.console.print(f"{label}  " + "  ".join(row), highlight=False, soft_wrap=True, markup=False)
        if best and self.console.is_terminal:
            self.console.print(table)
        why = f" ({ending})" if ending else ""
        self.console.print(f"{'stopped' if stopped else 'done'}: {self._note()}{why}", highlight=False, soft_wrap=True)
        self.console.print(f"files: {folder}", highlight=False, soft_wrap=True)

    def _count(self, trial: StoredRun) -> None:
        """Keeps the counts and the best without looking at every trial again."""
        earlier = self.trials.get(trial.number)
        if earlier is not None:
            self.counts[_kind(earlier)] -= 1
        self.trials[trial.number] = trial
        self.counts[_kind(trial)] += 1
        if _kind(trial) == "completed" and (self.best is None or self._rank(trial) < self._rank(self.best)):
            self.best = trial

    def _rank(self, trial: StoredRun) -> tuple[float, int]:
        return self.sign * (trial.value or 0.0), trial.number

    @property
    def _n_finished(self) -> int:
        """Trials that are not trained again at the next start."""
        return len(self.trials) - self.counts["interrupted"]

    def _note(self) -> str:
        total = "" if self.n_trials is None else f"/{self.n_trials}"
        shards = [f"{self._n_finished}{total} trials", f"{self.counts['failed']} failed"]
        shards += [f"{self.counts[kind]} {kind}" for kind in ("interrupted", "pruned") if self.counts[kind]]
        if self.best is not None:
            shards.append(f"best {self.best.objective.name} {self.best.value:.4f} (trial {self.best.number})")
        return ", ".join(shards)


def _kind(trial: StoredRun) -> str:
    """What a trial counts as: one without a value has failed, unless it was stopped."""
    return trial.ending if trial.ending == "interrupted" or trial.value is not None else "failed"


def _trial_line(trial: StoredRun, overrides: Sequence[str]) -> str:
    value = trial.value
    outcome = f"{trial.status}: {trial.error}" if value is None else f"{trial.objective.name} {value:.4f}"
    if _kind(trial) == "interrupted":
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
    console.print(
        f"final on {finalists[0].n_seeds} fresh seeds, mean [95 % interval]:", highlight=False, soft_wrap=True
    )
    for finalist in finalists:
        measures = [
            f"{name} {found.mean:.4f}" + ("" if found.low is None else f" [{found.low:.4f}, {found.high:.4f}]")
            for name, found in (("objective", finalist.value), ("test_accuracy", finalist.test))
        ]
        diverged = [f"{finalist.n_diverged} diverged"] if finalist.n_diverged else []
        console.print("  ".join(["", finalist.name, *measures, *diverged]), highlight=False, soft_wrap=True)
    for text in sentences:
        console.print(f"  {text}", highlight=False, soft_wrap=True, markup=False)


def _worth_a_line(epoch: int, n_epochs: int) -> bool:
    return epoch in (1, n_epochs) or epoch % max(1, n_epochs // PLAIN_LINES) == 0


def summary(console: Console, result: TrialResult, folder: str) -> None:
    """The short table at a run's end and where its files are."""
    if console.is_terminal:
        table = Table(show_edge=False, pad_edge=False, title_justify="left")
        table.add_column("split")
        for name in ("loss", "accuracy", "likelihood"):
            table.add_column(name, justify="right")
        for split in ("train", "val", "test"):
            table.add_row(
                split, *(_number(_metric(result, split, name)) for name in ("loss", "accuracy", "likelihood"))
            )
        console.print(table)
    else:
        for split in ("train", "val", "test"):
            numbers = "  ".join(
                f"{name} {_number(_metric(result, split, name))}" for name in ("loss", "accuracy", "likelihood")
            )
            console.print(f"{split:<6}{numbers}", highlight=False, soft_wrap=True)
    console.print(headline(result), highlight=False, soft_wrap=True)
    console.print(f"files: {folder}", highlight=False, soft_wrap=True)


def opening(spec: TrialSpec, dataset: Dataset, epochs_before: int) -> str:
    """What a run says before its first epoch."""
    hidden = getattr(spec.model, "hidden", ())
    widths = "-".join(map(str, (dataset.n_features, *hidden, dataset.n_classes)))
    return (
        f"{dataset.name} ({len(dataset.train)} train, {len(dataset.val)} val, {len(dataset.test)} test)  "
        f"{widths} {getattr(spec.model, 'activation', '')}  {spec.loss.name}  {spec.optimizer.name} "
        f"lr={spec.optimizer.lr:g}  batch {spec.trainer.batch_size or len(dataset.train)}  seed {spec.seed}"
        + (f"  goes on after epoch {epochs_before}" if epochs_before else "")
    )


def headline(result: TrialResult) -> str:
    """One sentence: what was reached, at which epoch, how fast, on what."""
    reached = "no epoch ended well" if result.best_epoch is None else f"weights of epoch {result.best_epoch}"
    status = str(result.status) if result.status is not Status.COMPLETED else "done"
    return (
        f"{status}: {result.epochs} epochs in {result.train_seconds:.1f} s "
        f"({result.samples_per_second:,.0f} samples/s, {result.device}), {reached}, "
        f"{result.n_parameters:,} parameters"
    )


def _metric(result: TrialResult, split: str, name: str) -> float | None:
    value: float | None = getattr(result.metrics, f"{split}_{name}")
    return value


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
