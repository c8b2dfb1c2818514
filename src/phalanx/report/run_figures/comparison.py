"""The figure of `phalanx compare`: means with intervals, and every seed as a dot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from phalanx.analysis.compare.found import Part
from phalanx.analysis.statistics import Summary
from phalanx.report.style import BLACK, BLUE, LABEL, VERMILLION, label_axes, legend_below, name_ticks, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_GROUPS = 40


@dataclass(frozen=True)
class ComparisonInfo:
    """The groups of one data set, best first."""

    title: str
    measure: str
    repeat: str  # what a dot is: a seed or a split
    labels: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]  # of each repeat
    summaries: tuple[Summary, ...]
    left_out: int  # groups without a value, or beyond `MAX_GROUPS`


def comparison_info(part: Part, measure: str, title: str) -> ComparisonInfo:
    """The groups of `part` that have values.

    Args:
        part: The comparison on one data set.
        measure: The label of the values' axis.
        title: What is compared, on which data.
    """
    shown = [
        (group, summary) for group, summary in zip(part.groups, part.summaries, strict=True) if summary is not None
    ]
    shown = shown[:MAX_GROUPS]
    return ComparisonInfo(
        title=title,
        measure=measure,
        repeat=part.repeats.removesuffix("s"),
        labels=tuple(f"{group.label} ({group.lost.counts})" if group.lost else group.label for group, _ in shown),
        values=tuple(tuple(group.seeds.values()) for group, _ in shown),
        summaries=tuple(summary for _, summary in shown),
        left_out=len(part.groups) - len(shown),
    )


def draw_comparison(infos: Sequence[ComparisonInfo]) -> Figure:
    """A panel for each data set, the best group on top: a dot for each seed or split, a diamond with a line for the
    mean with its interval."""
    rows = [max(len(info.labels), 1) for info in infos]
    figure = new_figure(8.5, sum(0.42 * n + 1.25 for n in rows) + 0.4)
    panels = figure.subplots(len(infos), 1, squeeze=False, height_ratios=[n + 2 for n in rows]).ravel()
    for axes, info in zip(panels, infos, strict=True):
        _draw_groups(axes, info)
    legend_below(figure, panels[0], n_columns=3)
    return figure


def _draw_groups(axes: Axes, info: ComparisonInfo) -> None:
    places = range(len(info.labels), 0, -1)
    for place, values, summary in zip(places, info.values, info.summaries, strict=True):
        names = (f"one {info.repeat}", "95 % interval of the mean", "mean")
        dot, interval, mean = names if place == places[0] else ("",) * 3
        spread = [place + 0.26 * ((i * 0.618) % 1 - 0.5) for i in range(len(values))]
        axes.plot(values, spread, "o", markerfacecolor="none", markeredgecolor=BLUE, markersize=5.5, alpha=0.8,
                  label=dot)  # fmt: skip
        if summary.low is not None and summary.high is not None:
            axes.plot([summary.low, summary.high], [place, place], color=BLACK, linewidth=2.2, solid_capstyle="butt",
                      label=interval)  # fmt: skip
        axes.plot(summary.mean, place, "D", color=VERMILLION, markersize=7, markeredgecolor=BLACK, zorder=3, label=mean)
    name_ticks(axes.yaxis, info.labels, places, limit=44)
    axes.set_ylim(0.4, len(info.labels) + 0.6)
    more = f" ({info.left_out} more groups not shown)" if info.left_out else ""
    label_axes(axes, info.title + more, info.measure, grid="x")
    axes.tick_params(axis="y", labelsize=LABEL, length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
