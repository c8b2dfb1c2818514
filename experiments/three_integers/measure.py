"""Does a or b exceed the sum of the others? With and without an activation."""

from __future__ import annotations

import statistics

from lab import Finding, Lab, Trial, by, interval, spread, table, values

from phalanx.analysis.statistics import compare
from phalanx.analysis.wording import sentence
from phalanx.report.style import BLUE, VERMILLION, label_axes, new_figure

TITLES = {"relu": "ReLU between the layers", "identity": "none: one linear map"}


def measure(lab: Lab) -> Finding:
    sizes = ("100", "1000", "10000")
    trials = by(lab.sweep("data.n_train=" + ",".join(sizes)), "data.n_train", "model.activation")
    rows = [
        [f"{int(size):,}", TITLES[name], *(spread(values(found, f"{split}_accuracy")) for split in ("train", "test"))]
        for (size, name), found in trials.items()
    ]
    tests = {TITLES[a]: dict(enumerate(values(trials["1000", a], "test_accuracy"))) for a in TITLES}
    said = sentence(compare(tests, "maximize")[0])
    relu, linear = (values(trials["1000", a], "test_accuracy") for a in TITLES)
    text = table(("training points", "activation", "training accuracy", "test accuracy"), rows)
    answer = f"test accuracy with 1,000 points: {interval(linear)} for one linear map, {interval(relu)} with ReLU"
    shown = lab.figure(draw(trials), "by_points", "test accuracy by number of training points")
    return Finding(f"{text}\n\nWith 1,000 points: {said}.\n\n{shown}", answer)


def draw(trials: dict[tuple[str, ...], list[Trial]]) -> object:
    figure = new_figure(7, 3.4)
    axes = figure.subplots()
    sizes = list(dict.fromkeys(int(size) for size, _ in trials))
    for (name, title), colour in zip(TITLES.items(), (VERMILLION, BLUE), strict=True):
        seeds = [values(trials[str(size), name], "test_accuracy") for size in sizes]
        for size, of_size in zip(sizes, seeds, strict=True):
            axes.plot([size] * len(of_size), of_size, "o", color=colour, alpha=0.3, markersize=5, markeredgewidth=0)
        axes.plot(sizes, [statistics.fmean(of_size) for of_size in seeds], color=colour, label=title)
    axes.set_xscale("log")
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="lower right")
    label_axes(axes, "each of ten seeds, and the mean", "training points", "test accuracy")
    return figure
