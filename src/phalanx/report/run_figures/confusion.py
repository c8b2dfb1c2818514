"""`confusion.png`: which class is taken for which. Axes: N samples, C classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from phalanx.report.run_figures.predicted import Predicted
from phalanx.report.style import LABEL, TICK, label_axes, new_figure, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NUMBERED_CLASSES = 20  # with more classes a cell is too small for its count
_NAMED_CLASSES = 40  # with more, only some of the class names are shown
_NAME_LENGTH = 18


@dataclass(frozen=True)
class ConfusionInfo:
    """`counts_CC[true, predicted]`; `share_CC` is each row divided by its sum, NaN for a class without samples."""

    split: str
    classes: tuple[str, ...]
    counts_CC: np.ndarray
    share_CC: np.ndarray
    n_samples: int
    accuracy: float


def confusion_info(predicted: Predicted) -> ConfusionInfo:
    """The confusion matrix of one split."""
    n_classes = len(predicted.classes)
    counts_CC = np.zeros((n_classes, n_classes), dtype=np.int64)
    np.add.at(counts_CC, (predicted.y_N, predicted.predicted_N), 1)
    n_samples, rows_C1 = int(counts_CC.sum()), counts_CC.sum(1, keepdims=True)
    share_CC = np.divide(counts_CC, rows_C1, out=np.full(counts_CC.shape, np.nan), where=rows_C1 > 0)
    accuracy = float(np.trace(counts_CC) / n_samples) if n_samples else float("nan")
    return ConfusionInfo(predicted.split, predicted.classes, counts_CC, share_CC, n_samples, accuracy)


def draw_confusion(info: ConfusionInfo) -> Figure:
    """Rows are true classes; colour is the share of the row, numbers are counts (none is 0)."""
    from matplotlib import colormaps
    from matplotlib.colors import PowerNorm

    n_classes = len(info.classes)
    side = min(max(0.5 * n_classes, 3.0), 9.5)
    names = [shorten(name, _NAME_LENGTH) for name in info.classes]
    margin = 0.07 * max(map(len, names))
    figure = new_figure(side + 2.3 + margin, side + 1.2 + margin, layout="compressed")
    axes = figure.subplots()
    # The square root keeps a few per cent of mistakes visible beside a strong diagonal.
    norm, colours = PowerNorm(0.5, vmin=0, vmax=1), colormaps["Blues"].with_extremes(bad="#DDDDDD")
    image = axes.imshow(info.share_CC, cmap=colours, norm=norm)
    if n_classes <= _NUMBERED_CLASSES:
        _write_counts(axes, info)
    title = f"{info.split} split: {info.n_samples:,} samples, accuracy {info.accuracy:.4f}"
    label_axes(axes, title, "predicted class", "true class")
    _name_classes(axes, names, side / n_classes)
    bar = figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03, ticks=[0, 0.01, 0.05, 0.2, 0.5, 1])
    bar.ax.set_yticklabels(["0", "1 %", "5 %", "20 %", "50 %", "100 %"])
    bar.set_label("share of the true class", fontsize=LABEL)
    bar.ax.tick_params(labelsize=TICK)
    return figure


def _write_counts(axes: Axes, info: ConfusionInfo) -> None:
    digits = len(str(info.counts_CC.max()))
    size = min(10.5, 34 / digits)
    for (row, column), count in np.ndenumerate(info.counts_CC):
        if count:
            colour = "white" if info.share_CC[row, column] > 0.35 else "black"
            axes.text(column, row, str(count), ha="center", va="center", fontsize=size, color=colour)


def _name_classes(axes: Axes, names: list[str], cell: float) -> None:
    """Names on both axes, turned where they are wider than a cell of `cell` inches."""
    step = -(-len(names) // _NAMED_CLASSES)
    places, shown = range(0, len(names), step), names[::step]
    wide = 0.09 * max(map(len, shown)) > cell * step
    turned = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if wide else {}
    axes.set_xticks(places, shown, parse_math=False, fontsize=TICK, **turned)
    axes.set_yticks(places, shown, parse_math=False, fontsize=TICK)
