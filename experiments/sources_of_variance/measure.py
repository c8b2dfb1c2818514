"""How much seeds, splits and folds move a result, and how many differences between losses outlive their split."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

from lab import Finding, Lab, Trial, by, table, values

from phalanx.analysis.compare import Run, compare_runs, read_sources
from phalanx.analysis.statistics import Difference
from phalanx.analysis.variance import sources_of_variance
from phalanx.report.style import BLACK, BLUE, VERMILLION, label_axes, new_figure

DATA = ("digits", "wine")
LOSSES = {"cross_entropy": "cross-entropy", "mse": "MSE", "one_vs_all": "one-vs-all"}
FOLDS = ("data.resampling=kfold", "data.fold=range(5)", "data.split_seed=0")
ROWS = {"digits": {"val": 288, "test": 360}, "wine": {"val": 28, "test": 36}}  # that are evaluated
SMALLER = ("debug=limit", "seed=0,1")


def measure(lab: Lab) -> Finding:
    splits, folds = lab.sweep(), lab.sweep(*FOLDS)
    compared_splits, compared_folds = (read_sources([str(trials[0].folder.parent)]).runs for trials in (splits, folds))
    spread = [
        [data, metric, places, *sources(trials, data, metric, places, key)]
        for data in DATA
        for metric, places, trials, key in (
            ("test", "splits", splits, "data.split_seed"), ("val", "splits", splits, "data.split_seed"),
            ("val", "folds", folds, "data.fold"))
    ]  # fmt: skip
    head = ("data", "accuracy of", "trained on", "seeds", "splits or folds", "sample of rows alone")
    found = {data: Differences(compared_splits, compared_folds, data) for data in DATA}
    pairs = [row for data in DATA for row in found[data].rows()]
    titles = ("data", "difference, points", "on each split", "shown on one split", "over 8 splits", "over 5 folds")
    figure = draw(found)
    shown = lab.figure(figure, "differences", "differences of two losses on each split, over splits and over folds")
    n_shown, over_splits, over_folds = (
        sum(column) for column in zip(*(one.counts() for one in found.values()), strict=True)
    )
    numbers = {tuple(row[:3]): row[3:5] for row in spread}
    (seed, split), (wine_seed, wine_split) = (numbers[data, "test", "splits"] for data in DATA)
    answer = (
        f"test accuracy of digits varies by {split} points between splits and {seed} between seeds, of wine by "
        f"{wine_split} and {wine_seed}; of {n_shown} differences of two losses shown over seeds on one of 8 splits, "
        f"{over_splits} are shown over splits and {over_folds} over folds"
    )
    return Finding("\n\n".join([table(head, spread), table(titles, pairs), shown]), answer)


def sources(trials: Sequence[Trial], data: str, metric: str, places: str, key: str) -> list[str]:
    """The deviation by seeds, by places, and that of counting the evaluated rows, in points: root mean squares over
    losses."""
    variances, accuracies = [], []
    for (of, _), group in by(trials, "data", "loss").items():
        if of == data:
            found = values(group, f"{metric}_accuracy")
            accuracies += found
            at = {(int(one[key]), int(one["seed"])): 100 * x for one, x in zip(group, found, strict=True)}
            variances.append([source.std**2 for source in sources_of_variance(at, places)])
    of_places, of_seeds = (math.sqrt(statistics.fmean(column)) for column in zip(*variances, strict=True))
    right = statistics.fmean(accuracies)
    rows = ROWS[data][metric]
    return [f"{of_seeds:.2f}", f"{of_places:.2f}", f"{100 * math.sqrt(right * (1 - right) / rows):.2f}"]


class Differences:
    """What `phalanx compare --by loss` finds on each split, over splits and over folds of one data set, by pair."""

    def __init__(self, splits: Sequence[Run], folds: Sequence[Run], data: str) -> None:
        self.data = data
        numbers = sorted({run.number("data.split_seed") or 0 for run in splits})
        self.single = [
            compared(splits, "test_accuracy", f"data={data}", f"data.split_seed={number}") for number in numbers
        ]
        self.splits = compared(splits, "test_accuracy", f"data={data}")
        self.folds = compared(folds, "val_accuracy", f"data={data}")

    def counts(self) -> tuple[int, int, int]:
        """The differences shown on single splits, and how many of them are shown, with the same sign, over splits and
        over folds."""
        shown = [(pair, one[pair].mean) for one in self.single for pair in one if one[pair].shown]
        return (
            len(shown),
            *(sum(alike(over[pair], mean) for pair, mean in shown) for over in (self.splits, self.folds)),
        )

    def rows(self) -> list[list[str]]:
        found = []
        for a, b in self.splits:
            one = [single[a, b] for single in self.single]
            means = [difference.mean or 0.0 for difference in one]
            n_shown = [sum(d.shown and d.mean * sign > 0 for d in one) for sign in (1, -1)]
            found.append([
                self.data, f"{LOSSES[a]} less {LOSSES[b]}", f"{min(means):.1f} to {max(means):.1f}",
                f"{n_shown[0]} above, {n_shown[1]} below zero, of {len(one)}",
                *(f"{d.mean:.1f} [{d.low:.1f}, {d.high:.1f}]" for d in (self.splits[a, b], self.folds[a, b])),
            ])  # fmt: skip
        return found


def alike(difference: Difference, mean: float) -> bool:
    return difference.shown and difference.mean * mean > 0


def compared(runs: Sequence[Run], metric: str, *where: str) -> dict[tuple[str, str], Difference]:
    """The difference of each two losses, each pair in a comparison of its own, in points."""
    found = {}
    for pair in combinations(LOSSES, 2):
        two = [run for run in runs if run.config["loss.name"] in pair]
        (part,) = compare_runs(two, ["loss"], metric, where=where).parts
        groups = {group.label: group.keys["loss.name"] for group in part.groups}
        for difference in part.differences:
            found[pair] = difference if groups[difference.a] == pair[0] else turn(difference)
    return found


def turn(d: Difference) -> Difference:
    """The same difference, b - a."""
    return replace(d, a=d.b, b=d.a, mean=-d.mean, low=-d.high, high=-d.low)


def draw(found: dict[str, Differences]) -> object:
    figure = new_figure(9, 3.6)
    for axes, (data, one) in zip(figure.subplots(1, 2), found.items(), strict=True):
        pair = next(reversed(one.splits))
        bars = [*((d[pair], BLUE) for d in one.single), (one.splits[pair], VERMILLION), (one.folds[pair], BLACK)]
        for place, (d, colour) in enumerate(bars):
            axes.plot([place, place], [d.low, d.high], color=colour, linewidth=1.5)
            axes.plot([place], [d.mean], "o", color=colour, markersize=5)
        axes.axhline(0, color=BLACK, linewidth=0.8)
        names = [*map(str, range(len(one.single))), "splits", "folds"]
        axes.set_xticks(range(len(names)), names)
        axes.grid(axis="y", alpha=0.3)
        title = f"{data}: {' less '.join(LOSSES[loss] for loss in pair)}"
        label_axes(axes, title, "each split over seeds; over splits; over folds", "difference, points, 95 %")
    return figure
