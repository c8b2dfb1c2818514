"""Several objectives against each other, and the Pareto front."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from phalanx.report.style import GREY, TICK, VERMILLION, label_axes
from phalanx.report.svg import page_figure
from phalanx.report.sweep_figures.history import dot_size, scatter
from phalanx.report.sweep_figures.scale import Scale, scale_of
from phalanx.report.sweep_figures.trials import Trial, log_suits, objective_names

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class FrontInfo:
    """The first objective against another one: points (number, other, first), those of the front apart and in order
    of the other one. With two objectives the front is `whole`; of more it is seen from one side."""

    first: str
    other: str
    front: tuple[tuple[int, float, float], ...]
    behind: tuple[tuple[int, float, float], ...]
    whole: bool
    log: bool  # the other one's axis
    scale: Scale  # the first one's


def front_infos(best: Sequence[Trial]) -> list[FrontInfo]:
    """A figure for each objective but the first, of completed trials marked with `front`."""
    names = objective_names(best)
    infos = []
    for place, other in enumerate(names[1:], start=1):
        points = [(bool(t.get("front")), (t["number"], t["objectives"][place]["value"], t["objectives"][0]["value"]))
                  for t in best]  # fmt: skip
        front = sorted((point for on, point in points if on), key=lambda point: point[1:])
        behind = tuple(point for on, point in points if not on)
        log = log_suits([point[1] for _, point in points])
        scale = scale_of([point[2] for _, point in points], best[0]["objective"]["direction"] == "maximize")
        infos.append(FrontInfo(names[0], other, tuple(front), behind, len(names) == 2, log, scale))
    return infos


def draw_front(info: FrontInfo) -> Figure:
    """Hollow marks for trials behind the front, filled ones for the front, joined by a line if it is whole."""
    figure = page_figure(3.2)
    axes = figure.subplots()
    size = dot_size(len(info.front) + len(info.behind))
    for points, marker, colour, label in (
        (info.behind, "v", GREY, "beaten by another trial"),
        (info.front, "o", VERMILLION, "Pareto front"),
    ):
        numbers, x, y = zip(*points, strict=True) if points else ((), (), ())
        scatter(axes, x, y, numbers, marker, colour, size + 8 * (marker == "o"), label)
        if marker == "o" and info.whole:
            axes.plot(x, y, "-", color=colour, linewidth=1.2)
    if info.log:
        axes.set_xscale("log")
    info.scale.apply(axes)
    label_axes(axes, x=info.other, y=info.first)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, fontsize=TICK, frameon=False, handletextpad=0.3)
    return figure
