"""Tables of a grid over folds or splits: values by fold, the spread by its source, out-of-fold metrics."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from phalanx.analysis.compare import Part
from phalanx.analysis.compare.groups import place_text
from phalanx.analysis.compare.measure import Measure
from phalanx.analysis.compare.run import OUTER
from phalanx.analysis.statistics import SEEDS, Place
from phalanx.analysis.variance import SOURCES, sources_of_variance
from phalanx.core.csv_text import cell_value
from phalanx.core.metrics import FURTHER
from phalanx.core.reading import MAX_TABLE, read_text
from phalanx.report.differences import NOTHING
from phalanx.runs.layout import SweepPaths

MOST_PLACES = 60  # columns of folds or splits
MOST_ROWS = 100  # of out-of-fold metrics
OUT_OF_FOLD = ("accuracy", "likelihood", *(info.name for info in FURTHER))  # columns of `oof_metrics.csv`
METHOD = (
    "The standard deviation that each source causes alone: variance components of the balanced analysis of variance, "
    "with random effects and with splits and folds crossed with seeds; an estimate below zero counts as 0. Seeds: "
    "initial weights and the order of samples, on the same fold or split. Few levels leave a rough estimate."
)


@dataclass(frozen=True)
class PageTable:
    """A table of texts with its title and a note; the first column is the name of the row."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


def place_tables(measure: Measure, part: Part) -> list[PageTable]:
    """The values by fold or split, and how much of their spread is of each source; none where seeds are the repeats.

    Args:
        measure: The metric.
        part: The comparison on one data set.
    """
    if part.repeats == SEEDS:
        return []
    return [_by_place(measure, part), *_spread(measure, part)]


def _by_place(measure: Measure, part: Part) -> PageTable:
    one, decimals = part.repeats.removesuffix("s"), _decimals(measure)
    places = sorted({place for group in part.groups for place in group.seeds}, key=_in_order)
    shown = places[:MOST_PLACES]
    texts = [{place: f"{value:.{decimals}f}" for place, value in group.seeds.items()} for group in part.groups]
    rows = [[g.label, *(own.get(place, NOTHING) for place in shown)] for g, own in zip(part.groups, texts, strict=True)]
    several = any(len(group.values) > len(group.seeds) for group in part.groups)
    inner = ", of each fold in it" if part.averaged_over else ""
    notes = [f"Each value is the mean over its seeds{inner}."] if several else []
    notes += [f"The first {MOST_PLACES} of {len(places)}."] if len(places) > MOST_PLACES else []
    numbers = "/".join(key.removeprefix("data.").removesuffix("_seed").replace("_", " ") for key in part.pooled_over)
    named = [place_text(place) if "/" in numbers else f"{one} {place_text(place)}" for place in shown]
    title = f"{measure.title} by {numbers or one}"
    return PageTable(title, ["group", *named], rows, " ".join(notes))


def _in_order(place: Place) -> tuple[int, ...]:
    return place if isinstance(place, tuple) else (place,)


def _spread(measure: Measure, part: Part) -> list[PageTable]:
    if OUTER in part.pooled_over or part.averaged_over:
        return []  # folds inside folds are crossed otherwise
    found = {group.label: sources_of_variance(group.values, part.repeats) for group in part.groups}
    names = [name for name in SOURCES if any(source.name == name for one in found.values() for source in one)]
    if len(names) < 2:
        return []
    rows = []
    for label, one in found.items():
        by_name = {source.name: f"{source.std:.{_decimals(measure)}f}" for source in one}
        levels = " × ".join(f"{source.levels} {source.name}" for source in one) or "not each has the same seeds"
        rows.append([label, *(by_name.get(name, NOTHING) for name in names), levels])
    unit = f", {measure.unit}" if measure.unit else ""
    title = f"Spread of {measure.metric} by source{unit}"
    return [PageTable(title, ["group", *(f"between {name}" for name in names), "trained"], rows, METHOD)]


def _decimals(measure: Measure) -> int:
    return 2 if measure.in_percent else 4


def out_of_fold_table(paths: SweepPaths) -> PageTable | None:
    """The metrics of the out-of-fold predictions of a sweep; None where it has none.

    Args:
        paths: The sweep's folder.

    Raises:
        UnreadableFile: The file is damaged.
    """
    if not paths.out_of_fold_metrics.is_file():
        return None
    text = read_text(paths.out_of_fold_metrics, inside=paths.root, limit=MAX_TABLE)
    header, *rows = [[cell_value(cell) for cell in row] for row in csv.reader(io.StringIO(text))] or [[]]
    if not rows or any(len(row) != len(header) for row in rows):
        return None
    metrics = [n for n, name in enumerate(header) if name in OUT_OF_FOLD]
    typed = [n for n in range(metrics[-1] + 1, len(header)) if len({row[n] for row in rows}) > 1] if metrics else []
    cells = [
        [" ".join(f"{header[n].removeprefix('override.')}={row[n]}" for n in typed) or "all trials", row[1],
         *(_number(row[n]) for n in metrics)]
        for row in rows[:MOST_ROWS]
    ]  # fmt: skip
    note = (
        "Each row of the data is predicted by the network of the fold that held it out; oof.csv has the probabilities."
    )
    note += f" The first {MOST_ROWS} of {len(rows):,}." if len(rows) > MOST_ROWS else ""
    return PageTable("", ["setting", "rows", *(header[n] for n in metrics)], cells, note)


def _number(text: str) -> str:
    try:
        return f"{float(text):.4f}"
    except ValueError:
        return text or NOTHING
