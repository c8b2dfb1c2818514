"""Objective by the value of each parameter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from phalanx.report.style import BLUE, ORANGE, TICK, VERMILLION, label_axes, shorten
from phalanx.report.svg import page_figure
from phalanx.report.sweep_figures.history import dot_size, scatter
from phalanx.report.sweep_figures.scale import Scale, scale_of
from phalanx.report.sweep_figures.trials import LIKELY_NAMES, Parameter, Trial, objective_names, value_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class SliceInfo:
    """Trials with a value at their places on the parameter's axis; `best` is the number of the best one."""

    objective: str
    key: str
    numbers: tuple[int, ...]
    places: tuple[float, ...]
    values: tuple[float, ...]
    done: tuple[bool, ...]  # completed, or else pruned
    best: int | None
    categories: tuple[str, ...]
    log: bool
    scale: Scale  # of the values


def slice_info(trials: Sequence[Trial], parameter: Parameter, best: int | None, direction: str) -> SliceInfo:
    """The trials that have both a value and this parameter."""
    rows = [
        (trial["number"], place, value, trial["status"] == "completed")
        for trial, place in zip(trials, parameter.places(), strict=True)
        if place is not None and (value := value_of(trial)) is not None
    ]
    numbers, places, values, done = zip(*rows, strict=True) if rows else ((), (), (), ())
    name = objective_names(trials)[0]
    scale = scale_of(values, direction == "maximize")
    return SliceInfo(
        name, parameter.key, numbers, places, values, done, best, parameter.categories, parameter.log, scale
    )


def draw_slice(info: SliceInfo) -> Figure:
    """Dots for completed trials, hollow triangles for pruned ones, a star for the best."""
    figure = page_figure(2.7)
    axes = figure.subplots()
    size = dot_size(len(info.numbers))
    for done, marker, colour in ((False, "v", ORANGE), (True, "o", BLUE)):
        rows = [i for i, flag in enumerate(info.done) if flag is done]
        shift = [_jitter(i) if info.categories else 0.0 for i in rows]
        x = [info.places[i] + s for i, s in zip(rows, shift, strict=True)]
        scatter(axes, x, [info.values[i] for i in rows], [info.numbers[i] for i in rows], marker, colour, size)
        for i, place in zip(rows, x, strict=True):
            if info.numbers[i] == info.best:
                axes.plot(place, info.values[i], "*", color=VERMILLION, markersize=13, markeredgewidth=0)
    info.scale.apply(axes)
    label_axes(axes, x=info.key, y=info.objective)
    scale_axis(axes, info.categories, info.log)
    axes.grid(alpha=0.3)
    return figure


def _jitter(place: int) -> float:
    """A shift to the side, so that trials of one category do not cover each other."""
    return 0.36 * ((place * 0.618) % 1 - 0.5)


def scale_axis(axes: Axes, categories: Sequence[str], log: bool, vertical: bool = False) -> None:
    """Names or a scale for a parameter's axis."""
    if categories:
        names = [shorten(name, LIKELY_NAMES) for name in categories]
        step = -(-len(names) // 20)
        turned = not vertical and sum(map(len, names)) > 40
        set_ticks = axes.set_yticks if vertical else axes.set_xticks
        set_ticks(range(0, len(names), step), names[::step], parse_math=False, fontsize=TICK,
                  **({"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if turned else {}))  # fmt: skip
        (axes.set_ylim if vertical else axes.set_xlim)(-0.5, len(names) - 0.5)
    elif log:
        (axes.set_yscale if vertical else axes.set_xscale)("log")
        _tick_log(axes.yaxis if vertical else axes.xaxis, *(axes.get_ylim() if vertical else axes.get_xlim()))


def _tick_log(axis: Axis, low: float, high: float) -> None:
    """Names at powers of ten only, or where there are not two of them, at three places."""
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullFormatter

    axis.set_minor_formatter(NullFormatter())
    if math.floor(math.log10(high)) - math.ceil(math.log10(low)) < 1:
        places = [low * (high / low) ** share for share in (0.1, 0.5, 0.9)]
        axis.set_major_locator(FixedLocator(places))
        axis.set_major_formatter(FixedFormatter([f"{place:.2g}" for place in places]))
