"""A comparison as text: tables for the terminal, CSV and Markdown."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from phalanx.analysis.class_scores import SPLITS, ClassScore, hardest
from phalanx.analysis.compare.found import Comparison, Part
from phalanx.analysis.compare.groups import Group, place_text
from phalanx.analysis.compare.keys import short_names
from phalanx.analysis.compare.measure import Measure
from phalanx.analysis.compare.over_tables import (
    MOST_COLUMNS,
    over_title,
    rank_difference_rows,
    rank_rows,
    rank_table,
    value_table,
)
from phalanx.analysis.statistics import SEEDS, Difference, Summary
from phalanx.analysis.wording import format_p
from phalanx.core.csv_text import csv_text

NOTHING = "–"
CLASS_HEADER = ("support", "precision", "recall", "F1")
MOST_ROWS = 40  # groups or differences on the screen


def show(comparison: Comparison, console: Console, *, classes: bool = False) -> None:
    """Prints everything: a table of the groups, the sentences, what has to be known, for each data set.

    Args:
        comparison: The comparison.
        console: Where to print.
        classes: Whether to print a table of each class too.
    """
    for part in comparison.parts:
        console.print(_screen(titled(comparison, part), *group_table(comparison.measure, part)))
        for text in part.sentences:
            console.print(f"  {text}", soft_wrap=True)
        for text in part.notes:
            console.print(f"  note: {text}", style="dim", soft_wrap=True)
        if classes:
            title, header, rows = class_table(part)
            console.print(_screen(title, header, rows, len(rows)) if rows else f"  {title}", soft_wrap=not rows)
    for text in comparison.notes:
        console.print(f"note: {text}", style="dim", soft_wrap=True)
    if (over := comparison.over) is not None:
        console.print(_screen(over_title(comparison, over), *rank_table(over)))
        if len(over.groups) <= MOST_COLUMNS:
            console.print(_screen("", *value_table(over, _over_places(comparison))))
        for text in over.sentences:
            console.print(f"  {text}", soft_wrap=True)
        for text in over.notes:
            console.print(f"  note: {text}", style="dim", soft_wrap=True)


def _over_places(comparison: Comparison) -> int:
    return 2 if comparison.measure.in_percent else 4


def titled(comparison: Comparison, part: Part) -> str:
    """What is compared: data, metric, keys, and what the intervals are about."""
    by = ", ".join(short_names(comparison.by).values()) or "nothing that varies"
    return f"{part.data}: {comparison.measure.title} by {by}, {part.where}"


def _screen(title: str, header: Sequence[str], rows: Sequence[Sequence[str]], most: int = MOST_ROWS) -> Table:
    hidden = max(0, len(rows) - most)
    caption = f"{hidden} more groups: --csv FILE has all" if hidden else None
    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, caption=caption)
    for place, cell in enumerate(header):
        table.add_column(Text(cell), justify="left" if place == 0 else "right", overflow="fold")
    for row in rows[:most]:
        table.add_row(*map(Text, row))
    return table


def group_table(measure: Measure, part: Part) -> tuple[list[str], list[list[str]]]:
    """Header and rows: every group with its seeds, mean, standard deviation and interval."""
    header = ["group", part.repeats, "mean", "std", "95 % interval"]
    lost = any(group.lost for group in part.groups)
    places = decimals(part.summaries, 2 if measure.in_percent else 4)
    rows = []
    for group, summary in zip(part.groups, part.summaries, strict=True):
        cells = [NOTHING] * 3 if summary is None else summary_cells(summary, places)
        rows.append([group.label, str(len(group.seeds)), *cells, *([_lost(group)] if lost else [])])
    return [*header, *(["not completed"] if lost else [])], rows


def class_table(part: Part) -> tuple[str, list[str], list[list[str]]]:
    """Title, header and rows: precision, recall, F1 and support of each class in each group, means over its runs."""
    scores = [group.classes for group in part.groups]
    names = list(dict.fromkeys(name for one in scores for name in one))
    if not names:
        why = "results of earlier versions have none, and MLflow none of very many classes"
        return f"no counts of the classes of {part.data}: {why}", [], []
    shown, note = hardest(names, scores)
    split = next(score.split for one in scores for score in one.values())
    rows = [
        [name, group.label, *class_cells(group.classes[name])]
        for name in shown
        for group in part.groups
        if name in group.classes
    ]
    title = f"{part.data}: each class, {SPLITS[split]} split, means over runs"
    return f"{title}; {note}" if note else title, ["class", "group", *CLASS_HEADER], rows


def class_cells(score: ClassScore) -> list[str]:
    """Support, precision, recall and F1 of one class as text."""
    parts = (NOTHING if value is None else f"{value:.4f}" for value in (score.precision, score.recall, score.f1))
    return [f"{score.support:g}", *parts]


def summary_cells(summary: Summary, places: int) -> list[str]:
    """Mean, standard deviation and interval as text."""
    interval = NOTHING if summary.low is None else f"{summary.low:.{places}f} to {summary.high:.{places}f}"
    return [f"{summary.mean:.{places}f}", NOTHING if summary.std is None else f"{summary.std:.{places}f}", interval]


def decimals(summaries: Sequence[Summary | None], usual: int) -> int:
    """Decimals for a column of means: none for large numbers such as parameter counts."""
    largest = max((abs(s.mean) for s in summaries if s is not None), default=0.0)
    return max(0, usual - (len(str(int(largest))) - 2)) if largest >= 100 else usual


def _lost(group: Group) -> str:
    return group.lost.counts if group.lost else "0"


def groups_csv(comparison: Comparison) -> str:
    """One row a group: data, the keys, n, mean, standard deviation, interval, runs. In the unit that is shown."""
    statistics = ("n", "mean", "std", "low", "high")
    rows: list[list[Any]] = [
        ["data", *comparison.by, "metric", *statistics, "n_runs", "not_completed", "seeds", "repeats"]
    ]
    for part in comparison.parts:
        for group, summary in zip(part.groups, part.summaries, strict=True):
            numbers = [0, *[None] * 4] if summary is None else [getattr(summary, name) for name in statistics]
            row = [part.data, *group.keys.values(), comparison.measure.title, *numbers]
            lost = sum(group.lost.by_status.values()) if group.lost else 0
            rows.append([*row, group.n_runs, lost, " ".join(map(place_text, group.seeds)), part.repeats])
    rows += [] if comparison.over is None else rank_rows(comparison, comparison.over)
    return csv_text(rows)


def differences_csv(comparison: Comparison) -> str:
    """One row a pair: a, b, n, mean of a - b, interval, both p-values, effect size, and what `--relevant` adds.

    Probabilities are those of `phalanx.analysis.posterior`, for each pair alone.
    """
    names = ("a", "b", "n", "mean", "low", "high", "p", "p_adjusted", "effect", "repeats", "relevant", "p_equivalent")
    probable = ("p_a_better", "p_neither", "p_b_better")
    rows: list[list[Any]] = [["data", "metric", *names, *probable]]
    for part in comparison.parts:
        for difference in part.differences:
            row: list[Any] = [getattr(difference, name) for name in names]
            rows.append([part.data, comparison.measure.title, *row, *(difference.probabilities or [None] * 3)])
    rows += [] if comparison.over is None else rank_difference_rows(comparison.over, len(rows[0]))
    return csv_text(rows)


def markdown(comparison: Comparison, *, classes: bool = False) -> str:
    """Both tables, the sentences and the notes, and where it is asked for a table of each class."""
    lines: list[str] = []
    for part in comparison.parts:
        lines += [f"**{_escaped(titled(comparison, part))}**", "", *_rows(*group_table(comparison.measure, part))]
        if part.differences:
            lines += ["", *_rows(*difference_table(part.differences, comparison.measure))]
        lines += ["", *(f"- {_escaped(text)}" for text in part.sentences)]
        lines += [f"- Note: {_escaped(text)}" for text in part.notes]
        lines.append("")
        if classes:
            title, header, rows = class_table(part)
            lines += [f"**{_escaped(title)}**", "", *(_rows(header, rows) if rows else ()), ""]
    lines += [f"- Note: {_escaped(text)}" for text in comparison.notes]
    if (over := comparison.over) is not None:
        lines += ["", f"**{_escaped(over_title(comparison, over))}**", "", *_rows(*rank_table(over)), ""]
        lines += [*_rows(*value_table(over, _over_places(comparison))), ""]
        lines += [*(f"- {_escaped(text)}" for text in over.sentences), *(f"- Note: {_escaped(t)}" for t in over.notes)]
    return "\n".join(lines).strip() + "\n"


def difference_table(differences: Sequence[Difference], measure: Measure) -> tuple[list[str], list[list[str]]]:
    """Header and rows for all pairs."""
    repeats = differences[0].repeats if differences else SEEDS
    header = ["difference", repeats, f"mean{', ' + measure.unit if measure.unit else ''}", "95 % interval", "p",
              "p, adjusted", "effect size"]  # fmt: skip
    places = 2 if measure.in_percent else 4
    rows = []
    for d in differences:
        interval = NOTHING if d.low is None else f"{d.low:.{places}f} to {d.high:.{places}f}"
        mean = NOTHING if d.mean is None else f"{d.mean:.{places}f}"
        both = d.p, d.p_adjusted
        ps = [NOTHING if p is None else format_p(p).removeprefix("p = ").removeprefix("p ") for p in both]
        effect = NOTHING if d.effect is None else f"{d.effect:.2f}"
        rows.append([f"{d.a} − {d.b}", str(d.n), mean, interval, *ps, effect])
    return header, rows


def _rows(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(map(_escaped, header)) + " |"
    yield "| --- |" + " ---: |" * (len(header) - 1)
    for row in rows:
        yield "| " + " | ".join(map(_escaped, row)) + " |"


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is."""
    return "".join(f"\\{c}" if c in "|*<>`[]" else c for c in text).replace("\n", " ")
