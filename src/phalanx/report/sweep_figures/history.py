"""Objective by trial number, and the best so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from phalanx.report.style import BLUE, GREY, ORANGE, TICK, VERMILLION, label_axes
from phalanx.report.svg import page_figure, trial_url
from phalanx.report.sweep_figures.scale import Scale, scale_of
from phalanx.report.sweep_figures.trials import Trial, objective_names, value_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Points = tuple[tuple[int, ...], tuple[float, ...]]  # trial numbers and their values


@dataclass(frozen=True)
class HistoryInfo:
    """Completed and pruned trials with their values, the best completed so far, and the trials without a value."""

    objective: str
    done: Points
    pruned: Points
    best: tuple[float, ...]  # at each completed trial
    failed: tuple[int, ...]
    scale: Scale


def history_info(trials: Sequence[Trial], direction: str) -> HistoryInfo:
    """What the history shows, of trials in order of their numbers."""
    points: dict[bool, list[tuple[int, float]]] = {True: [], False: []}
    for trial in trials:
        value = value_of(trial)
        if value is not None:
            points[trial["status"] == "completed"].append((trial["number"], value))
    better, best = max if direction == "maximize" else min, []
    for _, value in points[True]:
        best.append(value if not best else better(best[-1], value))
    values = [value for found in points.values() for _, value in found]
    done, pruned = (_columns(points[key]) for key in (True, False))
    failed = tuple(trial["number"] for trial in trials if value_of(trial) is None)
    scale = scale_of(values, direction == "maximize")
    return HistoryInfo(objective_names(trials)[0], done, pruned, tuple(best), failed, scale)


def _columns(points: Sequence[tuple[int, float]]) -> Points:
    return tuple(number for number, _ in points), tuple(value for _, value in points)


def draw_history(info: HistoryInfo) -> Figure:
    """Dots for completed trials, hollow triangles for pruned ones, a step for the best, crosses on the ground for the
    trials without a value."""
    figure = page_figure()
    axes = figure.subplots()
    size = dot_size(len(info.done[0]) + len(info.pruned[0]))
    scatter(axes, *info.pruned, info.pruned[0], "v", ORANGE, size, "pruned")
    scatter(axes, *info.done, info.done[0], "o", BLUE, size, "completed")
    axes.step(info.done[0], info.best, where="post", color=VERMILLION, linewidth=1.8, label="best so far")
    if info.failed:
        heights = [0.03] * len(info.failed)
        dots = axes.scatter(
            info.failed, heights, 22, GREY, marker="x", transform=axes.get_xaxis_transform(), label="failed"
        )
        dots.set_urls([trial_url(number) for number in info.failed])
    info.scale.apply(axes)
    label_axes(axes, x="trial", y=info.objective)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=4, fontsize=TICK, frameon=False, handletextpad=0.3, columnspacing=1)
    return figure


def scatter(
    axes: Axes, x: Sequence[float], y: Sequence[float], numbers: Sequence[int], marker: str, colour: str, size: float,
    label: str = "",
) -> None:  # fmt: skip
    """Marks that link to their trials; hollow but for the dots of completed ones."""
    if not len(x):
        return
    filled = marker == "o"
    dots = axes.scatter(
        x, y, size, marker=marker, facecolors=colour if filled else "none", edgecolors=colour, linewidths=1,
        alpha=0.8 if filled else 0.9, label=label or None,
    )  # fmt: skip
    dots.set_urls([trial_url(number) for number in numbers])


def dot_size(count: int) -> float:
    """The area of a mark, smaller where there are many."""
    return 26.0 if count <= 100 else 14.0 if count <= 400 else 7.0
