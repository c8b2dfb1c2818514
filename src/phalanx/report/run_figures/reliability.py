"""`reliability.png`: how often predictions are right, by their probability. Axis: M bins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from phalanx.analysis.reliability import Reliability
from phalanx.nn.metrics.from_probabilities import N_BINS
from phalanx.report.style import BLACK, BLUE, GREY, LABEL, label_axes, new_figure, set_margins

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_reliability(panels: Sequence[tuple[str, Reliability]]) -> Figure:
    """A reliability diagram for each title: accuracy by confidence, above the number of samples in each bin."""
    figure = new_figure(5.2 * len(panels), 5.8, "points: means of a bin; dashed: calibrated", layout="none")
    grid = figure.add_gridspec(2, len(panels), height_ratios=(4, 1))
    set_margins(figure, 0.75, 0.15, 0.6, 0.75, across=0.8, down=0.35, rows=2, columns=len(panels))
    for column, (title, found) in enumerate(panels):
        upper = figure.add_subplot(grid[0, column])
        _draw_accuracy(upper, found, title)
        _draw_counts(figure.add_subplot(grid[1, column], sharex=upper), found)
    return figure


def _draw_accuracy(axes: Axes, found: Reliability, title: str) -> None:
    there_M = found.counts_M > 0
    middle_M = (np.arange(N_BINS) + 0.5) / N_BINS
    axes.bar(middle_M[there_M], found.accuracy_M[there_M], 1 / N_BINS, color=BLUE, alpha=0.35, edgecolor=BLUE)
    axes.plot([0, 1], [0, 1], "--", color=GREY, linewidth=1.2)
    axes.plot(found.confidence_M[there_M], found.accuracy_M[there_M], "o", color=BLACK, markersize=5)
    text = f"{title}: ECE {found.ece:.4f} ({N_BINS} bins)"
    label_axes(axes, text, "", "share that is right", grid="both")
    axes.set(xlim=(0, 1), ylim=(0, 1.02))


def _draw_counts(axes: Axes, found: Reliability) -> None:
    axes.bar((np.arange(N_BINS) + 0.5) / N_BINS, found.counts_M, 1 / N_BINS, color=GREY)
    axes.set_ylabel("samples", fontsize=LABEL)
    label_axes(axes, "", "probability of the predicted class", "samples", grid="y")
