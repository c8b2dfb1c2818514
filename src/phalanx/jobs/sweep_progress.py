"""Console output of a sweep: progress and summary, with a bar and tables on a terminal, else plain lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, TimeElapsedColumn, TimeRemainingColumn

from phalanx.core.console import print_line, print_request, print_words
from phalanx.core.quantities import counted, number
from phalanx.core.result import Status
from phalanx.jobs.closing_tables import closing_tables
from phalanx.jobs.progress_bar import WIDTH, BarWithNotes, bar_column
from phalanx.jobs.run_progress import about_inputs
from phalanx.runs.stored_run import StoredRun


class SweepProgress:
    """Progress of a sweep: counts and the best trial in one redrawn line on a terminal, else a line for each trial."""

    def __init__(self, console: Console, n_trials: int | None, direction: str) -> None:
        """Starts without trials.

        Args:
            console: Where to print.
            n_trials: The total number of trials; None if it is not known.
            direction: `maximize` or `minimize`, of the first objective.
        """
        self.console, self.n_trials, self.direction = console, n_trials, direction
        self.sign = -1 if direction == "maximize" else 1
        self.trials: dict[int, StoredRun] = {}  # a trial that is trained again replaces its first attempt
        self.counts: Counter[str] = Counter()
        self.best: StoredRun | None = None
        self.told: set[str] = set()  # lines about the data, which most trials share
        self.bar = BarWithNotes(
            bar_column("{task.description}"), BarColumn(WIDTH), bar_column("{task.fields[count]}"), TimeElapsedColumn(),
            bar_column("left"), TimeRemainingColumn(), console=console, disable=not console.is_terminal,
            refresh_per_second=2, transient=True,
        )  # fmt: skip
        self.task = self.bar.add_task("trials", total=n_trials, count=self._n_of_total)

    def start(self, folder: str, overrides: Sequence[str] = ()) -> None:
        """Opens the display.

        Args:
            folder: Of the sweep.
            overrides: What it was started with.
        """
        total = "" if self.n_trials is None else f" of {counted(self.n_trials, 'trial')}"
        earlier = f", {self._n_finished} finished before" if self._n_finished else ""
        print_line(self.console, f"sweep{total} in {folder}{earlier}")
        print_request(self.console, overrides)
        self.bar.start()

    def training(self, text: str) -> None:
        """Shows the progress of the trials in training, on a terminal only."""
        self.bar.notes = [", ".join(self._notes()), text]

    def final_begins(self) -> None:
        """Shows how long the final already takes, in place of the trials of the search, which have ended."""
        self.bar.reset(self.task, total=None, description="final", count="")

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
        if self.best is not None and self.best.number == trial.number:
            self.best = min(filter(_completed, self.trials.values()), key=self._rank, default=None)
        elif _completed(trial) and (self.best is None or self._rank(trial) < self._rank(self.best)):
            self.best = trial
        self._show()
        for line in about_inputs(trial.data.inputs, trial.data.notes) if trial.data is not None else ():
            if line not in self.told and not quiet:
                print_words(self.console, line)
                self.told.add(line)
        if not quiet and (not self.console.is_terminal or trial.status in (Status.FAILED, Status.DIVERGED)):
            print_words(self.console, _trial_line(trial, overrides))

    def discard(self, number: int) -> None:
        """Takes a trial out of the counts, if it is there."""
        trial = self.trials.pop(number, None)
        if trial is not None:
            self.counts[_ending(trial)] -= 1
            ended = [other for other in self.trials.values() if _ending(other) == "completed"]
            self.best = min(ended, key=self._rank, default=None)
            self._show()

    def summary(
        self, best: Sequence[StoredRun], folder: str, ending: str | None = None, *, stopped: bool = False,
        chosen: int | None = None,
    ) -> None:  # fmt: skip
        """Prints the best trials with the overrides in which they differ, and the folder of the sweep.

        Args:
            best: The trials with a value, best first.
            folder: Of the sweep.
            ending: Why the sweep ended; None for a grid.
            stopped: Whether an error or an interrupt ended it early.
            chosen: The number of the trial that the final chose, if there was one.
        """
        if best:
            self.best = best[0]  # as the folders have it now
        for table in closing_tables(list(self.trials.values()), best, self.direction):
            if self.console.is_terminal:
                table.show(self.console)
            else:
                print_line(self.console, table.title)
                for line in table.lines():
                    print_line(self.console, line)
        reason = f" ({ending})" if ending else ""
        reason += "" if chosen is None else f"; the final chose trial {chosen}"
        texts = [f"{self._n_of_total} trials", *self._notes()]
        print_words(self.console, f"{'stopped' if stopped else 'done'}: {', '.join(texts)}{reason}")
        print_line(self.console, f"files: {folder}")

    def _show(self) -> None:
        self.bar.update(self.task, completed=self._n_finished, count=self._n_of_total)
        self.bar.notes = [", ".join(self._notes())]

    def _rank(self, trial: StoredRun) -> tuple[float, int]:
        return self.sign * (trial.value or 0.0), trial.number

    @property
    def _n_finished(self) -> int:
        """The number of trials that are not trained again at the next start."""
        return len(self.trials) - self.counts["interrupted"]

    @property
    def _n_of_total(self) -> str:
        return f"{self._n_finished}" + ("" if self.n_trials is None else f"/{self.n_trials}")

    def _notes(self) -> list[str]:
        texts = [f"{self.counts['failed']} failed"]
        texts += [f"{self.counts[kind]} {kind}" for kind in ("interrupted", "pruned") if self.counts[kind]]
        if self.best is not None:
            texts.append(f"best {self.best.objective.name} {number(self.best.value)} (trial {self.best.number})")
        return texts


def _ending(trial: StoredRun) -> str:
    """How a trial is counted: one without a value has failed, unless it was interrupted."""
    return trial.ending if trial.ending == "interrupted" or trial.value is not None else "failed"


def _completed(trial: StoredRun) -> bool:
    return _ending(trial) == "completed"


def _trial_line(trial: StoredRun, overrides: Sequence[str]) -> str:
    value = trial.value
    outcome = f"{trial.status}: {trial.error}" if value is None else f"{trial.objective.name} {number(value)}"
    if _ending(trial) == "interrupted":
        outcome = "interrupted" + (f" after epoch {trial.epochs}" if trial.epochs else "")
    if trial.status is Status.PRUNED:
        outcome += f"  pruned after epoch {trial.epochs}"
    if trial.same_as is not None:
        outcome += f"  as trial {trial.same_as}, the same point"
    return f"trial {trial.number}  {outcome}  {' '.join(overrides)}".rstrip()
