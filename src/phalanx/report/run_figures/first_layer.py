"""`first_layer.png`: the weights of the first layer. Axes: U units shown, D features, H units of the layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from phalanx.report.style import LABEL, TICK, axes_at, label_axes, name_ticks, new_figure

if TYPE_CHECKING:
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage
    from torch import Tensor

    from phalanx.data import Dataset

MAX_UNITS = 64


@dataclass(frozen=True)
class FirstLayerInfo:
    """Weights of the units with the largest norms, in the order of the units."""

    weights_UD: np.ndarray
    units_U: np.ndarray  # indices of the units shown
    n_units: int  # in the layer
    limit: float  # colours run from -limit to limit
    feature_names: tuple[str, ...] | None
    image_shape: tuple[int, int] | None


def first_layer_info(weights: Mapping[str, Tensor], dataset: Dataset) -> FirstLayerInfo | None:
    """The weights of the first layer; None if no weight matrix has a column for each feature."""
    matrices = (w for w in weights.values() if w.dim() == 2 and w.shape[1] == dataset.n_features)
    weight = next(matrices, None)
    if weight is None:
        return None
    weight_HD = weight.detach().cpu().double().numpy()
    norms_H = np.linalg.norm(np.nan_to_num(weight_HD), axis=1)
    units_U = np.sort(np.argsort(-norms_H, kind="stable")[:MAX_UNITS])
    names = dataset.feature_names
    shown_UD = weight_HD[units_U]
    sizes = np.abs(shown_UD[np.isfinite(shown_UD)])
    return FirstLayerInfo(
        weights_UD=shown_UD,
        units_U=units_U,
        n_units=len(weight_HD),
        # The maximum would let one extreme weight make all others pale.
        limit=float(np.quantile(sizes, 0.995)) or 1.0 if len(sizes) else 1.0,
        feature_names=names if len(names) == dataset.n_features else None,
        image_shape=dataset.image_shape,
    )


def draw_first_layer(info: FirstLayerInfo) -> Figure:
    """An image for each unit for image data, else a heat map of units and features."""
    return _draw_images(info) if info.image_shape else _draw_map(info)


def _title(info: FirstLayerInfo) -> str:
    shown = len(info.units_U)
    if shown == info.n_units:
        return "first layer: weights of " + (f"all {shown} units" if shown > 1 else "its only unit")
    return f"first layer: weights of the {shown} largest of {info.n_units:,} units (by norm)"


def _draw_images(info: FirstLayerInfo) -> Figure:
    """All units in one mosaic: axes for each unit take ten times as long to lay out."""
    n_columns = min(8, len(info.units_U))
    mosaic, places = _mosaic(info, n_columns)
    height, width = mosaic.shape
    figure_width = 1.15 * n_columns
    figure_height = min(max(figure_width * height / width, 1.5), 16.0)
    scale = min(figure_width / width, figure_height / height)  # inches of a pixel, which is square
    whole, high = max(scale * width, 4.5) + 1.6, scale * height
    figure = new_figure(whole, high + 0.6, layout="none")
    left = (whole - 1.6 - scale * width) / 2
    axes = axes_at(figure, left + 0.1, 0.1, scale * width, high)
    image = axes.imshow(mosaic, cmap=_colours(), vmin=-info.limit, vmax=info.limit)
    axes.set_axis_off()
    label_axes(axes, _title(info))
    for unit, (x, y) in zip(info.units_U, places, strict=True):
        axes.text(x, y, str(unit), ha="center", va="bottom", fontsize=7.5)
    _colour_bar(figure, image, cax=axes_at(figure, left + 0.25 + scale * width, 0.1, high / 30, high))
    return figure


def _mosaic(info: FirstLayerInfo, n_columns: int) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """An array with all units, NaN between them, and the place (x, y) of each unit's number."""
    height, width = info.image_shape or (1, 1)
    n_rows = -(-len(info.units_U) // n_columns)
    gap_x, gap_y = max(1, round(0.08 * width)), max(1, round(0.22 * width))
    mosaic = np.full((n_rows * (height + gap_y), n_columns * (width + gap_x) - gap_x), np.nan)
    places = []
    for i, weight_D in enumerate(info.weights_UD):
        row, column = divmod(i, n_columns)
        y, x = row * (height + gap_y) + gap_y, column * (width + gap_x)
        mosaic[y : y + height, x : x + width] = weight_D.reshape(height, width)
        places.append((x + (width - 1) / 2, y - 0.5))
    return mosaic, places


def _colours() -> Colormap:
    """Red to blue, which colour-blind people can tell apart too; white is zero."""
    from matplotlib import colormaps

    return colormaps["RdBu_r"].with_extremes(bad="white")


def _colour_bar(figure: Figure, image: AxesImage, **place: Any) -> None:
    bar = figure.colorbar(image, extend="both", **place)
    bar.set_label("weight", fontsize=LABEL)
    bar.ax.tick_params(labelsize=TICK)


def _draw_map(info: FirstLayerInfo) -> Figure:
    n_units, n_features = info.weights_UD.shape
    figure = new_figure(min(max(0.32 * n_features, 4.0), 14) + 2.2, min(max(0.22 * n_units, 2.5), 8) + 1.4)
    axes = figure.subplots()
    image = axes.imshow(info.weights_UD, cmap=_colours(), vmin=-info.limit, vmax=info.limit, aspect="auto")
    label_axes(axes, _title(info), "feature", "unit")
    name_ticks(axes.yaxis, [str(unit) for unit in info.units_U], most=32)
    if info.feature_names is None:
        name_ticks(axes.xaxis, [str(feature) for feature in range(n_features)], most=30)
    else:
        name_ticks(axes.xaxis, info.feature_names, angle=45, most=60)
    _colour_bar(figure, image, ax=axes, fraction=0.04, pad=0.02, aspect=30)
    return figure
