"""Several objectives against each other, and their Pareto front."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from phalanx.report.style import GREY, VERMILLION, label_axes, legend_below
from phalanx.report.svg import mark_size, page_axes, scatter_trials
from phalanx.report.sweep_figures.scale import Scale, scale_of
from phalanx.report.sweep_figures.trials import objective_names
from phalanx.runs.stored_run import StoredRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Point = tuple[int, float, float]  # trial number, value of the other objective, value of the first one


@dataclass(frozen=True)
class FrontInfo:
    """The first objective against another one."""

    first: str
    other: str
    front: tuple[Point, ...]  # in order of the other objective
    dominated: tuple[Point, ...]
    whole: bool  # whether there are two objectives only, so that the front is a line
    other_scale: Scale
    scale: Scale  # of the first objective

    @property
    def title(self) -> str:
        return f"{self.first} against {self.other}"


def front_infos(best: Sequence[StoredRun], scale: Scale) -> list[FrontInfo]:
    """A figure for each objective but the first, from completed trials that are marked with `front`.

    `scale` is that of the first objective on the page. Its axes are not cut: small networks of a front may be bad.
    """
    scale, names = scale.whole(), objective_names(best)
    infos = []
    for place, other in enumerate(names[1:], start=1):
        points: dict[bool, list[Point]] = {True: [], False: []}
        for trial in best:
            values = [objective.value or 0.0 for objective in trial.objectives]
            points[trial.front].append((trial.number, values[place], values[0]))
        front = sorted(points[True], key=lambda point: point[1:])
        both = [*front, *points[False]]
        upwards = best[0].objectives[place].direction == "maximize"
        others = scale_of([point[1] for point in both], other, upwards).whole()
        infos.append(FrontInfo(names[0], other, tuple(front), tuple(points[False]), len(names) == 2, others, scale))
    return infos


def draw_front(info: FrontInfo) -> Figure:
    """Filled marks for the front, joined by a line if it is whole, and hollow ones for dominated trials."""
    figure, axes = page_axes(3.2)
    size = mark_size(len(info.front) + len(info.dominated))
    for points, marker, colour, label in (
        (info.dominated, "v", GREY, "dominated by another trial"),
        (info.front, "o", VERMILLION, "Pareto front"),
    ):
        numbers = [number for number, _, _ in points]
        x = [info.other_scale.shown(value) for _, value, _ in points]
        y = [info.scale.shown(value) for _, _, value in points]
        scatter_trials(axes, x, y, numbers, marker, colour, size + 8 * (marker == "o"), label)
        if marker == "o" and info.whole:
            axes.plot(x, y, "-", color=colour, linewidth=1.2)
    if info.other_scale.log:
        axes.set_xscale("log")
    info.scale.apply(axes)
    label_axes(axes, x=info.other, y=info.first, grid="both")
    legend_below(figure, axes, n_columns=2, handletextpad=0.3)
    return figure
