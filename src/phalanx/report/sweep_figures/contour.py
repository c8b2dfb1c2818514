"""The objective over two parameters."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from phalanx.report.style import BLACK, LABEL, TICK, label_axes
from phalanx.report.svg import page_axes, trial_url
from phalanx.report.sweep_figures.scale import Scale, scale_parameter
from phalanx.report.sweep_figures.trials import Parameter, completed_values, maximizes, objective_names
from phalanx.runs.stored_run import StoredRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MIN_TRIALS = 8
MAX_VALUES = 6  # of each parameter in a table of means


@dataclass(frozen=True)
class ContourInfo:
    """Completed trials that have both parameters: a surface, or a table of means if the parameters have few values."""

    objective: str
    x: Parameter
    y: Parameter
    numbers: tuple[int, ...]
    points: np.ndarray  # (N, 2), places on the axes of both parameters
    values: np.ndarray  # (N,)
    cells: Mapping[tuple[float, float], tuple[float, int]] | None  # (x, y) to mean and number of trials, for a table
    maximize: bool
    scale: Scale  # of the colours

    @property
    def title(self) -> str:
        return f"{self.x.key} and {self.y.key}"


def contour_info(trials: Sequence[StoredRun], x: Parameter, y: Parameter, scale: Scale) -> ContourInfo | None:
    """The objective over two parameters.

    Args:
        trials: All trials.
        x: Made of the same trials.
        y: Made of the same trials.
        scale: The scale of the page, here of the colours.

    Returns:
        None if too few trials have both parameters, or if their values make neither a surface nor a table.
    """
    chosen, both = completed_values(trials), zip(trials, x.places(), y.places(), strict=True)
    rows = [(trial.number, a, b, chosen[trial.number])
            for trial, a, b in both if trial.number in chosen and a is not None and b is not None]  # fmt: skip
    n_values = len({row[1] for row in rows}), len({row[2] for row in rows})
    if len(rows) < MIN_TRIALS or min(n_values) < 2:
        return None
    cells = None
    if max(n_values) <= MAX_VALUES:
        found: dict[tuple[float, float], list[float]] = defaultdict(list)
        for _, a, b, value in rows:
            found[a, b].append(value)
        cells = {key: (statistics.fmean(values), len(values)) for key, values in found.items()}
    elif x.categories or y.categories or min(n_values) <= MAX_VALUES:
        return None
    numbers, points, values = (tuple(row[0] for row in rows), np.array([row[1:3] for row in rows]),
                               np.array([row[3] for row in rows]))  # fmt: skip
    return ContourInfo(objective_names(trials)[0], x, y, numbers, points, values, cells, maximizes(trials), scale)


def draw_contour(info: ContourInfo) -> Figure:
    """A surface with a dot for each trial, or a table of means; light is good."""
    figure, axes = page_axes(3.4)
    colours = "cividis" if info.maximize else "cividis_r"
    if info.cells is None:
        _draw_surface(axes, info, colours)
    else:
        _draw_cells(axes, info, info.cells, colours)
    label_axes(axes, x=info.x.key, y=info.y.key)
    return figure


def _draw_surface(axes: Axes, info: ContourInfo, colours: str) -> None:
    from matplotlib.tri import Triangulation

    x, y = (np.log10(info.points[:, i]) if p.log else info.points[:, i] for i, p in enumerate((info.x, info.y)))
    heights = info.scale.forward(info.values)
    low, high = float(heights.min()), float(heights.max())
    triangles = _triangles(x, y)
    if high > low and triangles is not None:
        surface = Triangulation(info.points[:, 0], info.points[:, 1], triangles)
        filled = axes.tricontourf(surface, heights, levels=np.linspace(low, high, 9), cmap=colours)
        bar, ticks = axes.figure.colorbar(filled, ax=axes, pad=0.02, aspect=25), np.linspace(low, high, 5)
        bar.set_ticks(ticks.tolist(), labels=[f"{value:.3g}" for value in info.scale.inverse(ticks)])
        bar.set_label(info.objective, fontsize=LABEL, parse_math=False)
        bar.ax.tick_params(labelsize=TICK - 1)
    dots = axes.scatter(info.points[:, 0], info.points[:, 1], s=9, c=BLACK, linewidths=0)
    dots.set_urls([trial_url(number) for number in info.numbers])
    scale_parameter(axes, "x", (), info.x.log)
    scale_parameter(axes, "y", (), info.y.log)


def _triangles(x: np.ndarray, y: np.ndarray) -> np.ndarray | None:
    """The corners (K, 3) of triangles between points; None if all points lie on one line."""
    from matplotlib.tri import Triangulation

    try:
        return Triangulation(*((v - v.min()) / max(float(np.ptp(v)), 1e-12) for v in (x, y))).triangles
    except RuntimeError:
        return None


def _draw_cells(
    axes: Axes, info: ContourInfo, cells: Mapping[tuple[float, float], tuple[float, int]], colours: str
) -> None:
    xs, ys = (sorted({key[i] for key in cells}) for i in (0, 1))
    means = np.full((len(ys), len(xs)), np.nan)
    for (x, y), (mean, _) in cells.items():
        means[ys.index(y), xs.index(x)] = info.scale.forward(mean)
    axes.imshow(means, cmap=colours, aspect="auto", origin="lower")
    middle = (np.nanmin(means) + np.nanmax(means)) / 2
    for (x, y), (mean, count) in cells.items():
        text = f"{mean:.4g}" + (f"\nn = {count}" if len(ys) <= 8 else "")
        ink = (
            "#010101" if (info.scale.forward(mean) > middle) == info.maximize else "#fefefe"
        )  # not of the page's scheme
        axes.text(xs.index(x), ys.index(y), text, ha="center", va="center", fontsize=TICK if len(xs) < 6 else TICK - 2,
                  color=ink)  # fmt: skip
    scale_parameter(axes, "x", _names(info.x, xs), log=False)
    scale_parameter(axes, "y", _names(info.y, ys), log=False)


def _names(parameter: Parameter, places: Sequence[float]) -> list[str]:
    categories = parameter.categories
    return [categories[int(place)] if categories else f"{place:.4g}" for place in places]
