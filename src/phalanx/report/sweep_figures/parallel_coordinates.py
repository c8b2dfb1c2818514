"""Parallel coordinates: a line for each trial through all its parameters to its value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from phalanx.report.style import BLACK, GREY, TICK, VERMILLION, shorten
from phalanx.report.svg import WIDTH, page_axes, trial_url
from phalanx.report.sweep_figures.scale import Scale, scale_of
from phalanx.report.sweep_figures.trials import Parameter, completed_values, maximizes, objective_names, short_keys
from phalanx.runs.stored_run import StoredRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ABSENT = -0.12  # the height at which a trial without the parameter crosses its axis


@dataclass(frozen=True)
class Axis:
    """One vertical axis, for a parameter or the objective."""

    name: str
    heights: tuple[float | None, ...]  # of each trial, from 0 to 1; None without the parameter
    ticks: tuple[tuple[float, str], ...]  # heights and names


@dataclass(frozen=True)
class ParallelInfo:
    """The completed trials on the axes of all parameters and, last, of the objective."""

    title: ClassVar = "Parallel coordinates"
    numbers: tuple[int, ...]
    axes: tuple[Axis, ...]
    best: frozenset[int]  # numbers of the best trials


def parallel_info(trials: Sequence[StoredRun], parameters: Sequence[Parameter]) -> ParallelInfo | None:
    """Places the completed trials on all axes; None if there are fewer than two, or if nothing varies."""
    values, maximize = completed_values(trials), maximizes(trials)
    if len(values) < 2 or not parameters:
        return None
    axes = []
    for name, parameter in zip(short_keys(parameters), parameters, strict=True):
        places = [place for trial, place in zip(trials, parameter.places(), strict=True) if trial.number in values]
        axes.append(_axis(name, places, Scale("log" if parameter.log else "linear"), parameter.categories))
    reached = list(values.values())
    axes.append(_axis(objective_names(trials)[0], reached, scale_of(reached, maximize)))
    ranked = sorted(values, key=lambda number: values[number], reverse=maximize)
    best = frozenset(ranked[: max(1, round(0.1 * len(values)))])
    return ParallelInfo(tuple(values), tuple(axes), best)


def _axis(name: str, places: Sequence[float | None], scale: Scale, categories: Sequence[str] = ()) -> Axis:
    there = [p for p in places if p is not None]
    low, high = (0.0, len(categories) - 1.0) if categories else (min(there, default=0.0), max(there, default=1.0))
    bottom, top = float(scale.forward(low)), float(scale.forward(high))

    def height(value: float) -> float:
        return 0.5 if top == bottom else (float(scale.forward(value)) - bottom) / (top - bottom)

    if categories:
        step = -(-len(categories) // 12)
        ticks = [(height(i), name) for i, name in list(enumerate(categories))[::step]]
    elif len(set(there)) <= 5:
        ticks = [(height(value), f"{value:.4g}") for value in sorted(set(there))]
    else:
        ticks = [(height(value), f"{value:.3g}") for value in (low, float(scale.inverse((bottom + top) / 2)), high)]
    return Axis(name, tuple(None if p is None else height(p) for p in places), tuple(ticks))


def draw_parallel(info: ParallelInfo) -> Figure:
    """Grey lines for all trials; the best tenth above them in colour, thicker and dashed."""
    n_axes = len(info.axes)
    figure, axes = page_axes(3.6, max(WIDTH * 1.6, 1.15 * n_axes + 1))
    alpha = 0.7 if len(info.numbers) < 100 else 0.35
    for place, number in enumerate(info.numbers):
        heights = [ABSENT if (height := axis.heights[place]) is None else height for axis in info.axes]
        (line,) = axes.plot(range(n_axes), heights, color=GREY, linewidth=0.8, alpha=alpha, url=trial_url(number))
        if number in info.best:
            line.set(color=VERMILLION, linewidth=1.6, linestyle=(0, (5, 1)), alpha=None, zorder=3)
    for x, axis in enumerate(info.axes):
        _draw_axis(axes, x, axis)
    names = [shorten(axis.name, 22) for axis in info.axes]
    axes.set_xticks(range(n_axes), names, parse_math=False, fontsize=TICK + 0.5)
    axes.tick_params(axis="x", length=0, pad=8)
    axes.set_xlim(-0.15, n_axes - 0.55)
    axes.set_ylim((ABSENT if any(None in axis.heights for axis in info.axes) else 0.0) - 0.03, 1.05)
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    return figure


def _draw_axis(axes: Axes, x: int, axis: Axis) -> None:
    axes.plot([x, x], [0, 1], color=BLACK, linewidth=1, zorder=4)
    for height, name in axis.ticks:
        axes.plot([x, x + 0.03], [height, height], color=BLACK, linewidth=1, zorder=4)
        axes.text(x + 0.05, height, shorten(name, 14), fontsize=TICK - 0.5, va="center", parse_math=False, zorder=5)
    if None in axis.heights:
        axes.text(x + 0.05, ABSENT, "absent", fontsize=TICK - 1.5, va="center", style="italic")
