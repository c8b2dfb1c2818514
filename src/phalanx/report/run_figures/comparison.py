"""The figure of `phalanx compare`: means with intervals, and every seed as a dot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from phalanx.report.style import BLACK, BLUE, LABEL, TICK, VERMILLION, label_axes, new_figure, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from phalanx.analysis.statistics import Summary

MOST = 40  # groups that are drawn
_NAME_LENGTH = 44


@dataclass(frozen=True)
class ComparisonInfo:
    """The groups of one data set, best first. `low` and `high` are None for a group with one seed."""

    title: str
    measure: str
    labels: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]  # of each seed
    means: tuple[float, ...]
    lows: tuple[float | None, ...]
    highs: tuple[float | None, ...]
    left_out: int  # groups without a value, or beyond `MOST`


def comparison_info(
    title: str, measure: str, labels: Sequence[str], values: Sequence[Sequence[float]],
    summaries: Sequence[Summary | None],
) -> ComparisonInfo:  # fmt: skip
    """What is drawn of groups with their values by seed."""
    rows = [row for row in zip(labels, values, summaries, strict=True) if row[2] is not None][:MOST]
    found = [row[2] for row in rows if row[2] is not None]
    return ComparisonInfo(
        title, measure, tuple(row[0] for row in rows), tuple(tuple(row[1]) for row in rows),
        tuple(s.mean for s in found), tuple(s.low for s in found), tuple(s.high for s in found),
        left_out=len(labels) - len(rows),
    )  # fmt: skip


def draw_comparison(infos: Sequence[ComparisonInfo]) -> Figure:
    """A panel for each data set: the best group on top; dots for seeds, a diamond and a line for mean and interval."""
    rows = [max(len(info.labels), 1) for info in infos]
    figure = new_figure(8.5, sum(0.42 * n + 1.25 for n in rows) + 0.4)
    panels = figure.subplots(len(infos), 1, squeeze=False, height_ratios=[n + 2 for n in rows]).ravel()
    for axes, info in zip(panels, infos, strict=True):
        _draw_groups(axes, info)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=TICK, frameon=False)
    return figure


def _draw_groups(axes: Axes, info: ComparisonInfo) -> None:
    places = range(len(info.labels), 0, -1)  # the first on top
    for place, values, mean, low, high in zip(places, info.values, info.means, info.lows, info.highs, strict=True):
        first = place == len(info.labels)
        spread = [place + 0.26 * ((i * 0.618) % 1 - 0.5) for i in range(len(values))]
        dots = {"markerfacecolor": "none", "markeredgecolor": BLUE, "markersize": 5.5, "alpha": 0.8}
        axes.plot(values, spread, "o", label="one seed" if first else None, **dots)
        if low is not None:
            interval = {"color": BLACK, "linewidth": 2.2, "solid_capstyle": "butt"}
            axes.plot([low, high], [place, place], label="95 % interval of the mean" if first else None, **interval)
        axes.plot(mean, place, "D", color=VERMILLION, markersize=7, markeredgecolor=BLACK, zorder=3,
                  label="mean" if first else None)  # fmt: skip
    names = [shorten(label, _NAME_LENGTH) for label in info.labels]
    axes.set_yticks(list(places), names, parse_math=False)
    axes.set_ylim(0.4, len(info.labels) + 0.6)
    more = f" ({info.left_out} more groups not shown)" if info.left_out else ""
    label_axes(axes, info.title + more, info.measure)
    axes.tick_params(axis="y", labelsize=LABEL, length=0)
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right", "left"]].set_visible(False)
