"""Which loss is best when each has its own learning rate, for each optimizer and depth."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import product

from lab import Finding, Lab, interval, table

from phalanx.analysis.statistics import compare, summarise
from phalanx.analysis.wording import sentence
from phalanx.report.style import BLUE, GREEN, ORANGE, TICK, label_axes, new_figure

LOSSES = {"cross_entropy": "cross-entropy", "mse": "MSE", "one_vs_all": "one-vs-all"}
OPTIMIZERS = {"sgd": "SGD with momentum", "adam": "Adam"}
DEPTHS = {"mlp2": 2, "mlp3": 3, "mlp4": 4}
Key = tuple[str, str, str]


def measure(lab: Lab) -> Finding:
    keys: list[Key] = list(product(LOSSES, OPTIMIZERS, DEPTHS))
    with ThreadPoolExecutor(2) as pool:  # each search takes one thread of torch
        searches = pool.map(lambda key: lab.search(*(f"{g}={v}" for g, v in zip(GROUPS, key, strict=True))), keys)
        found = dict(zip(keys, searches, strict=True))
    rows = [
        [OPTIMIZERS[optimizer], str(depth), *(cell(found[loss, optimizer, model]) for loss in LOSSES)]
        for optimizer, (model, depth) in product(OPTIMIZERS, DEPTHS.items())
    ]
    head = ("optimizer", "linear layers", *(f"{name}: test accuracy, % (lr)" for name in LOSSES.values()))
    parts = [table(head, rows), lab.figure(draw(found), "tuned", "test accuracy of each loss at its own rate")]
    verdicts = []
    for optimizer, model in product(OPTIMIZERS, DEPTHS):
        seeds = {LOSSES[loss]: percent(found[loss, optimizer, model][1]) for loss in LOSSES}
        shown = [difference for difference in compare(seeds, "maximize") if difference.shown]
        verdicts += shown
        said = "; ".join(sentence(difference, "points") for difference in shown) or "no difference shown"
        parts.append(f"- {OPTIMIZERS[optimizer]}, {DEPTHS[model]} layers: {said}")
    parts[2:] = ["Paired t-tests over the ten seeds, Bonferroni's correction in each row:", "\n".join(parts[2:])]
    n = len(OPTIMIZERS) * len(DEPTHS)
    wins = {name: sum(d.better == name for d in verdicts) for name in LOSSES.values()}
    largest = max((abs(d.mean) for d in verdicts), default=0.0)
    answer = (
        f"each loss at its own tuned rate: of {3 * n} comparisons {len(verdicts)} show a difference, the largest of "
        f"{largest:.1f} points; wins: " + ", ".join(f"{name} {count}" for name, count in wins.items())
    )
    return Finding("\n\n".join(parts), answer)


GROUPS = ("loss", "optimizer", "model")


def percent(seeds: dict[int, float]) -> dict[int, float]:
    return {seed: 100 * value for seed, value in seeds.items()}


def cell(found: tuple[float, dict[int, float]]) -> str:
    rate, seeds = found
    return f"{interval(list(seeds.values()), 2, 100)} ({rate:.2g})"


def draw(found: dict[Key, tuple[float, dict[int, float]]]) -> object:
    figure = new_figure(9, 3.6)
    for axes, optimizer in zip(figure.subplots(1, 2, sharey=True), OPTIMIZERS, strict=True):
        for shift, (loss, name), colour in zip((-0.15, 0, 0.15), LOSSES.items(), (BLUE, ORANGE, GREEN), strict=True):
            means = [summarise(percent(found[loss, optimizer, model][1]), limits=(0.0, 100.0)) for model in DEPTHS]
            places = [depth + shift for depth in DEPTHS.values()]
            bars = [[m.mean - m.low for m in means], [m.high - m.mean for m in means]]
            axes.errorbar(places, [m.mean for m in means], bars, fmt="o", color=colour, capsize=4, label=name)
        axes.set_xticks(list(DEPTHS.values()))
        axes.grid(alpha=0.3)
        label_axes(axes, OPTIMIZERS[optimizer], "linear layers", "test accuracy, %" if optimizer == "sgd" else "")
    handles, names = axes.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3, fontsize=TICK, frameon=False)
    return figure
