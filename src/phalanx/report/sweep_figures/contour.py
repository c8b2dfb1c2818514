"""The objective over the two most important parameters."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from phalanx.report.style import LABEL, TICK, label_axes
from phalanx.report.svg import page_figure, trial_url
from phalanx.report.sweep_figures.scale import Scale, scale_of
from phalanx.report.sweep_figures.slices import scale_axis
from phalanx.report.sweep_figures.trials import Parameter, Trial, completed, objective_names, value_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FEWEST = 8  # points that a surface is drawn through
MOST_VALUES = 6  # of each parameter in a table of means
LEVELS = 9


@dataclass(frozen=True)
class ContourInfo:
    """Completed trials that have both parameters, and their values; as `cells` where the parameters take few values:
    (x, y) -> mean and number of trials."""

    objective: str
    x: Parameter
    y: Parameter
    numbers: tuple[int, ...]
    points: np.ndarray  # (N, 2)
    values: np.ndarray  # (N,)
    cells: dict[tuple[float, float], tuple[float, int]] | None
    best_is_high: bool
    scale: Scale  # of the colours


def contour_info(trials: Sequence[Trial], x: Parameter, y: Parameter, direction: str) -> ContourInfo | None:
    """None where too few trials have both, or where they make neither a surface nor a table."""
    chosen = {trial["number"] for trial in completed(trials)}
    rows = [
        (trial["number"], a, b, float(value_of(trial) or 0.0))
        for trial, a, b in zip(trials, x.places(), y.places(), strict=True)
        if trial["number"] in chosen and a is not None and b is not None
    ]
    places = [{row[1] for row in rows}, {row[2] for row in rows}]
    if len(rows) < FEWEST or min(map(len, places)) < 2:
        return None
    few = [len(found) <= MOST_VALUES for found in places]
    cells = None
    if all(few):
        found: dict[tuple[float, float], list[float]] = defaultdict(list)
        for _, a, b, value in rows:
            found[a, b].append(value)
        cells = {key: (statistics.fmean(values), len(values)) for key, values in found.items()}
    elif x.categories or y.categories or any(few):
        return None
    points, values = np.array([row[1:3] for row in rows]), np.array([row[3] for row in rows])
    numbers = tuple(row[0] for row in rows)
    up = direction == "maximize"
    scale = scale_of(values.tolist(), up)
    return ContourInfo(objective_names(trials)[0], x, y, numbers, points, values, cells, up, scale)


def draw_contour(info: ContourInfo) -> Figure:
    """A surface with a dot a trial, or a table of means; light is good."""
    figure = page_figure(3.4)
    axes = figure.subplots()
    (_draw_surface if info.cells is None else _draw_cells)(axes, info)
    return figure


def _colours(info: ContourInfo) -> str:
    return "cividis" if info.best_is_high else "cividis_r"


def _draw_surface(axes: Axes, info: ContourInfo) -> None:
    from matplotlib.tri import Triangulation

    x, y = (np.log10(info.points[:, i]) if p.log else info.points[:, i] for i, p in enumerate((info.x, info.y)))
    heights = info.scale.forward(info.values)
    low, high = float(heights.min()), float(heights.max())
    if high > low:
        triangles = Triangulation(*((v - v.min()) / max(float(np.ptp(v)), 1e-12) for v in (x, y))).triangles
        surface = Triangulation(info.points[:, 0], info.points[:, 1], triangles)
        filled = axes.tricontourf(surface, heights, levels=np.linspace(low, high, LEVELS), cmap=_colours(info))
        bar, places = axes.figure.colorbar(filled, ax=axes, pad=0.02, aspect=25), np.linspace(low, high, 5)
        bar.set_ticks(places, labels=[f"{value:.3g}" for value in info.scale.inverse(places)])
        bar.set_label(info.objective, fontsize=LABEL, parse_math=False)
        bar.ax.tick_params(labelsize=TICK - 1)
    dots = axes.scatter(*info.points.T, 9, "#000000", linewidths=0)
    dots.set_urls([trial_url(number) for number in info.numbers])
    label_axes(axes, x=info.x.key, y=info.y.key)
    scale_axis(axes, (), info.x.log)
    scale_axis(axes, (), info.y.log, vertical=True)


def _draw_cells(axes: Axes, info: ContourInfo) -> None:
    xs, ys = (sorted({key[i] for key in info.cells or {}}) for i in (0, 1))
    means = np.full((len(ys), len(xs)), np.nan)
    for (a, b), (mean, _) in (info.cells or {}).items():
        means[ys.index(b), xs.index(a)] = mean
    axes.imshow(means, cmap=_colours(info), aspect="auto", origin="lower")
    middle = (np.nanmin(means) + np.nanmax(means)) / 2
    for (a, b), (mean, count) in (info.cells or {}).items():
        light = (mean > middle) == info.best_is_high
        words = f"{mean:.4g}" + (f"\nn = {count}" if len(ys) <= 8 else "")
        axes.text(xs.index(a), ys.index(b), words, ha="center", va="center", fontsize=TICK if len(xs) < 6 else TICK - 2,
                  color="#010101" if light else "#fefefe")  # fmt: skip
    label_axes(axes, x=info.x.key, y=info.y.key)
    for values, parameter, vertical in ((xs, info.x, False), (ys, info.y, True)):
        names = parameter.categories
        scale_axis(axes, [names[int(v)] if names else f"{v:.4g}" for v in values], False, vertical)
