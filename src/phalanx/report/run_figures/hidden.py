"""`hidden.png`: hidden outputs over the feature, for data with one feature. Axes: X values of the feature, U units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from phalanx.report.style import LABEL, PALETTE, label_axes, new_figure

if TYPE_CHECKING:
    import torch
    from matplotlib.figure import Figure

    from phalanx.data import Dataset
    from phalanx.nn.models import ModelSpec


@dataclass(frozen=True)
class HiddenInfo:
    """The outputs of each hidden layer after its activation."""

    x_X: np.ndarray  # evenly spaced values of the feature
    layers: tuple[np.ndarray, ...]  # of shape (X, U)


def hidden_info(model: ModelSpec, dataset: Dataset, weights: Mapping[str, torch.Tensor]) -> HiddenInfo | None:
    """Computes the hidden outputs over the range of the training split.

    Args:
        model: The spec of the model.
        dataset: Data with one feature.
        weights: The trained parameters, in the layout of `torch.nn.Linear`.

    Returns:
        None if the model does not give its hidden outputs.
    """
    import torch

    from phalanx.nn.models.base import InputShape
    from phalanx.runs.model_file import saved_hidden

    x_N = dataset.train.x_ND.to("cpu")
    x_X1 = torch.linspace(float(x_N.min()), float(x_N.max()), 501)[:, None]
    bound = model.bound(InputShape(*dataset.sizes))
    layers = saved_hidden(bound, weights, x_X1, dataset.n_classes)
    return HiddenInfo(x_X1[:, 0].numpy(), tuple(layer.numpy() for layer in layers)) if layers else None


def draw_hidden(info: HiddenInfo) -> Figure:
    """A panel for each layer, a line for each unit."""
    figure = new_figure(4.2 * len(info.layers), 3.6, "outputs of the hidden layers' units over x")
    all_axes = figure.subplots(1, len(info.layers), squeeze=False)[0]
    for number, (axes, layer_XU) in enumerate(zip(all_axes, info.layers, strict=True), start=1):
        for unit, values_X in enumerate(layer_XU.T):
            axes.plot(info.x_X, values_X, color=PALETTE[unit % len(PALETTE)], linewidth=1.2)
        label_axes(axes, f"hidden layer {number}: {layer_XU.shape[1]} units", "x", grid="both")
        axes.title.set_fontsize(LABEL)
    return figure
