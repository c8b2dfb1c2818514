"""The optimization history: the objective by trial number, and the best so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

from phalanx.core.result import Status
from phalanx.report.style import BLUE, GREY, ORANGE, VERMILLION, integer_ticks, label_axes, legend_below
from phalanx.report.svg import mark_size, page_axes, scatter_trials, trial_url
from phalanx.report.sweep_figures.scale import Scale
from phalanx.report.sweep_figures.trials import maximizes, objective_names
from phalanx.runs.stored_run import StoredRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Points = tuple[tuple[int, ...], tuple[float, ...]]  # trial numbers and their values


@dataclass(frozen=True)
class HistoryInfo:
    """Trials with a value, those without one, and the best completed trial so far."""

    title: ClassVar = "Optimisation history"
    objective: str
    completed: Points
    pruned: Points
    best: tuple[float, ...]  # at each completed trial
    failed: tuple[int, ...]
    scale: Scale
    baselines: tuple[tuple[str, float], ...] = ()  # what these reach in the objective


def history_info(
    trials: Sequence[StoredRun], scale: Scale, baselines: Mapping[str, float] = MappingProxyType({})
) -> HistoryInfo | None:
    """The values of trials in order of their numbers; None if no trial has one.

    Args:
        trials: The trials.
        scale: That of the page.
        baselines: What some baselines reach in the objective, by their names.
    """
    points: dict[bool, list[tuple[int, float]]] = {True: [], False: []}
    for trial in trials:
        if trial.value is not None:
            points[trial.status is Status.COMPLETED].append((trial.number, trial.value))
    if not points[True] and not points[False]:
        return None
    completed, pruned = (_columns(points[key]) for key in (True, False))
    maximize = maximizes(trials)
    best = tuple(accumulate(completed[1], max if maximize else min))
    failed = tuple(trial.number for trial in trials if trial.value is None)
    return HistoryInfo(objective_names(trials)[0], completed, pruned, best, failed, scale, tuple(baselines.items()))


def _columns(points: Sequence[tuple[int, float]]) -> Points:
    return tuple(number for number, _ in points), tuple(value for _, value in points)


def draw_history(info: HistoryInfo) -> Figure:
    """Dots for completed trials, hollow triangles for pruned ones, a line for the best so far, broken lines for
    baselines, and crosses at the bottom for trials without a value."""
    figure, axes = page_axes()
    size = mark_size(len(info.completed[0]) + len(info.pruned[0]))
    for (numbers, values), marker, colour, label in (
        (info.pruned, "v", ORANGE, "pruned"),
        (info.completed, "o", BLUE, "completed"),
    ):
        scatter_trials(axes, numbers, [info.scale.shown(v) for v in values], numbers, marker, colour, size, label)
    axes.step(
        info.completed[0],
        [info.scale.shown(v) for v in info.best],
        where="post",
        color=VERMILLION,
        linewidth=1.8,
        label="best so far",
    )
    if info.failed:
        bottom = axes.get_xaxis_transform()
        marks = axes.scatter(info.failed, [0.03] * len(info.failed), s=22, c=GREY, marker="x", transform=bottom,
                             label="failed")  # fmt: skip
        marks.set_urls([trial_url(number) for number in info.failed])
    _draw_baselines(axes, info)
    info.scale.apply(axes)
    label_axes(axes, x="trial", y=info.objective, grid="both")
    integer_ticks(axes.xaxis)
    legend_below(figure, axes, n_columns=2 if info.baselines else 4, handletextpad=0.3, columnspacing=1)
    return figure


def _draw_baselines(axes: Axes, info: HistoryInfo) -> None:
    """A line for each baseline. One that is far from all trials, and would press them together, is named alone."""
    bottom, top = axes.get_ylim()
    reach = top - bottom
    for (name, value), style in zip(info.baselines, ("--", ":", "-."), strict=False):
        is_near = bottom - reach <= value <= top + reach and info.scale.shown(value) == value
        place = "" if is_near else " (below)" if value < bottom else " (above)"
        label = f"{name.replace('_', ' ')}{place} {value:.3g}"
        axes.plot([], [], color=GREY, linestyle=style, linewidth=1.5, label=label)
        if is_near:
            axes.axhline(value, color=GREY, linestyle=style, linewidth=1.5)
