"""The figure of `phalanx inspect`: histograms of each layer's weights and biases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from phalanx.report.style import BLUE, LABEL, VERMILLION, label_axes, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BINS = 40


@dataclass(frozen=True)
class LayerHistogram:
    """The finite values of one tensor."""

    name: str
    values: np.ndarray
    dead: str = ""  # what is said of its units


def draw_layers(title: str, histograms: Sequence[LayerHistogram]) -> Figure:
    """A row a layer: weights on the left in one colour, biases on the right in another, zero as a line."""
    rows = -(-len(histograms) // 2)
    figure = new_figure(9, 1.9 * rows + 0.7, title)
    panels = figure.subplots(rows, 2, squeeze=False)
    for panel in panels.ravel()[len(histograms) :]:
        panel.set_axis_off()
    for place, (axes, shown) in enumerate(zip(panels.ravel(), histograms, strict=False)):
        axes.hist(shown.values, min(BINS, max(len(shown.values) // 2, 5)), color=VERMILLION if place % 2 else BLUE)
        axes.axvline(0, color="#000000", linewidth=0.9, linestyle=":")
        label_axes(axes, f"{shown.name}: {len(shown.values):,} values{shown.dead}", "", "count")
        axes.title.set_fontsize(LABEL)
        axes.grid(alpha=0.3)
    return figure
