"""The figure of `phalanx inspect`: histograms of each layer's weights and biases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from phalanx.report.style import BLACK, BLUE, LABEL, VERMILLION, label_axes, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BINS = 40


@dataclass(frozen=True)
class LayerHistogram:
    """The finite values of one tensor."""

    name: str
    values: np.ndarray
    note: str = ""  # follows the name in the title


def draw_layers(title: str, histograms: Sequence[LayerHistogram]) -> Figure:
    """A row for each layer: weights on the left in one colour, biases on the right in another, zero as a line."""
    n_rows = -(-len(histograms) // 2)
    figure = new_figure(9, 1.9 * n_rows + 0.7, title)
    panels = figure.subplots(n_rows, 2, squeeze=False).ravel()
    for panel in panels[len(histograms) :]:
        panel.set_axis_off()
    for place, (axes, shown) in enumerate(zip(panels, histograms, strict=False)):
        axes.hist(shown.values, min(BINS, max(len(shown.values) // 2, 5)), color=VERMILLION if place % 2 else BLUE)
        axes.axvline(0, color=BLACK, linewidth=0.9, linestyle=":")
        label_axes(axes, f"{shown.name}: {len(shown.values):,} values{shown.note}", y="count", grid="both")
        axes.title.set_fontsize(LABEL)
    return figure
