"""An axis for values of an objective on which the better ones can be told apart, whatever the worst are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from phalanx.report.sweep_figures.trials import log_suits

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PRESSED = 10.0  # the best quarter in so small a part of the axis calls for another scale
PLACES = (0.0, 0.5, 0.8, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999)


@dataclass(frozen=True)
class Scale:
    """`error` spreads shares such as accuracies by the logarithm of what is missing from 1: 0.9, 0.99 and 0.999 are
    equally far apart; `floor` is added to what is missing, so that 1 has a place. Values run from `low` to `high`."""

    kind: Literal["linear", "log", "error"] = "linear"
    low: float = 0.0
    high: float = 1.0
    floor: float = 0.0

    def forward(self, values: np.ndarray | float) -> np.ndarray:
        """Values on a linear axis."""
        found = np.asarray(values, dtype=float)
        if self.kind == "log":
            return np.log10(found)
        return -np.log10(1 - found + self.floor) if self.kind == "error" else found

    def inverse(self, places: np.ndarray | float) -> np.ndarray:
        """The values at places on a linear axis."""
        found = np.asarray(places, dtype=float)
        if self.kind == "log":
            return 10**found
        return 1 + self.floor - 10**-found if self.kind == "error" else found

    def apply(self, axes: Axes, vertical: bool = True) -> None:
        """Gives the axis this scale, and names where they do not crowd each other."""
        from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

        set_scale = axes.set_yscale if vertical else axes.set_xscale
        if self.kind == "log":
            set_scale("log")
        if self.kind != "error":
            return
        set_limits, a, b = axes.set_ylim if vertical else axes.set_xlim, self.forward(self.low), self.forward(self.high)
        set_limits(self.inverse(a - 0.06 * (b - a)), self.inverse(b + 0.06 * (b - a)))
        set_scale("function", functions=(self.forward, self.inverse))
        axis = axes.yaxis if vertical else axes.xaxis
        places = _apart([p for p in PLACES if self.low <= p <= self.high], lambda p: float(self.forward(p) / (b - a)))
        axis.set_major_locator(FixedLocator(places))
        axis.set_major_formatter(FixedFormatter([f"{p:g}" for p in places]))
        axis.set_minor_locator(NullLocator())


def _apart(places: Sequence[float], height: Callable[[float], float], least: float = 0.09) -> list[float]:
    """Places from the top that are at least so far from each other."""
    kept: list[float] = []
    for place in sorted(places, reverse=True):
        if not kept or height(kept[-1]) - height(place) >= least:
            kept.append(place)
    return kept[::-1]


def scale_of(values: Sequence[float], maximize: bool) -> Scale:
    """The scale that suits an objective's values, of which the large ones are the good ones or the bad ones."""
    shares = bool(values) and min(values) >= 0 and max(values) <= 1
    named = shares and sum(min(values) <= place <= max(values) for place in PLACES) > 1
    if named and maximize and _pressed(values):
        missing = min(1 - value for value in values if value < 1)
        return Scale("error", min(values), max(values), missing / 2 if max(values) == 1 else missing / 1000)
    return Scale("log") if log_suits(values) else Scale()


def _pressed(values: Sequence[float]) -> bool:
    """Whether the best quarter of the values takes but a small part of a linear axis."""
    ordered = sorted(values, reverse=True)
    return ordered[0] - ordered[-1] > PRESSED * (ordered[0] - ordered[len(ordered) // 4])
