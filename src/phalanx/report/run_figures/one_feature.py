"""`decision.png` and `hidden.png`: a network of one input drawn over that input. Axes: X points, C classes, U units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from phalanx.data import Dataset
from phalanx.nn.models import ModelSpec
from phalanx.report.run_figures.predicted import Predicted
from phalanx.report.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    LABEL,
    ORANGE,
    PURPLE,
    SKY,
    TICK,
    VERMILLION,
    label_axes,
    new_figure,
    shorten,
)  # fmt: skip
from phalanx.runs.model_file import saved_hidden

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = (BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY, GREY, BLACK)
_POINTS = 501


@dataclass(frozen=True)
class DecisionInfo:
    """One split over its only feature, in the order of x; `x_X` are the features as the network sees them."""

    split: str
    classes: tuple[str, ...]
    x_X: np.ndarray
    y_X: np.ndarray
    predicted_X: np.ndarray
    p_XC: np.ndarray


def decision_info(predicted: Predicted) -> DecisionInfo:
    """True and predicted classes over x; `predicted` has one feature."""
    order = np.argsort(predicted.x_ND[:, 0], kind="stable")
    x_X, y_X, taken_X = predicted.x_ND[order, 0], predicted.y_N[order], predicted.predicted_N[order]
    return DecisionInfo(predicted.split, predicted.classes, x_X, y_X, taken_X, predicted.p_NC[order])


def draw_decision(info: DecisionInfo) -> Figure:
    """Above, the true and the predicted class over x; below, the probability of each class."""
    wrong_X = info.y_X != info.predicted_X
    title = f"{info.split} split: {len(wrong_X):,} points, {int(wrong_X.sum()):,} of them misclassified"
    figure = new_figure(9, 5.6, title)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 4))
    places, names = range(len(info.classes)), [shorten(name, 20) for name in info.classes]
    upper.plot(info.x_X, info.y_X, "o", color=BLUE, markersize=8, fillstyle="none", label="true class")
    upper.plot(info.x_X, info.predicted_X, ".", color=BLACK, markersize=5, label="predicted class")
    if wrong_X.any():
        upper.plot(info.x_X[wrong_X], info.predicted_X[wrong_X], "x", color=VERMILLION, markersize=9, label="wrong")
    upper.set_yticks(places, names, parse_math=False)
    upper.set_ylim(-0.5, len(names) - 0.5)
    label_axes(upper)
    for place, name in zip(places, names, strict=True):
        colour = COLOURS[place % len(COLOURS)]
        lower.plot(info.x_X, info.p_XC[:, place], color=colour, linewidth=1.8, label=f"p({name})")
    lower.set_ylim(-0.03, 1.03)
    label_axes(lower, x="x", y="probability")
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=TICK, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return figure


@dataclass(frozen=True)
class HiddenInfo:
    """The outputs of each hidden layer, after its activation, at evenly spaced x: arrays (X, U)."""

    x_X: np.ndarray
    layers: tuple[np.ndarray, ...]


def hidden_info(model: ModelSpec, dataset: Dataset, weights: Mapping[str, torch.Tensor]) -> HiddenInfo | None:
    """Over the range of the training features; None if the model shows no hidden layers. `dataset` has one feature."""
    x_N = dataset.train.x_ND.to("cpu")
    x_X1 = torch.linspace(float(x_N.min()), float(x_N.max()), _POINTS)[:, None]
    layers = saved_hidden(model, weights, x_X1, dataset.n_classes)
    return HiddenInfo(x_X1[:, 0].numpy(), tuple(layer.numpy() for layer in layers)) if layers else None


def draw_hidden(info: HiddenInfo) -> Figure:
    """A panel a layer, a line a unit."""
    figure = new_figure(4.2 * len(info.layers), 3.6, "outputs of the hidden layers' units over x")
    all_axes = figure.subplots(1, len(info.layers), squeeze=False)[0]
    for number, (axes, layer_XU) in enumerate(zip(all_axes, info.layers, strict=True), start=1):
        for unit, values_X in enumerate(layer_XU.T):
            axes.plot(info.x_X, values_X, color=COLOURS[unit % len(COLOURS)], linewidth=1.2)
        label_axes(axes, f"hidden layer {number}: {layer_XU.shape[1]} units", "x")
        axes.title.set_fontsize(LABEL)
        axes.grid(alpha=0.3)
    return figure
