"""The tables of a sweep's report: the best trials, the final, groups of seeds, failures, all trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from phalanx.analysis.statistics import summarise
from phalanx.core.result import ended_as, limits_of
from phalanx.report.pages.page import Cell, folded, listing, paragraphs, table
from phalanx.report.sweep_figures.trials import Parameter, Trial, objective_names

BEST = 20  # rows in the table of the best
FOLDED = 20  # failures that are shown without being asked for
COSTS = {"n_parameters": "parameters", "train_seconds": "seconds", "best_epoch": "best epoch"}


@dataclass(frozen=True)
class Compared:
    """A table of groups with their means and intervals, sentences about them, and notes."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    sentences: Sequence[str]
    notes: Sequence[str]


def best_table(best: Sequence[Trial], varied: Sequence[Parameter], configs: Mapping[int, str]) -> str:
    """The best trials with what varies, and the whole configuration of the first ones, folded."""
    if not best:
        return ""
    several = len(objective_names(best)) > 1
    repeated = any(trial.get("repeats") for trial in best)
    header = [
        "trial", *(["front"] if several else []), *_measures(best), *(["seeds", "95 % interval"] if repeated else []),
        *COSTS.values(), *(p.key for p in varied),
    ]  # fmt: skip
    rows = []
    for trial in best[:BEST]:
        mark = [Cell("yes" if trial.get("front") else "no")] if several else []
        rows.append([Cell(str(trial["number"]), True), *mark, *_numbers(trial, _measures(best)),
                     *(_seeds(trial) if repeated else []), *_costs(trial), *_overrides(trial, varied)])  # fmt: skip
    note = [f"The first {BEST} of {len(best):,} completed trials."] if len(best) > BEST else []
    texts = [folded(f"Whole configuration of trial {n}", listing(config)) for n, config in configs.items()]
    return table(header, rows) + paragraphs(note, "note") + "".join(texts)


def all_trials(trials: Sequence[Trial], varied: Sequence[Parameter]) -> str:
    """Every trial, folded; the figures link to its rows."""
    measures = _measures(trials)
    header = ["trial", "status", *measures, *COSTS.values(), *(p.key for p in varied)]
    rows = [
        [Cell(str(t["number"]), True), Cell(ended_as(t)), *_numbers(t, measures), *_costs(t), *_overrides(t, varied)]
        for t in trials
    ]
    anchors = [f"trial-{trial['number']}" for trial in trials]
    return folded(f"{len(trials):,} trials", table(header, rows, anchors)) if trials else ""


def failures(trials: Sequence[Trial], varied: Sequence[Parameter]) -> str:
    """The trials without a value, and why."""
    failed = [trial for trial in trials if trial["status"] in ("failed", "diverged")]
    if not failed:
        return paragraphs(["No trial failed or diverged."], "note")
    rows = [
        [
            Cell(str(t["number"]), True),
            Cell(ended_as(t)),
            Cell(str(t.get("error") or "–"), words=True),
            *_overrides(t, varied),
        ]
        for t in failed
    ]
    header = ["trial", "status", "error", *(p.key for p in varied)]
    shown, more = table(header, rows[:FOLDED]), rows[FOLDED:]
    return shown + (folded(f"{len(more):,} more", table(header, more)) if more else "")


def final_table(rows: Sequence[Mapping[str, Any]], objective: str, varied: Sequence[Parameter]) -> str:
    """Mean, standard deviation and interval of each finalist, and what varies."""
    measures = {"objective": objective, "test_accuracy": "test accuracy"}
    header = ["trial", "seeds", "diverged"]
    for name in measures.values():
        header += [name, "std", "95 % interval"]
    cells = []
    for row in rows:
        line = [Cell(str(row.get(key, "–")), True) for key in ("number", "n", "diverged")]
        for measure in measures:
            low, high = row[f"{measure}_low"], row[f"{measure}_high"]
            line += [Cell(decimals(row[measure]), True), Cell(decimals(row[f"{measure}_std"]), True)]
            line.append(Cell("–" if low is None else f"{low:.4f} to {high:.4f}", True))
        cells.append([*line, *_overrides({"overrides": row}, varied)])
    return table([*header, *(p.key for p in varied)], cells)


def compared_table(compared: Compared | None) -> str:
    """What `phalanx compare` says about a sweep that was trained with several seeds."""
    if compared is None:
        return ""
    rows = [[Cell(cell, number=place > 0) for place, cell in enumerate(row)] for row in compared.rows]
    return table(compared.header, rows) + paragraphs(compared.sentences) + paragraphs(compared.notes, "note")


def decimals(value: float | None) -> str:
    """A value as a table shows it."""
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}" if 1e-3 <= abs(value) < 1e5 else f"{value:.3g}"


def _measures(trials: Sequence[Trial]) -> list[str]:
    """The objectives that are no costs, which have columns of their own, and what is always worth seeing."""
    names = [*objective_names(trials), "val_loss", "test_accuracy"]
    there = [n for n in names if any(t["metrics"].get(n) is not None for t in trials)]
    return [name for name in dict.fromkeys(there) if name not in COSTS]


def _numbers(trial: Trial, measures: Sequence[str]) -> list[Cell]:
    values = dict(trial["metrics"])
    if trial["objective"]["name"]:
        values[trial["objective"]["name"]] = trial["objective"]["value"]
    return [Cell(decimals(values.get(name)), True) for name in measures]


def _seeds(trial: Trial) -> list[Cell]:
    """How many seeds a trial was trained with, and the interval of their mean objective."""
    values = [row["value"] for row in trial.get("repeats") or () if row["value"] is not None]
    if len(values) < 2:
        return [Cell(str(len(values) or 1), True), Cell("–", True)]
    found = summarise(values, limits=limits_of(trial["objective"]["name"]))
    return [Cell(str(found.n), True), Cell(f"{decimals(found.low)} to {decimals(found.high)}", True)]


def _costs(trial: Trial) -> list[Cell]:
    parameters, seconds, epoch = (trial.get(name) for name in COSTS)
    return [
        Cell("–" if parameters is None else f"{parameters:,}", True),
        Cell("–" if seconds is None else f"{seconds:.2f}", True),
        Cell("–" if epoch is None else str(epoch), True),
    ]


def _overrides(trial: Trial, varied: Sequence[Parameter]) -> list[Cell]:
    return [Cell(_shorter(str(trial["overrides"].get(p.key, "–"))), p.numeric) for p in varied]


def _shorter(text: str) -> str:
    """Numbers of a search come with 17 digits; a table needs 6."""
    try:
        value = float(text)
    except ValueError:
        return text
    return text if len(text) <= 9 else f"{value:.6g}"
