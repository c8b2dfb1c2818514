"""Parallel coordinates: a line for each trial through all its parameters to its value."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

from phalanx.report.style import BLACK, RAMP, TICK, shorten
from phalanx.report.svg import WIDTH, page_axes, trial_url
from phalanx.report.sweep_figures.scale import Scale
from phalanx.report.sweep_figures.trials import Parameter, completed_values, maximizes, objective_names, short_keys
from phalanx.runs.stored_run import StoredRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ABSENT = -0.14  # the height at which a trial without the parameter crosses its axis
APART = 0.07  # how far equal places are spread, at most
MAX_LINES = 500


@dataclass(frozen=True)
class Axis:
    """One vertical axis, for a parameter or the objective."""

    name: str
    heights: tuple[float | None, ...]  # of each trial, from 0 to 1; None without the parameter
    ticks: tuple[tuple[float, str], ...]  # heights and names


@dataclass(frozen=True)
class ParallelInfo:
    """The completed trials on the axes of all parameters and, last, of the objective. The worst trial comes first, the
    best one last, so that the lines of better ones lie above."""

    title: ClassVar = "Parallel coordinates"
    numbers: tuple[int, ...]
    axes: tuple[Axis, ...]
    maximize: bool
    n_left_out: int  # completed trials beyond `MAX_LINES`


def parallel_info(
    trials: Sequence[StoredRun], parameters: Sequence[Parameter], scale: Scale, best: int | None = None
) -> ParallelInfo | None:  # fmt: skip
    """Places the completed trials on all axes; None if there are fewer than two, or if nothing varies.

    Args:
        trials: All trials.
        parameters: Made of the same trials.
        scale: The scale of the page, for the axis of the objective.
        best: The number of the best trial, which a final may have chosen; None: the first of those with the best value.
    """
    values, maximize = completed_values(trials), maximizes(trials)
    if len(values) < 2 or not parameters:
        return None
    sign = 1 if maximize else -1
    ranked = sorted(values, key=lambda number: (number == best, sign * values[number], -number))
    step = max(1.0, (len(ranked) - 1) / (MAX_LINES - 1))
    kept = [ranked[round(i * step)] for i in range(min(len(ranked), MAX_LINES))]
    axes = []
    for name, parameter in zip(short_keys(parameters), parameters, strict=True):
        places = {trial.number: place for trial, place in zip(trials, parameter.places(), strict=True)}
        own = Scale("log" if parameter.log else "linear")
        axes.append(_axis(name, [places[number] for number in kept], own, parameter.categories))
    axes.append(_axis(objective_names(trials)[0], [scale.shown(values[number]) for number in kept], scale))
    return ParallelInfo(tuple(kept), tuple(axes), maximize, len(ranked) - len(kept))


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
        ticks = [(height(value), f"{scale.edge(value)}{value:.4g}") for value in sorted(set(there))]
    else:
        middle = float(scale.inverse((bottom + top) / 2))
        ticks = [(height(value), f"{scale.edge(value)}{value:.3g}") for value in (low, middle, high)]
    return Axis(name, tuple(None if p is None else height(p) for p in places), tuple(ticks))


def apart(axis: Axis) -> list[float]:
    """Where the lines cross an axis: its heights, with trials of equal height beside each other in their order."""
    heights = [ABSENT if height is None else height for height in axis.heights]
    places: dict[float, list[int]] = defaultdict(list)
    for i, height in enumerate(heights):
        places[height].append(i)
    ordered = sorted(places)
    gap = min((b - a for a, b in pairwise(ordered)), default=1.0)
    width = min(APART, 0.5 * gap)
    for height, equal in places.items():
        for rank, i in enumerate(equal):
            heights[i] = height + width * ((rank + 0.5) / len(equal) - 0.5)
    return heights


def draw_parallel(info: ParallelInfo) -> Figure:
    """A line for each trial in the colour of its value, which the axis of the objective shows."""
    n_axes = len(info.axes)
    figure, axes = page_axes(3.6, max(WIDTH * 1.6, 1.15 * n_axes + 1))
    crossed = [apart(axis) for axis in info.axes[:-1]]
    crossed.append([height or 0.0 for height in info.axes[-1].heights])
    width, alpha = (1.1, 0.9) if len(info.numbers) < 100 else (0.8, 0.7)
    for place, number in enumerate(info.numbers):
        best = place == len(info.numbers) - 1
        colour = _colour(crossed[-1][place], info.maximize)
        axes.plot(range(n_axes), [heights[place] for heights in crossed], color=colour, url=trial_url(number),
                  linewidth=2.4 if best else width, alpha=1 if best else alpha)  # fmt: skip
    for x, axis in enumerate(info.axes):
        _draw_axis(axes, x, axis)
    _draw_ramp(axes, n_axes - 1, info.maximize)
    names = [shorten(axis.name, 22) for axis in info.axes]
    axes.set_xticks(range(n_axes), names, parse_math=False, fontsize=TICK)
    axes.tick_params(axis="x", length=0, pad=8)
    axes.set_xlim(-0.15, n_axes - 0.55)
    axes.set_ylim((ABSENT if any(None in axis.heights for axis in info.axes) else 0.0) - 0.05, 1.05)
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    return figure


def _colour(height: float, maximize: bool) -> str:
    """The colour of a trial by its place on the axis of the objective."""
    good = height if maximize else 1 - height
    return RAMP[min(int(good * len(RAMP)), len(RAMP) - 1)]


def _draw_ramp(axes: Axes, x: int, maximize: bool) -> None:
    """Colours the axis of the objective as the lines that end there."""
    n = len(RAMP)
    for i in range(n):
        colour = _colour((i + 0.5) / n, maximize)
        axes.plot([x + 0.012] * 2, [i / n, (i + 1) / n], color=colour, linewidth=6, solid_capstyle="butt", zorder=3)


def _draw_axis(axes: Axes, x: int, axis: Axis) -> None:
    axes.plot([x, x], [0, 1], color=BLACK, linewidth=1, zorder=4)
    below = [(ABSENT, "absent")] if None in axis.heights else []
    for height, name in [*axis.ticks, *below]:
        axes.plot([x, x + 0.03], [height, height], color=BLACK, linewidth=1, zorder=4)
        box = {"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.85}  # lines do not strike it through
        axes.text(x + 0.05, height, shorten(name, 14), fontsize=TICK, va="center", parse_math=False, zorder=5, bbox=box,
                  style="italic" if height == ABSENT else "normal")  # fmt: skip
