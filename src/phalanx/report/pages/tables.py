"""The tables of a sweep's report: the best trials, the final, groups of seeds, failures, all trials."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from phalanx.analysis.final import Finalist
from phalanx.analysis.statistics import Summary, summarise
from phalanx.core.result import limits_of
from phalanx.report.pages.render import Column, Table, decimals
from phalanx.report.sweep_figures.trials import Parameter, Trial, objective_names

BEST = 20  # rows in the table of the best
COLUMNS = {
    "n_parameters": ("parameters", ",d"),
    "train_seconds": ("seconds", ".2f"),
    "best_epoch": ("best epoch", "d"),
}
NUMBER = Column[Trial]("trial", lambda trial: trial.number, "number")
STATUS = Column[Trial]("status", lambda trial: trial.ending)
ERROR = Column[Trial]("error", lambda trial: trial.error or "–", "words")


@dataclass(frozen=True)
class SeedGroups:
    """Groups of trials that differ by their seeds only: a table of means, sentences about differences, and notes."""

    table: Table[Sequence[str]]
    sentences: Sequence[str]
    notes: Sequence[str]


def best_table(best: Sequence[Trial], varied: Sequence[Parameter]) -> Table[Trial]:
    """The best trials and what varies; their seeds and whether they are on the front, where some have several."""
    columns = [NUMBER]
    if len(objective_names(best)) > 1:
        columns.append(Column("front", lambda trial: "yes" if trial.front else "no"))
    columns += _measures(best)
    if any(trial.repeats for trial in best):
        columns.append(Column("seeds", lambda trial: _seeds(trial)[0], "number"))
        columns.append(Column("95 % interval", lambda trial: _seeds(trial)[1], "number"))
    return Table([*columns, *_costs(), *_overrides(varied)], best[:BEST])


def trials_table(trials: Sequence[Trial], varied: Sequence[Parameter]) -> Table[Trial]:
    """Every trial; the figures link to its rows."""
    columns = [NUMBER, STATUS, *_measures(trials), *_costs(), *_overrides(varied)]
    return Table(columns, trials, lambda trial: f"trial-{trial.number}")


def failures_table(failed: Sequence[Trial], varied: Sequence[Parameter]) -> Table[Trial]:
    """The trials without a value, and why."""
    return Table([NUMBER, STATUS, ERROR, *_overrides(varied)], failed)


def final_table(finalists: Sequence[Finalist], varied: Sequence[Parameter]) -> Table[Finalist]:
    """Mean, standard deviation and interval of each finalist, and what varies."""

    def of_measure(name: str, summary: Callable[[Finalist], Summary]) -> list[Column[Finalist]]:
        return [
            Column(name, lambda finalist: decimals(summary(finalist).mean), "number"),
            Column("std", lambda finalist: decimals(summary(finalist).std), "number"),
            Column("95 % interval", lambda finalist: _interval(summary(finalist)), "number"),
        ]

    columns: list[Column[Finalist]] = [
        Column("trial", lambda finalist: finalist.number, "number"),
        Column("seeds", lambda finalist: finalist.value.n, "number"),
        Column("diverged", lambda finalist: finalist.n_seeds - finalist.value.n, "number"),
        *of_measure(finalists[0].objective if finalists else "", lambda finalist: finalist.value),
        *of_measure("test accuracy", lambda finalist: finalist.test),
    ]
    return Table([*columns, *_overrides(varied, lambda finalist: finalist.overrides)], finalists)


def _interval(summary: Summary) -> str:
    return "–" if summary.low is None else f"{decimals(summary.low)} to {decimals(summary.high)}"


def groups_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Table[Sequence[str]]:
    """A table of texts, numbers in all columns but the first."""

    def column(place: int, title: str) -> Column[Sequence[str]]:
        return Column(title, lambda row: row[place], "number" if place else "")

    return Table([column(*titled) for titled in enumerate(header)], rows)


def _measures(trials: Sequence[Trial]) -> list[Column[Trial]]:
    """The objectives that are no costs, which have columns of their own, and what is always worth seeing."""

    def column(name: str) -> Column[Trial]:
        def text(trial: Trial) -> str:
            return decimals(trial.value if name == trial.objective.name else trial.metrics.get(name))

        return Column(name, text, "number")

    names = dict.fromkeys([*objective_names(trials), "val_loss", "test_accuracy"])
    there = [name for name in names if any(trial.metrics.get(name) is not None for trial in trials)]
    return [column(name) for name in there if name not in COLUMNS]


def _seeds(trial: Trial) -> tuple[int, str]:
    """How many seeds a trial was trained with, and the interval of their mean objective."""
    values = [row.value for row in trial.repeats if row.value is not None]
    if len(values) < 2:
        return len(values) or 1, "–"
    return len(values), _interval(summarise(values, limits=limits_of(trial.objective.name)))


def _costs() -> list[Column[Trial]]:
    def column(key: str, title: str, form: str) -> Column[Trial]:
        def text(trial: Trial) -> str:
            value = getattr(trial, key)
            return "–" if value is None else format(value, form)

        return Column(title, text, "number")

    return [column(key, *shown) for key, shown in COLUMNS.items()]


def _overrides(varied: Sequence[Parameter]) -> list[Column[Any]]:
    """A column for each parameter, of rows that have overrides: trials or finalists."""

    def column(parameter: Parameter) -> Column[Any]:
        kind: Literal["", "number"] = "number" if parameter.numeric else ""
        return Column(parameter.key, lambda row: _shorter(str(row.overrides.get(parameter.key, "–"))), kind)

    return [column(parameter) for parameter in varied]


def _shorter(text: str) -> str:
    """A number with 6 digits where it has more, as numbers of a search do; other texts as they are."""
    try:
        return text if len(text) <= 9 else f"{float(text):.6g}"
    except ValueError:
        return text
