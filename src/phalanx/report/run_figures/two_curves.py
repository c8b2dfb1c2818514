"""The training curves of two runs in one figure. Axis: E epochs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from phalanx.core.result import EpochMetrics
from phalanx.report.run_figures.curves import CurvesInfo, curves_info, spans_decades
from phalanx.report.style import BLUE, LABEL, VERMILLION, integer_ticks, label_axes, legend_below, new_figure, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class TwoCurvesInfo:
    """The curves of A and of B; None for one without a finished epoch."""

    names: tuple[str, str]
    sides: tuple[CurvesInfo | None, CurvesInfo | None]

    @property
    def measures(self) -> list[str]:
        """What is drawn, one panel each."""
        return list(dict.fromkeys(panel.measure for side in self.sides if side for panel in side.panels))


def two_curves_info(
    curves: tuple[Sequence[EpochMetrics], Sequence[EpochMetrics]], names: tuple[str, str]
) -> TwoCurvesInfo:
    """The curves of A and B, of which one at least has an epoch."""
    a, b = (curves_info(rows) if rows else None for rows in curves)
    return TwoCurvesInfo(names, (a, b))


def draw_two_curves(info: TwoCurvesInfo) -> Figure:
    """A panel for each measure, one colour for each run: training dashed, validation solid."""
    names = [f"{side}: {shorten(name, 60)}" for side, name in zip("AB", info.names, strict=True)]
    figure = new_figure(4.5 * len(info.measures), 4.6, "   ".join(names))
    all_axes = figure.subplots(1, len(info.measures), squeeze=False)[0]
    for axes, measure in zip(all_axes, info.measures, strict=True):
        for side, curves, color in zip("AB", info.sides, (BLUE, VERMILLION), strict=True):
            if curves is not None:
                _draw_side(axes, curves, measure, side, color)
        label_axes(axes, measure, "epoch", grid="both")
        integer_ticks(axes.xaxis)
        if measure == "loss" and spans_decades(_values(info, measure)):
            axes.set_yscale("log", nonpositive="mask")
    legend_below(figure, all_axes[0], n_columns=4, fontsize=LABEL)
    return figure


def _values(info: TwoCurvesInfo, measure: str) -> np.ndarray:
    """All values of a measure, of both runs."""
    panels = [panel for side in info.sides if side for panel in side.panels if panel.measure == measure]
    return np.concatenate([values_E for panel in panels for values_E in (panel.train_E, panel.val_E)])


def _draw_side(axes: Axes, curves: CurvesInfo, measure: str, side: str, color: str) -> None:
    panel = next((panel for panel in curves.panels if panel.measure == measure), None)
    if panel is None:
        return  # a metric of the other run alone
    dot = "o" if len(curves.epochs_E) == 1 else None  # one point makes no line
    for values_E, line, what in ((panel.train_E, "--", "training"), (panel.val_E, "-", "validation")):
        if np.isfinite(values_E).any() or what == "validation":
            axes.plot(curves.epochs_E, values_E, line, color=color, marker=dot, label=f"{side}, {what}", linewidth=1.6)
