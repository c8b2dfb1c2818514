"""`confusion.png`: how many samples of each class are predicted as which class. Axes: N samples, C classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from phalanx.report.style import LABEL, TICK, axes_at, label_axes, name_ticks, new_figure, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from phalanx.report.run_figures.predicted import Predicted

_NAMED_CLASSES = 40  # with more, only some of the class names are shown


@dataclass(frozen=True)
class ConfusionInfo:
    """The confusion matrix of one split."""

    split: str
    classes: tuple[str, ...]
    counts_CC: np.ndarray  # [true class, predicted class]
    share_CC: np.ndarray  # each row divided by its sum; NaN for a class without samples
    n_samples: int
    accuracy: float


def confusion_info(predicted: Predicted) -> ConfusionInfo:
    """Counts the predictions of one split."""
    n_classes = len(predicted.classes)
    counts_CC = np.zeros((n_classes, n_classes), dtype=np.int64)
    np.add.at(counts_CC, (predicted.y_N, predicted.predicted_N), 1)
    n_samples, rows_C1 = int(counts_CC.sum()), counts_CC.sum(1, keepdims=True)
    share_CC = np.divide(counts_CC, rows_C1, out=np.full(counts_CC.shape, np.nan), where=rows_C1 > 0)
    accuracy = float(np.trace(counts_CC) / n_samples) if n_samples else float("nan")
    return ConfusionInfo(predicted.split, predicted.classes, counts_CC, share_CC, n_samples, accuracy)


def draw_confusion(info: ConfusionInfo) -> Figure:
    """Rows are true classes; the colour is the share of the row, the number is the count, left out where it is 0."""
    from matplotlib import colormaps
    from matplotlib.colors import PowerNorm

    n_classes, names = len(info.classes), [shorten(name, 18) for name in info.classes]
    side, margin = min(max(0.56 * n_classes, 3.6), 10.0), 0.07 * max(map(len, names))
    left, bottom = 0.6 + margin, 0.6 + margin
    figure = new_figure(left + side + 1.5, bottom + side + 0.5, layout="none")
    axes = axes_at(figure, left, bottom, side, side)
    # The square root keeps a few per cent of mistakes visible beside a strong diagonal.
    norm, colours = PowerNorm(0.5, vmin=0, vmax=1), colormaps["Blues"].with_extremes(bad="#DDDDDD")
    image = axes.imshow(info.share_CC, cmap=colours, norm=norm)
    if n_classes <= 20:  # of more, a cell is too small for its count
        _write_counts(axes, info)
    title = f"{info.split} split: {info.n_samples:,} samples, accuracy {info.accuracy:.4f}"
    label_axes(axes, title, "predicted class", "true class")
    shown = names[:: -(-n_classes // _NAMED_CLASSES)]
    too_wide = 0.09 * max(map(len, shown)) > side / len(shown)  # than the space from one name to the next
    name_ticks(axes.xaxis, names, most=_NAMED_CLASSES, angle=45 if too_wide else 0)
    name_ticks(axes.yaxis, names, most=_NAMED_CLASSES)
    beside = axes_at(figure, left + side + 0.2, bottom, 0.046 * side, side)
    bar = figure.colorbar(image, cax=beside, ticks=[0, 0.01, 0.05, 0.2, 0.5, 1])
    bar.ax.set_yticklabels(["0", "1 %", "5 %", "20 %", "50 %", "100 %"])
    bar.set_label("share of the true class", fontsize=LABEL)
    bar.ax.tick_params(labelsize=TICK)
    return figure


def _write_counts(axes: Axes, info: ConfusionInfo) -> None:
    size = min(10.5, 34 / len(str(info.counts_CC.max())))
    for (row, column), count in np.ndenumerate(info.counts_CC):
        if count:
            colour = "white" if info.share_CC[row, column] > 0.35 else "black"
            axes.text(column, row, str(count), ha="center", va="center", fontsize=size, color=colour)
