"""The figure of `phalanx inspect`: histograms of each layer's weights and biases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from phalanx.analysis.inspect import Inspection
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


@dataclass(frozen=True)
class LayersInfo:
    """Weights and biases by turns, in the order of the layers."""

    title: str
    histograms: tuple[LayerHistogram, ...]


def layers_info(found: Inspection) -> LayersInfo:
    """The values of all tensors of a network."""
    notes = (f", dead: {text}" if text else "" for text in dead_units(found))
    shown = (LayerHistogram(t.name, t.values, note) for t, note in zip(found.tensors, notes, strict=True))
    return LayersInfo(found.title, tuple(shown))


def dead_units(found: Inspection) -> list[str]:
    """The dead units of the layer of each tensor, such as `3 (5 %)`; empty for biases, and unless the activation is
    ReLU."""
    layers = iter(found.hidden if found.activation == "relu" else ())
    of_weights = [next(layers, None) if len(tensor.shape) == 2 else None for tensor in found.tensors]
    return ["" if layer is None else f"{layer.dead} ({100 * layer.dead / layer.units:.0f} %)" for layer in of_weights]


def draw_layers(info: LayersInfo) -> Figure:
    """A row for each layer: weights on the left in one colour, biases on the right in another, zero as a line."""
    n_rows = -(-len(info.histograms) // 2)
    figure = new_figure(9, 1.9 * n_rows + 0.7, info.title)
    panels = figure.subplots(n_rows, 2, squeeze=False).ravel()
    for panel in panels[len(info.histograms) :]:
        panel.set_axis_off()
    for place, (axes, shown) in enumerate(zip(panels, info.histograms, strict=False)):
        axes.hist(shown.values, min(BINS, max(len(shown.values) // 2, 5)), color=VERMILLION if place % 2 else BLUE)
        axes.axvline(0, color=BLACK, linewidth=0.9, linestyle=":")
        label_axes(axes, f"{shown.name}: {len(shown.values):,} values{shown.note}", y="count", grid="both")
        axes.title.set_fontsize(LABEL)
    return figure
