"""What a sweep ends with: means over seeds, its best trials or all of its Pareto front, and its final."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from phalanx.analysis.final import Finalist
from phalanx.analysis.statistics import SPLITS
from phalanx.core.console import print_line, print_words
from phalanx.core.metrics import tested
from phalanx.core.quantities import NOTHING, column, counted, number
from phalanx.core.result import Objective
from phalanx.runs.stored_run import StoredRun

SHOWN = 5  # trials or settings in a table; a front is shown whole
REPEATS = {
    "seed": "seeds",
    "data.split_seed": "splits",
    "data.outer_fold": "outer folds",
    "data.fold": "folds",
}  # keys that make a repeat and no other setting
TEST = "test_accuracy"


@dataclass(frozen=True)
class ClosingTable:
    """One table: a title, the names of its columns, and its rows, each with its overrides at the end."""

    title: str
    kind: str  # with which each line begins where there is no terminal
    names: Sequence[str]
    rows: Sequence[Sequence[str]]
    overrides: Sequence[Mapping[str, str]]

    def lines(self) -> list[str]:
        """The rows as lines of text, each number with its name and the overrides as they were typed."""
        return [
            "  ".join([self.kind, *(f"{name} {cell}" for name, cell in zip(self.names, row, strict=True)), *_typed(at)])
            for row, at in zip(self.rows, self.overrides, strict=True)
        ]

    def show(self, console: Console) -> None:
        """Prints the table on a terminal. Numbers in overrides have six digits, so that they fit into their column."""
        texts = [" ".join(f"{key}={shortened(value)}" for key, value in at.items()) for at in self.overrides]
        columns = [column(name, cells) for name, *cells in zip(self.names, *self.rows, strict=True)]
        longest = max((cell_len(word) for text in texts for word in text.split()), default=0)
        while len(columns) > 2 and sum(cell_len(name) + 3 for name, *_ in columns) + longest > console.width:
            columns.pop()  # the last column says least
        table = Table(show_edge=False, pad_edge=False)
        for name, *_ in columns:
            table.add_column(name, no_wrap=True)
        table.add_column("overrides", overflow="fold")
        for row in zip(*(cells for _, *cells in columns), texts, strict=True):
            table.add_row(*row)
        console.print(self.title, soft_wrap=True)
        console.print(table)


def _typed(overrides: Mapping[str, str]) -> list[str]:
    return [" ".join(f"{key}={value}" for key, value in overrides.items())] if overrides else []


def shortened(text: str) -> str:
    """A value as it was typed, a long number with six significant digits."""
    try:
        return f"{float(text):.6g}" if len(text) > 8 and not text.lstrip("+-").isdecimal() else text
    except ValueError:
        return text


def closing_tables(trials: Sequence[StoredRun], best: Sequence[StoredRun], direction: str) -> list[ClosingTable]:
    """The tables of a sweep.

    Args:
        trials: All its trials.
        best: Those with a value, best first; with several objectives, those of the front are marked and come first.
        direction: `maximize` or `minimize`, of the first objective.

    Returns:
        Means over seeds, splits and folds, if trials differ in something else too or in folds; the best trials.
    """
    if not best:
        return []
    return [*_means(trials, best, direction), _best(trials, best)]


def _best(trials: Sequence[StoredRun], best: Sequence[StoredRun]) -> ClosingTable:
    front = [trial for trial in best if trial.front]
    shown = front or best[:SHOWN]
    costs = [] if any(o.name == "n_parameters" for o in shown[0].objectives) else ["parameters"]
    objectives = [_objectives(trial) for trial in shown]
    tests = _tests([o.name for o in objectives[0]], shown)
    names = ["trial", *(o.name for o in objectives[0]), *tests, *costs]
    rows = []
    for trial, found in zip(shown, objectives, strict=True):
        values = {o.name: number(o.value) for o in found}
        values |= {"trial": str(trial.number), "parameters": number(trial.n_parameters)}
        values |= {name: number(trial.metrics.get(name)) for name in tests}
        rows.append([values.get(name, NOTHING) for name in names])
    what = "Pareto front: " if front else "best "
    title = f"{what}{len(shown)} of {counted(len(trials), 'trial')}"
    return ClosingTable(title, "front" if front else "best", names, rows, _differing(shown, best))


def _means(trials: Sequence[StoredRun], best: Sequence[StoredRun], direction: str) -> list[ClosingTable]:
    """The settings by their mean over seeds, splits and folds. One with a run without a value is last."""
    settings: dict[tuple[tuple[str, str], ...], list[StoredRun]] = {}
    for trial in trials:
        own = tuple((key, value) for key, value in trial.overrides.items() if key not in REPEATS)
        settings.setdefault(own, []).append(trial)
    over = [word for key, word in REPEATS.items() if len({trial.overrides.get(key) for trial in trials}) > 1]
    has_folds = {"folds", "outer folds"} & {*over}  # the mean over folds is what a cross-validation is for
    is_wanted = len(settings) > 1 or has_folds
    if not is_wanted or max(map(len, settings.values())) < 2 or best[0].front:
        return []
    valued, sign = {trial.number for trial in best}, -1 if direction == "maximize" else 1
    found: list[tuple[tuple[bool, float], list[str], StoredRun]] = []
    tests = _tests([best[0].objective.name], best)
    for members in settings.values():
        good = [trial for trial in members if trial.number in valued]
        mean = _mean([trial.value for trial in good])
        row = [str(len(good)) if len(good) == len(members) else f"{len(good)} of {len(members)}", number(mean)]
        row += [number(_mean([trial.metrics.get(name) for trial in good])) for name in tests]
        place = (len(good) < len(members), float("inf") if mean is None else sign * mean)
        found.append((place, row, members[0]))
    found.sort(key=lambda setting: setting[0])
    shown = found[:SHOWN]
    names = [over[0] if len(over) == 1 else "runs", best[0].objective.name, *tests]
    best_of = f"best {len(shown)} of {len(found)} settings, means" if len(found) > 1 else "mean"
    title = f"{best_of} over {' and '.join(over) or 'runs'}"
    differing = [
        {key: value for key, value in overrides.items() if key not in REPEATS}
        for overrides in _differing([first for *_, first in shown], trials)
    ]
    return [ClosingTable(title, "mean", names, [row for _, row, _ in shown], differing)]


def _differing(shown: Sequence[StoredRun], among: Sequence[StoredRun]) -> list[dict[str, str]]:
    """The overrides of each trial that not all of `among` have."""
    shared = set.intersection(*(set(trial.overrides.items()) for trial in among)) if len(among) > 1 else set()
    return [{key: value for key, value in t.overrides.items() if (key, value) not in shared} for t in shown]


def _objectives(trial: StoredRun) -> Sequence[Objective]:
    return trial.objectives or (trial.objective,)


def _tests(objectives: Sequence[str], trials: Sequence[StoredRun]) -> list[str]:
    """The test metrics beside the objectives: theirs and the accuracy, where a trial has them."""
    names = dict.fromkeys([*map(tested, objectives), TEST])
    there = [name for name in names if any(trial.metrics.get(name) is not None for trial in trials)]
    return [name for name in there if name not in objectives]


def _mean(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return statistics.fmean(there) if there and len(there) == len(values) else None


def final_summary(console: Console, finalists: Sequence[Finalist], sentences: Sequence[str]) -> None:
    """Prints the final's points with mean and 95 % interval, and what the tests say of them.

    Args:
        console: Where to print.
        finalists: One or more, the best first.
        sentences: What the tests say, as `write_final` returns it.
    """
    on_splits = any(finalist.repeats == SPLITS for finalist in finalists)
    each, over = (", each on a fresh split", "splits") if on_splits else ("", "seeds on this split")
    print_line(console, f"final on {finalists[0].n_seeds} fresh seeds{each}, mean [95 % interval over {over}]:")
    for finalist in finalists:
        measures = [
            f"{name} {number(found.mean)}"
            + ("" if found.low is None else f" [{number(found.low)}, {number(found.high)}]")
            for name, found in ((finalist.judge, finalist.test), (finalist.objective, finalist.value))
            if found is not None
        ]
        lost = [finalist.lost.counts] if finalist.lost else []
        print_words(console, "  ".join(["", finalist.name, *measures, *lost]))
    for text in sentences:
        print_words(console, f"  {text}")
