"""Parallel coordinates: a line a trial through all its parameters to its value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from phalanx.report.style import GREY, TICK, VERMILLION, new_figure, shorten
from phalanx.report.svg import WIDTH, trial_url
from phalanx.report.sweep_figures.scale import Scale, scale_of
from phalanx.report.sweep_figures.trials import Parameter, Trial, completed, objective_names, short_keys, value_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BEST_SHARE = 0.1  # of the completed trials is drawn in colour
MOST_TICKS = 12
FEW_VALUES = 5  # that are all named
ABSENT = -0.12  # the height where a trial passes an axis whose key it does not have


@dataclass(frozen=True)
class Axis:
    """One vertical axis: heights from 0 to 1, with names at some of them."""

    name: str
    heights: tuple[float | None, ...]  # of each trial
    ticks: tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class ParallelInfo:
    """The parameters' scales in order, the objective's last; `best` are the places of the best trials."""

    numbers: tuple[int, ...]
    axes: tuple[Axis, ...]
    best: tuple[int, ...]


def parallel_info(trials: Sequence[Trial], parameters: Sequence[Parameter], direction: str) -> ParallelInfo | None:
    """Completed trials; None where there are fewer than two, or nothing varies."""
    chosen = {trial["number"] for trial in completed(trials)}
    rows = [place for place, trial in enumerate(trials) if trial["number"] in chosen]
    if len(rows) < 2 or not parameters:
        return None
    values = [float(value_of(trials[row]) or 0.0) for row in rows]
    scales = [
        _axis(name, [parameter.places()[row] for row in rows], Scale("log" if parameter.log else "linear"),
              parameter.categories)
        for name, parameter in zip(short_keys(parameters), parameters, strict=True)
    ]  # fmt: skip
    scales.append(_axis(objective_names(trials)[0], values, scale_of(values, direction == "maximize")))
    order = sorted(range(len(rows)), key=lambda i: values[i], reverse=direction == "maximize")
    best = tuple(order[: max(1, round(BEST_SHARE * len(rows)))])
    return ParallelInfo(tuple(trials[row]["number"] for row in rows), tuple(scales), best)


def _axis(name: str, places: Sequence[float | None], scale: Scale, categories: Sequence[str] = ()) -> Axis:
    there = [p for p in places if p is not None]
    low, high = (0.0, len(categories) - 1.0) if categories else (min(there, default=0.0), max(there, default=1.0))
    bottom, top = float(scale.forward(low)), float(scale.forward(high))

    def height(value: float) -> float:
        return 0.5 if top == bottom else (float(scale.forward(value)) - bottom) / (top - bottom)

    if categories:
        step = -(-len(categories) // MOST_TICKS)
        ticks = [(height(i), name) for i, name in list(enumerate(categories))[::step]]
    elif len(set(there)) <= FEW_VALUES:
        ticks = [(height(value), f"{value:.4g}") for value in sorted(set(there))]
    else:
        ticks = [(height(value), f"{value:.3g}") for value in (low, float(scale.inverse((bottom + top) / 2)), high)]
    return Axis(name, tuple(None if p is None else height(p) for p in places), tuple(ticks))


def draw_parallel(info: ParallelInfo) -> Figure:
    """Grey lines for all trials; the best tenth in colour, thicker and dashed, above them."""
    n_scales = len(info.axes)
    figure = new_figure(max(WIDTH * 1.6, 1.15 * n_scales + 1), 3.6)
    axes = figure.subplots()
    best = set(info.best)
    for place, number in enumerate(info.numbers):
        heights = [ABSENT if (h := scale.heights[place]) is None else h for scale in info.axes]
        if place in best:
            look = {"color": VERMILLION, "linewidth": 1.6, "linestyle": (0, (5, 1)), "zorder": 3}
        else:
            look = {"color": GREY, "linewidth": 0.8, "alpha": 0.7 if len(info.numbers) < 100 else 0.35}
        axes.plot(range(n_scales), heights, url=trial_url(number), **look)
    for x, scale in enumerate(info.axes):
        _draw_axis(axes, x, scale)
    names = [shorten(scale.name, 22) for scale in info.axes]
    axes.set_xticks(range(n_scales), names, parse_math=False, fontsize=TICK + 0.5)
    axes.tick_params(axis="x", length=0, pad=8)
    axes.set_xlim(-0.15, n_scales - 0.55)
    gaps = any(None in scale.heights for scale in info.axes)
    axes.set_ylim(ABSENT - 0.03 if gaps else -0.03, 1.05)
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    return figure


def _draw_axis(axes: Axes, x: int, scale: Axis) -> None:
    axes.plot([x, x], [0, 1], color="#000000", linewidth=1, zorder=4)
    for height, name in scale.ticks:
        axes.plot([x, x + 0.03], [height, height], color="#000000", linewidth=1, zorder=4)
        axes.text(x + 0.05, height, shorten(name, 14), fontsize=TICK - 0.5, va="center", parse_math=False, zorder=5)
    if None in scale.heights:
        axes.text(x + 0.05, ABSENT, "absent", fontsize=TICK - 1.5, va="center", style="italic")
