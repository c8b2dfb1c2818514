"""The final of a search: means and 95 % intervals on fresh seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from phalanx.analysis.final import Finalist
from phalanx.analysis.statistics import Summary
from phalanx.report.style import BLACK, VERMILLION, label_axes, name_ticks
from phalanx.report.svg import page_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class IntervalsInfo:
    """One measure of all finalists, in their order."""

    title: str  # the measure
    repeats: str  # what the intervals are over: seeds or splits
    names: tuple[str, ...]
    summaries: tuple[Summary, ...]


def intervals_infos(finalists: Sequence[Finalist]) -> list[IntervalsInfo]:
    """The judging metric and the objective of the finalists that have one; nothing if there are none."""
    there = [(f.name, f.test, f.value) for f in finalists if f.test is not None and f.value is not None]
    if not there:
        return []
    names, tests, values = zip(*there, strict=True)
    first = finalists[0]
    return [IntervalsInfo(f"{first.judge}, which judges", first.repeats, names, tests),
            IntervalsInfo(f"{first.objective}, which chose", first.repeats, names, values)]  # fmt: skip


def draw_intervals(info: IntervalsInfo) -> Figure:
    """A line for the interval and a diamond for the mean of each finalist, the first at the top."""
    figure, axes = page_axes(1.2 + 0.34 * len(info.names))
    places = range(len(info.names), 0, -1)
    for place, summary in zip(places, info.summaries, strict=True):
        if summary.low is not None and summary.high is not None:
            axes.plot([summary.low, summary.high], [place, place], "-", color=BLACK, linewidth=2)
        axes.plot(summary.mean, place, "D", color=VERMILLION, markersize=6)
    name_ticks(axes.yaxis, info.names, places)
    axes.set_ylim(0.4, len(info.names) + 0.6)
    axes.locator_params(axis="x", nbins=6)
    label_axes(axes, x=f"{info.title}, mean and 95 % interval over {info.repeats}", grid="x")
    return figure
