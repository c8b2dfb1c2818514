"""`curves.png`: loss, accuracy, likelihood and the further metrics of each epoch. Axis: E epochs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from phalanx.core.metrics import METRICS, limits_of
from phalanx.core.result import EpochMetrics
from phalanx.report.style import (
    BLACK,
    GREY,
    LABEL,
    TICK,
    TRAIN,
    VALIDATION,
    label_axes,
    legend_below,
    new_figure,
    set_margins,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_POINTS = 300  # epochs that are drawn each by itself; of more, running means with a band
COLUMNS = 3  # of panels


@dataclass(frozen=True)
class Panel:
    """One measure by epoch; NaN where it was not finite."""

    measure: str
    train_E: np.ndarray
    val_E: np.ndarray
    log: bool  # whether the axis is logarithmic
    label: str  # what the axis is called
    limits: tuple[float, float]  # of the measure

    @property
    def training_unknown(self) -> bool:
        """Whether training alone lacks this measure: a sampled softmax computes only some of the logits."""
        return self.measure != "loss" and not np.isfinite(self.train_E).any() and np.isfinite(self.val_E).any()


@dataclass(frozen=True)
class CurvesInfo:
    """A panel for each measure, over the same epochs."""

    epochs_E: np.ndarray
    panels: tuple[Panel, ...]
    saved_epoch: int | None  # whose weights were saved
    diverged_epoch: int | None  # the first epoch with a loss that is not finite
    validated: bool = True  # whether there were validation samples

    @property
    def window(self) -> int:
        """Over how many epochs the running mean goes; 1 where every epoch is drawn."""
        return 1 if len(self.epochs_E) <= MAX_POINTS else -(-len(self.epochs_E) // 100)


def curves_info(history: Sequence[EpochMetrics], saved_epoch: int | None = None) -> CurvesInfo:
    """The curves of `history`, which must not be empty."""
    measures = [name.removeprefix("val_") for name in history[0].flat() if name.startswith("val_")]
    columns = {
        name: np.array([row[name] for row in history], dtype=np.float64)
        for name in (f"{split}_{measure}" for measure in measures for split in ("train", "val"))
    }
    epochs_E = np.array([row.epoch for row in history])
    validated = bool(np.isfinite(columns["val_accuracy"]).any())  # which a network that diverged has too
    bad_E = ~(np.isfinite(columns["train_loss"]) & (np.isfinite(columns["val_loss"]) | (not validated)))
    finite = {name: np.where(np.isfinite(values), values, np.nan) for name, values in columns.items()}
    panels = tuple(
        Panel(measure, train_E := finite[f"train_{measure}"], val_E := finite[f"val_{measure}"],
              log=measure == "loss" and spans_decades(np.concatenate([train_E, val_E])),
              label=METRICS[measure].label if measure in METRICS else measure, limits=limits_of(f"val_{measure}"))
        for measure in measures
    )  # fmt: skip
    return CurvesInfo(epochs_E, panels, saved_epoch, int(epochs_E[bad_E][0]) if bad_E.any() else None, validated)


def spans_decades(values: np.ndarray) -> bool:
    """Whether a linear axis would hide the smaller values."""
    positive = values[values > 0]
    return bool(len(positive) and (positive.max() > 100 * positive.min() or positive.max() > 1e5))


def draw_curves(info: CurvesInfo, title: str = "", saved_as: str = "best") -> Figure:
    """Three panels beside each other, more of them in further rows, above one legend.

    Args:
        info: The curves.
        title: The title of the figure.
        saved_as: What the epoch with the saved weights is called: `best` gives `best epoch 7`.
    """
    n_rows = -(-len(info.panels) // COLUMNS)
    figure = new_figure(13.5, 0.6 + 4.0 * n_rows, title, layout="none")
    all_axes = figure.subplots(n_rows, COLUMNS, squeeze=False).ravel()
    set_margins(figure, 0.7, 0.15, 0.95, 0.9, across=0.7, down=0.85, rows=n_rows, columns=COLUMNS)
    for axes, panel in zip(all_axes, info.panels, strict=False):
        _draw_panel(axes, info, panel, saved_as)
    for axes in all_axes[len(info.panels) :]:
        axes.set_axis_off()
    legend_below(figure, all_axes[0], n_columns=4, fontsize=LABEL)  # the labels are the same in each panel
    return figure


def _draw_panel(axes: Axes, info: CurvesInfo, panel: Panel, saved_as: str) -> None:
    epochs_E = info.epochs_E
    dot, square = ("o", "s") if len(epochs_E) <= 40 else (None, None)
    _draw_curve(axes, info, panel.train_E, color=TRAIN, linestyle="--", linewidth=1.4, marker=dot, markersize=4,
                label="training (running mean of the epoch)")  # fmt: skip
    if info.validated:
        _draw_curve(axes, info, panel.val_E, color=VALIDATION, linewidth=1.8, marker=square, markersize=4,
                    label="validation (after the epoch)")  # fmt: skip
    if info.saved_epoch is not None:
        label = f"{saved_as} epoch {info.saved_epoch:,}"
        axes.axvline(info.saved_epoch, color=BLACK, linestyle=":", linewidth=1.4, label=label)
    if info.diverged_epoch is not None:
        label = f"diverged in epoch {info.diverged_epoch:,}"
        axes.axvline(info.diverged_epoch, color=GREY, linestyle="-.", linewidth=1.6, label=label)
    if panel.training_unknown:
        text = "training: not known, its steps\nuse only some of the classes"
        _write(axes, 0.02, text, va="bottom", color=TRAIN, fontsize=TICK)
    over = f"epoch; lines: mean over {info.window} epochs, bands: their range" if info.window > 1 else "epoch"
    label_axes(axes, panel.label, over, grid="both")
    _scale_epochs(axes, int(epochs_E[0]), int(epochs_E[-1]))
    _scale_values(axes, panel)


def _draw_curve(axes: Axes, info: CurvesInfo, values_E: np.ndarray, **look: Any) -> None:
    """A line through all epochs, or through running means with a band from the lowest to the highest value."""
    if info.window == 1:
        axes.plot(info.epochs_E, values_E, **look)
        return
    mean_E, low_E, high_E = running(values_E, info.window)
    if info.saved_epoch is not None:  # the value itself, which the mean does not show
        saved_E = info.epochs_E == info.saved_epoch
        axes.plot(info.epochs_E[saved_E], values_E[saved_E], "o", color=look["color"], markersize=5)
    axes.fill_between(info.epochs_E, low_E, high_E, color=look["color"], alpha=0.2, linewidth=0)
    axes.plot(info.epochs_E, mean_E, **look)


def running(values_E: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, minimum and maximum over the `window` epochs around each epoch, fewer at the ends; NaN where none of them
    is finite."""
    from scipy.ndimage import maximum_filter1d, minimum_filter1d

    def summed(numbers_E: np.ndarray) -> np.ndarray:
        around = np.pad(numbers_E, (window // 2, (window - 1) // 2))
        return np.convolve(around, np.ones(window), "valid")

    is_there_E = np.isfinite(values_E)
    n_E = summed(is_there_E.astype(float))
    mean_E = summed(np.where(is_there_E, values_E, 0.0)) / np.maximum(n_E, 1)
    low_E = minimum_filter1d(np.where(is_there_E, values_E, np.inf), window, mode="constant", cval=np.inf)
    high_E = maximum_filter1d(np.where(is_there_E, values_E, -np.inf), window, mode="constant", cval=-np.inf)
    mean_E, low_E, high_E = (np.where(n_E > 0, found_E, np.nan) for found_E in (mean_E, low_E, high_E))
    return mean_E, low_E, high_E


def _write(axes: Axes, height: float, text: str, **look: Any) -> None:
    """Writes a text in the middle, at a height from 0 to 1."""
    axes.text(0.5, height, text, transform=axes.transAxes, ha="center", **look)


def _scale_epochs(axes: Axes, first: int, last: int) -> None:
    from matplotlib.ticker import FixedLocator, MaxNLocator

    margin = max(0.03 * (last - first), 0.5 if first == last else 0.0)
    axes.set_xlim(first - margin, last + margin)
    axes.xaxis.set_major_locator(FixedLocator([first]) if first == last else MaxNLocator(integer=True, nbins=6))


def _scale_values(axes: Axes, panel: Panel) -> None:
    values = np.concatenate([panel.train_E, panel.val_E])
    values = values[np.isfinite(values)]
    if not len(values):
        axes.set_yticks([])
        _write(axes, 0.5, "no finite value", fontsize=LABEL, backgroundcolor="white")
    elif panel.log:
        axes.set_yscale("log", nonpositive="mask")
    elif math.isfinite(sum(limits := panel.limits)):
        # At least 5 percentage points: noise around the accuracy of chance must not fill the panel.
        low, high = values.min(), values.max()
        margin = max(0.05 * (high - low), (0.05 - (high - low)) / 2)
        axes.set_ylim(max(low - margin, limits[0] - 0.02), min(high + margin, limits[1] + 0.02))
