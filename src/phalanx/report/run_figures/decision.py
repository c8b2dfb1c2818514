"""`decision.png`: predictions over the feature, for data with one feature. Axes: X values of the feature, C classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from phalanx.report.style import BLACK, BLUE, PALETTE, TICK, VERMILLION, label_axes, name_ticks, new_figure, shorten

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from phalanx.report.run_figures.predicted import Predicted


@dataclass(frozen=True)
class DecisionInfo:
    """Classes and probabilities of one split, sorted by the feature."""

    split: str
    classes: tuple[str, ...]
    x_X: np.ndarray  # the feature as the network gets it, encoded
    y_X: np.ndarray
    predicted_X: np.ndarray
    p_XC: np.ndarray


def decision_info(predicted: Predicted) -> DecisionInfo:
    """Sorts the predictions of a split with one feature."""
    order = np.argsort(predicted.x_ND[:, 0], kind="stable")
    x_X, y_X, taken_X = predicted.x_ND[order, 0], predicted.y_N[order], predicted.predicted_N[order]
    return DecisionInfo(predicted.split, predicted.classes, x_X, y_X, taken_X, predicted.p_NC[order])


def draw_decision(info: DecisionInfo) -> Figure:
    """The true and the predicted class over the feature, and below them the probability of each class."""
    wrong_X = info.y_X != info.predicted_X
    title = f"{info.split} split: {len(wrong_X):,} points, {int(wrong_X.sum()):,} of them misclassified"
    figure = new_figure(9, 5.6, title)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 4))
    names = [shorten(name, 20) for name in info.classes]
    upper.plot(info.x_X, info.y_X, "o", color=BLUE, markersize=8, fillstyle="none", label="true class")
    upper.plot(info.x_X, info.predicted_X, ".", color=BLACK, markersize=5, label="predicted class")
    if wrong_X.any():
        upper.plot(info.x_X[wrong_X], info.predicted_X[wrong_X], "x", color=VERMILLION, markersize=9, label="wrong")
    name_ticks(upper.yaxis, names)
    upper.set_ylim(-0.5, len(names) - 0.5)
    label_axes(upper, grid="both")
    for place, name in enumerate(names):
        colour = PALETTE[place % len(PALETTE)]
        lower.plot(info.x_X, info.p_XC[:, place], color=colour, linewidth=1.8, label=f"p({name})")
    lower.set_ylim(-0.03, 1.03)
    label_axes(lower, x="x", y="probability", grid="both")
    for axes in (upper, lower):
        axes.legend(fontsize=TICK, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return figure
