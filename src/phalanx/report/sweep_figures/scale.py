"""Scales of axes: for objectives, on which the better values are far enough apart, and for parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from phalanx.report.style import name_ticks
from phalanx.report.sweep_figures.trials import log_suits

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

ERROR_TICKS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999)


@dataclass(frozen=True)
class Scale:
    """The scale of an axis with values from `low` to `high`.

    `error` spreads accuracies by the logarithm of what is missing from 1: 0.9, 0.99 and 0.999 are equally far apart.
    `floor` is added to what is missing, so that 1 has a finite place.
    """

    kind: Literal["linear", "log", "error"] = "linear"
    low: float = 0.0
    high: float = 1.0
    floor: float = 0.0

    def forward(self, values: np.ndarray | float) -> np.ndarray:
        """The places of values on a linear axis."""
        found = np.asarray(values, dtype=float)
        if self.kind == "log":
            found = np.log10(found)
        return -np.log10(1 - found + self.floor) if self.kind == "error" else found

    def inverse(self, places: np.ndarray | float) -> np.ndarray:
        """The values at places on a linear axis."""
        found = np.asarray(places, dtype=float)
        if self.kind == "log":
            found = np.power(10.0, found)
        return 1 + self.floor - np.power(10.0, -found) if self.kind == "error" else found

    def apply(self, axes: Axes) -> None:
        """Gives the vertical axis this scale, with ticks that do not overlap."""
        from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

        if self.kind == "log":
            axes.set_yscale("log")
        if self.kind != "error":
            return
        bottom, top = float(self.forward(self.low)), float(self.forward(self.high))
        margin = 0.06 * (top - bottom)
        axes.set_ylim(float(self.inverse(bottom - margin)), float(self.inverse(top + margin)))
        axes.set_yscale("function", functions=(self.forward, self.inverse))
        ticks = _spaced([tick for tick in ERROR_TICKS if self.low <= tick <= self.high],
                        lambda tick: float(self.forward(tick)) / (top - bottom))  # fmt: skip
        axes.yaxis.set_major_locator(FixedLocator(ticks))
        axes.yaxis.set_major_formatter(FixedFormatter([f"{tick:g}" for tick in ticks]))
        axes.yaxis.set_minor_locator(NullLocator())


def _spaced(ticks: Sequence[float], height: Callable[[float], float]) -> list[float]:
    """Ticks from the top that are at least 9 % of the axis apart."""
    kept: list[float] = []
    for tick in sorted(ticks, reverse=True):
        if not kept or height(kept[-1]) - height(tick) >= 0.09:
            kept.append(tick)
    return kept[::-1]


def scale_of(values: Sequence[float], maximize: bool) -> Scale:
    """The scale that suits the values of an objective that is maximized or minimized."""
    shares = bool(values) and min(values) >= 0 and max(values) <= 1
    named = shares and sum(min(values) <= tick <= max(values) for tick in ERROR_TICKS) > 1
    if named and maximize and _crowded(values):
        missing = min(1 - value for value in values if value < 1)
        return Scale("error", min(values), max(values), missing / 2 if max(values) == 1 else missing / 1000)
    return Scale("log") if log_suits(values) else Scale()


def _crowded(values: Sequence[float]) -> bool:
    """Whether the best quarter of the values takes less than a tenth of a linear axis."""
    ordered = sorted(values, reverse=True)
    return ordered[0] - ordered[-1] > 10 * (ordered[0] - ordered[len(ordered) // 4])


def scale_parameter(axes: Axes, which: Literal["x", "y"], categories: Sequence[str], log: bool) -> None:
    """Gives a parameter's axis the names of its categories, or a logarithmic scale.

    Args:
        axes: The axes.
        which: The axis of the parameter.
        categories: Names at 0, 1, 2, …; empty for a parameter with numbers.
        log: Whether the scale of numbers is logarithmic.
    """
    horizontal = which == "x"
    axis, set_limits = (axes.xaxis, axes.set_xlim) if horizontal else (axes.yaxis, axes.set_ylim)
    if categories:
        turned = horizontal and sum(min(len(name), 24) for name in categories) > 40
        name_ticks(axis, categories, most=20, angle=30 if turned else 0)
        set_limits(-0.5, len(categories) - 0.5)
    elif log:
        (axes.set_xscale if horizontal else axes.set_yscale)("log")
        _tick_log(axis, *(axes.get_xlim() if horizontal else axes.get_ylim()))


def _tick_log(axis: Axis, low: float, high: float) -> None:
    """Names powers of ten only, or three places if there are fewer than two powers."""
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullFormatter

    axis.set_minor_formatter(NullFormatter())
    if math.floor(math.log10(high)) - math.ceil(math.log10(low)) < 1:
        ticks = [low * (high / low) ** share for share in (0.1, 0.5, 0.9)]
        axis.set_major_locator(FixedLocator(ticks))
        axis.set_major_formatter(FixedFormatter([f"{tick:.2g}" for tick in ticks]))
