"""The final of a search: means and 95 % intervals on fresh seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from phalanx.analysis.statistics import Summary
from phalanx.report.style import BLACK, VERMILLION, label_axes, name_ticks
from phalanx.report.svg import page_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_intervals(rows: Mapping[str, Summary], measure: str) -> Figure:
    """A line for the interval and a diamond for the mean of each finalist, by its name, the best at the top."""
    figure, axes = page_axes(1.2 + 0.34 * len(rows))
    places = range(len(rows), 0, -1)
    for place, row in zip(places, rows.values(), strict=True):
        if row.low is not None and row.high is not None:
            axes.plot([row.low, row.high], [place, place], "-", color=BLACK, linewidth=2)
        axes.plot(row.mean, place, "D", color=VERMILLION, markersize=6)
    name_ticks(axes.yaxis, list(rows), places)
    axes.set_ylim(0.4, len(rows) + 0.6)
    label_axes(axes, x=f"{measure}, mean and 95 % interval", grid="x")
    return figure
