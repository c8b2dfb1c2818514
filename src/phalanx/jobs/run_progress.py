"""Console output of a single run: progress and summary, with a bar and a table on a terminal, else plain lines."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

from rich.console import Console
from rich.progress import BarColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from phalanx.core.baselines import FITTED, NAMES
from phalanx.core.callbacks import Callback
from phalanx.core.console import print_line, print_words
from phalanx.core.metrics import BASIC, SPLITS, measures_of, tested
from phalanx.core.quantities import column, counted, number
from phalanx.core.result import EpochMetrics, Status, TrialResult
from phalanx.data import Dataset
from phalanx.jobs.progress_bar import WIDTH, BarWithNotes, bar_column
from phalanx.training.spec import TrialSpec

PLAIN_LINES = 10  # lines of progress that a run prints where there is no terminal
REDRAWS_PER_SECOND = 8


class RunProgress(Callback):
    """Progress of a single run; a context manager around training."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.n_epochs, self.steps_per_epoch = 0, 1
        self.note, self.drawn, self.started = "", 0.0, time.monotonic()
        self.bar = BarWithNotes(
            bar_column("{task.description}"), BarColumn(WIDTH), bar_column("epoch {task.fields[epoch]}"),
            TimeElapsedColumn(), bar_column("left"), TimeRemainingColumn(),
            console=console, auto_refresh=False, transient=True, disable=not console.is_terminal,
        )  # fmt: skip

    def __enter__(self) -> RunProgress:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def on_start(self, n_trials: int, n_epochs: int, steps_per_epoch: int) -> None:
        self.n_epochs, self.steps_per_epoch = n_epochs, steps_per_epoch
        self.task = self.bar.add_task("training", total=n_epochs * steps_per_epoch, epoch=f"0/{n_epochs}")

    def on_step(self, epoch: int, step: int) -> None:
        # Redrawn here and not by a timer thread, which would compete with the training loop.
        now = time.monotonic()
        if now - self.drawn > 1 / REDRAWS_PER_SECOND:
            self.drawn = now
            done = (epoch - 1) * self.steps_per_epoch + step
            self.bar.update(self.task, completed=done, epoch=f"{epoch}/{self.n_epochs}")
            self.bar.notes = [self.note]
            self.bar.refresh()

    def on_epoch(self, rows: Mapping[int, EpochMetrics]) -> Collection[int]:
        row = next(iter(rows.values()))
        further = "".join(f"  {name} {number(v)}" for name, v in row.further.items() if name.startswith("val_"))
        self.note = f"loss {number(row.train_loss)}  val accuracy {number(row.val_accuracy)}"
        has_line = row.epoch in (1, self.n_epochs) or row.epoch % max(1, self.n_epochs // PLAIN_LINES) == 0
        if has_line and not self.console.is_terminal:
            print_line(
                self.console,
                f"epoch {row.epoch}/{self.n_epochs}  loss {number(row.train_loss)}  val_loss {number(row.val_loss)}  "
                f"val_accuracy {number(row.val_accuracy)}{further}  {time.monotonic() - self.started:.1f} s",
            )
        return ()


def summary(
    console: Console, result: TrialResult, folder: str,
    intervals: Mapping[str, tuple[float, float]] = MappingProxyType({}),
) -> None:  # fmt: skip
    """Prints the metrics of a run, its headline and its folder.

    Args:
        console: Where to print.
        result: Of the run; with several seeds their results as one.
        folder: Of the run.
        intervals: 95 % intervals of its test metrics over the test samples.
    """
    followed = measures_of(result.history[-1].flat()) if result.history else []
    names = [*dict.fromkeys([*(info.name for info in BASIC), *followed])]
    metrics = result.metrics.flat()
    columns = [[number(metrics.get(f"{split}_{name}")) for split in SPLITS] for name in names]
    if console.is_terminal:
        headed = [column(name, cells) for name, cells in zip(names, columns, strict=True)]
        table = Table("split", *(name for name, *_ in headed), show_edge=False, pad_edge=False)
        for row in zip(SPLITS, *(cells for _, *cells in headed), strict=True):
            table.add_row(*row)
        console.print(table)
    else:
        for split, *numbers in zip(SPLITS, *columns, strict=True):
            print_line(console, f"{split:<6}" + "  ".join(map(" ".join, zip(names, numbers, strict=True))))
    shown = [name for name in ("test_accuracy", tested(result.objective.name)) if name in intervals]
    parts = [f"{name.replace('_', ' ', 1)} {_with_interval(metrics[name], intervals[name])}" for name in shown]
    if parts:
        print_words(console, f"{', '.join(dict.fromkeys(parts))} over test samples (95 %)")
    for note in result.notes:
        print_words(console, f"note: {note}")
    print_words(console, headline(result))
    print_line(console, f"files: {folder}")


def _with_interval(value: float | None, ends: tuple[float, float]) -> str:
    return f"{value:.4f} [{ends[0]:.3f}, {ends[1]:.3f}]"


def opening(spec: TrialSpec, dataset: Dataset, epochs_before: int) -> str:
    """Describes a run before its first epoch, in one line.

    Args:
        spec: The trial.
        dataset: Its data.
        epochs_before: Epochs that were trained before the run was interrupted.
    """
    widths = "-".join(map(str, (dataset.n_features, *spec.model.hidden_widths, dataset.n_classes)))
    of_own = f"{spec.model.name} {widths}"
    network = of_own if spec.model.source else f"{widths} {spec.model.traits}"
    samples = f"{spec.data.label()} ({len(dataset.train)} train, {len(dataset.val)} val, {len(dataset.test)} test)"
    if spec.model.name in NAMES:
        return "  ".join(filter(None, [samples, spec.model.name, spec.model.traits, f"seed {spec.seed}"]))
    return (
        f"{samples}  {network}  {spec.loss.name}  {spec.optimizer.name} "
        f"lr={spec.optimizer.lr:g}  batch {spec.trainer.batch_size or len(dataset.train)}  seed {spec.seed}"
        + (f"  goes on after epoch {epochs_before}" if epochs_before else "")
    )


def about_inputs(inputs: str, notes: Sequence[str]) -> list[str]:
    """The lines about a table: what its columns hold, and a note for what training never had of other rows."""
    return [*([f"inputs: {inputs}"] if inputs else []), *(f"note: {note}" for note in notes)]


def headline(result: TrialResult) -> str:
    """Describes a result in one sentence: status, epochs, speed, device and size."""
    size = f"{result.n_parameters:,} parameters"
    status = str(result.status) if result.status is not Status.COMPLETED else "done"
    if result.way == FITTED and result.epochs:
        return f"{status}: fitted in {result.train_seconds:.2f} s ({result.device}), {size}"
    reached = "no epoch ended well" if result.best_epoch is None else f"weights of epoch {result.best_epoch}"
    return (
        f"{status}: {counted(result.epochs, 'epoch')} in {result.train_seconds:.1f} s "
        f"({result.samples_per_second:,.0f} samples/s, {result.device}), {reached}, {size}"
    )
