"""`curves.png`: loss, accuracy and likelihood by epoch. Axis: E epochs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from phalanx.core.result import EpochMetrics
from phalanx.report.style import BLACK, GREY, LABEL, TICK, TRAIN, VALIDATION, label_axes, legend_below, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TITLES = {"loss": "loss", "accuracy": "accuracy", "likelihood": "likelihood: geometric mean of p(true class)"}


@dataclass(frozen=True)
class Panel:
    """One measure by epoch; NaN where it was not finite."""

    measure: str
    train_E: np.ndarray
    val_E: np.ndarray
    log: bool  # whether the axis is logarithmic

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


def curves_info(history: Sequence[EpochMetrics], saved_epoch: int | None = None) -> CurvesInfo:
    """The curves of `history`, which must not be empty."""
    columns = {
        name: np.array([getattr(row, name) for row in history], dtype=np.float64)
        for name in (f"{split}_{measure}" for measure in _TITLES for split in ("train", "val"))
    }
    epochs_E = np.array([row.epoch for row in history])
    bad_E = ~(np.isfinite(columns["train_loss"]) & np.isfinite(columns["val_loss"]))
    finite = {name: np.where(np.isfinite(values), values, np.nan) for name, values in columns.items()}
    panels = tuple(
        Panel(measure, train_E := finite[f"train_{measure}"], val_E := finite[f"val_{measure}"],
              log=measure == "loss" and _spans_decades(np.concatenate([train_E, val_E])))
        for measure in _TITLES
    )  # fmt: skip
    return CurvesInfo(epochs_E, panels, saved_epoch, int(epochs_E[bad_E][0]) if bad_E.any() else None)


def _spans_decades(values: np.ndarray) -> bool:
    """Whether a linear axis would hide the smaller values."""
    positive = values[values > 0]
    return bool(len(positive) and (positive.max() > 100 * positive.min() or positive.max() > 1e5))


def draw_curves(info: CurvesInfo, title: str = "", saved_as: str = "best") -> Figure:
    """Three panels beside each other above one legend.

    Args:
        info: The curves.
        title: The title of the figure.
        saved_as: What the epoch with the saved weights is called: `best` gives `best epoch 7`.
    """
    figure = new_figure(13.5, 4.6, title)
    all_axes = figure.subplots(1, 3)
    for axes, panel in zip(all_axes, info.panels, strict=True):
        _draw_panel(axes, info, panel, saved_as)
    legend_below(figure, all_axes[0], n_columns=4, fontsize=LABEL)  # the labels are the same in each panel
    return figure


def _draw_panel(axes: Axes, info: CurvesInfo, panel: Panel, saved_as: str) -> None:
    epochs_E = info.epochs_E
    dot, square = ("o", "s") if len(epochs_E) <= 40 else (None, None)
    axes.plot(epochs_E, panel.train_E, color=TRAIN, linestyle="--", linewidth=1.4, marker=dot, markersize=4,
              label="training (running mean of the epoch)")  # fmt: skip
    axes.plot(epochs_E, panel.val_E, color=VALIDATION, linewidth=1.8, marker=square, markersize=4,
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
    label_axes(axes, _TITLES[panel.measure], "epoch", grid="both")
    _scale_epochs(axes, int(epochs_E[0]), int(epochs_E[-1]))
    _scale_values(axes, panel)


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
    elif panel.measure != "loss":
        # At least 5 percentage points: noise around the accuracy of chance must not fill the panel.
        low, high = values.min(), values.max()
        margin = max(0.05 * (high - low), (0.05 - (high - low)) / 2)
        axes.set_ylim(max(low - margin, -0.02), min(high + margin, 1.02))
