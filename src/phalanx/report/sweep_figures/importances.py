"""How much each parameter matters for being among the best."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from phalanx.report.style import BLUE, TICK, label_axes, shorten
from phalanx.report.svg import page_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FEWEST = 20  # completed trials below which importances are noise
MOST = 12


@dataclass(frozen=True)
class ImportanceInfo:
    """Shares that sum to 1, the largest first."""

    objective: str
    names: tuple[str, ...]
    shares: tuple[float, ...]


def importance_info(objective: str, importances: Mapping[str, float]) -> ImportanceInfo:
    """The largest importances by parameter."""
    rows = sorted(importances.items(), key=lambda row: -row[1])[:MOST]
    return ImportanceInfo(objective, tuple(name for name, _ in rows), tuple(share for _, share in rows))


def draw_importances(info: ImportanceInfo) -> Figure:
    """A bar a parameter with its share in numbers."""
    figure = page_figure(max(1.5, 0.32 * len(info.names) + 0.8))
    axes = figure.subplots()
    rows = range(len(info.names), 0, -1)
    axes.barh(list(rows), info.shares, color=BLUE, height=0.6)
    for row, share in zip(rows, info.shares, strict=True):
        axes.text(share + 0.01, row, f"{share:.2f}", va="center", fontsize=TICK)
    axes.set_yticks(list(rows), [shorten(name, 26) for name in info.names], parse_math=False)
    axes.set_xlim(0, 1.12 * max(info.shares))
    label_axes(axes, x=f"importance for {info.objective}")
    axes.spines[["top", "right"]].set_visible(False)
    return figure
