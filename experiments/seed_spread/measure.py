"""How much the seed alone moves the result, and what choosing the best of several pretends."""

from __future__ import annotations

import itertools
import math
import statistics

from lab import Finding, Lab, interval, table, values
from matplotlib.ticker import MaxNLocator

from phalanx.analysis.equivalence import seeds_needed
from phalanx.report.style import BLUE, VERMILLION, label_axes, new_figure

N_TEST = 10_000


def measure(lab: Lab) -> Finding:
    seeds = values(lab.sweep(), "test_accuracy")
    splits = values(
        lab.sweep("seed=0", "data.split_seed=range(20)", "data.first=null", "data.n_train=4096"), "test_accuracy"
    )
    longer = values(lab.sweep("trainer.epochs=10"), "test_accuracy")
    rows = [row("100 seeds, five epochs", seeds), row("100 seeds, ten epochs", longer),
            row("one seed, 20 draws of the 4,096 images, five epochs", splits)]  # fmt: skip
    head = (
        "what differs",
        "mean",
        "deviation, points",
        "lowest",
        "highest",
        "best of 5, points above the mean",
    )
    deviation = statistics.stdev(seeds)
    counting = math.sqrt(statistics.fmean(seeds) * (1 - statistics.fmean(seeds)) / N_TEST)
    sentences = (
        f"The {N_TEST:,} test images alone leave a standard error of {100 * counting:.2f} points, which seeds share. "
        f"If two configurations spread like this and independently, a difference of half a point needs "
        f"about {seeds_needed(deviation * math.sqrt(2), 0.005)} seeds each, one of one point "
        f"{seeds_needed(deviation * math.sqrt(2), 0.01)}."
    )
    figure = new_figure(7, 3.2)
    axes = figure.subplots()
    first, last = (math.floor(500 * end) for end in (min(seeds + longer), max(seeds + longer)))
    bins = [place / 500 for place in range(first, last + 2)]
    for numbers, colour, label in ((seeds, BLUE, "five epochs"), (longer, VERMILLION, "ten epochs")):
        axes.hist(numbers, bins=bins, color=colour, alpha=0.6, label=label)
    axes.legend(frameon=False)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    label_axes(axes, "one configuration, 100 seeds", "test accuracy", "seeds")
    shown = lab.figure(figure, "histogram", "test accuracy of 100 seeds")
    answer = (
        f"one configuration, 100 seeds: {interval(seeds)}, from {min(seeds):.3f} to {max(seeds):.3f}; the best of five "
        f"seeds is {100 * best_of(5, seeds):.1f} points above the mean"
    )
    return Finding("\n\n".join([table(head, rows), sentences, shown]), answer)


def row(what: str, numbers: list[float]) -> list[str]:
    return [
        what, f"{statistics.fmean(numbers):.4f}", f"{100 * statistics.stdev(numbers):.2f}", f"{min(numbers):.4f}",
        f"{max(numbers):.4f}", f"{100 * best_of(5, numbers):.2f}",
    ]  # fmt: skip


def best_of(k: int, numbers: list[float]) -> float:
    """The mean over all choices of k values of the largest, less the mean of all."""
    n, ordered = len(numbers), sorted(numbers)
    chances = [math.comb(i, k - 1) / math.comb(n, k) for i in range(n)]
    return sum(itertools.starmap(lambda p, x: p * x, zip(chances, ordered, strict=True))) - statistics.fmean(numbers)
