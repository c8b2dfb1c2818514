"""Scales of axes: for objectives, on which the better values are far enough apart, and for parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from phalanx.core.metrics import limits_of
from phalanx.report.style import name_ticks
from phalanx.report.sweep_figures.trials import log_suits, maximizes, objective_names
from phalanx.runs.stored_run import StoredRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

PLAIN_TICKS = (1.0, 2.0, 2.5, 5.0, 10.0)  # the lower end of an axis that is cut stands at a multiple of these


@dataclass(frozen=True)
class Scale:
    """The scale of an objective, which all figures of a page share.

    A linear scale may be cut: what lies beyond `low` or `high` is drawn at its edge, so that a few bad values do not
    press all others together.
    """

    kind: Literal["linear", "log"] = "linear"
    low: float = -math.inf
    high: float = math.inf
    n_outside: int = 0  # values that are drawn at the edge
    limits: tuple[float, float] = (-math.inf, math.inf)  # the range of the metric

    @property
    def log(self) -> bool:
        return self.kind == "log"

    def whole(self) -> Scale:
        """The same scale without a cut."""
        return replace(self, low=-math.inf, high=math.inf, n_outside=0)

    def shown(self, value: float) -> float:
        """The value at which another one is drawn."""
        return min(max(value, self.low), self.high)

    def edge(self, value: float) -> str:
        """The sign before a value at the edge where others are drawn too; empty elsewhere."""
        return "≤ " if self.n_outside and value == self.low else "≥ " if self.n_outside and value == self.high else ""

    def forward(self, values: np.ndarray | float) -> np.ndarray:
        """The places of values on a linear axis."""
        found: np.ndarray = np.clip(np.asarray(values, dtype=float), self.low, self.high)
        return np.log10(found) if self.log else found

    def inverse(self, places: np.ndarray | float) -> np.ndarray:
        """The values at places on a linear axis."""
        found = np.asarray(places, dtype=float)
        return np.power(10.0, found) if self.log else found

    def apply(self, axes: Axes) -> None:
        """Gives the vertical axis this scale."""
        if self.log:
            axes.set_yscale("log")
            return
        bottom, top = axes.get_ylim()
        low, high = max(bottom, self.low, self.limits[0]), min(top, self.high, self.limits[1])
        margin = 0.04 * (high - low)
        axes.set_ylim(max(bottom, low - margin), min(top, high + margin))
        ticks = [tick for tick in axes.get_yticks() if low - margin <= tick <= high + margin]
        ticks = [tick for tick in ticks if self.limits[0] <= tick <= self.limits[1]]
        if self.n_outside:  # what lies beyond is drawn at the edge
            edge = self.low if self.low > -math.inf else self.high
            ticks = [tick for tick in ticks if abs(tick - edge) > 0.07 * (high - low)]
            axes.set_yticks([*ticks, edge], [*(f"{tick:g}" for tick in ticks), f"{self.edge(edge)}{edge:g}"])
        elif math.isfinite(self.limits[1]):
            axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])

    def explained(self, objective: str) -> str:
        """What a reader has to know of the scale."""
        if self.log:
            return f"Every axis of {objective} is logarithmic, as its values differ by a factor of 20 or more."
        if not self.n_outside:
            return f"Every axis of {objective} is linear."
        edge = f"from {self.low:g} on" if self.low > -math.inf else f"up to {self.high:g}"
        trials = "1 trial beyond stands" if self.n_outside == 1 else f"{self.n_outside:,} trials beyond stand"
        return f"Every axis of {objective} is linear and goes {edge}; {trials} at the edge."


def scale_of(values: Sequence[float], objective: str, maximize: bool) -> Scale:
    """The scale that suits the values of an objective: logarithmic only for what can be larger than 1, such as a loss.

    Args:
        values: The values of all trials.
        objective: The name of the metric.
        maximize: Whether it is maximized.
    """
    limits = limits_of(objective)
    if math.isinf(limits[1]) and log_suits(values):
        return Scale("log")
    ordered = sorted(values, reverse=maximize)
    if len(ordered) < 8:
        return Scale(limits=limits)
    best, half, worst = ordered[0], ordered[len(ordered) // 2], ordered[-1]
    if half == best or abs(worst - best) < 4 * abs(half - best):
        return Scale(limits=limits)
    edge = _plain(best + 2.5 * (half - best), abs(half - best), math.floor if maximize else math.ceil)
    n_outside = sum(value < edge if maximize else value > edge for value in values)
    if maximize:
        return Scale(low=edge, n_outside=n_outside, limits=limits)
    return Scale(high=edge, n_outside=n_outside, limits=limits)


def scale_for(trials: Sequence[StoredRun]) -> Scale:
    """The scale of the first objective on the page of these trials."""
    values = [value for trial in trials if (value := trial.value) is not None]
    return scale_of(values, objective_names(trials)[0], maximizes(trials))


def _plain(edge: float, size: float, rounded: Callable[[float], int]) -> float:
    """The edge at a plain number, rounded by less than `size`."""
    power = 10.0 ** math.floor(math.log10(size))
    step = power * max(tick for tick in PLAIN_TICKS if tick * power <= size * (1 + 1e-9))
    return float(f"{rounded(edge / step) * step:.12g}")


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
