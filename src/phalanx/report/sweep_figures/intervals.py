"""The final of a search: means and 95 % intervals on fresh seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from phalanx.report.style import BLACK, VERMILLION, label_axes, name_ticks
from phalanx.report.svg import page_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_intervals(rows: Sequence[Mapping[str, Any]], measure: str, title: str) -> Figure:
    """A line for the interval and a diamond for the mean of each finalist, the best at the top.

    Args:
        rows: What `phalanx.analysis.final.rows` gives of the finalists.
        measure: `objective` or `test_accuracy`, the measure that is drawn.
        title: The name of the measure.
    """
    figure, axes = page_axes(1.2 + 0.34 * len(rows))
    places = range(len(rows), 0, -1)
    for place, row in zip(places, rows, strict=True):
        low, high = row[f"{measure}_low"], row[f"{measure}_high"]
        if low is not None:
            axes.plot([low, high], [place, place], "-", color=BLACK, linewidth=2)
        axes.plot(row[measure], place, "D", color=VERMILLION, markersize=6)
    name_ticks(axes.yaxis, [f"trial {row['number']}" for row in rows], places)
    axes.set_ylim(0.4, len(rows) + 0.6)
    label_axes(axes, x=f"{title}, mean and 95 % interval", grid="x")
    return figure
