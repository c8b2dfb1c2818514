"""The learning curves of all trials of a sweep, with marks where trials were stopped."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

from phalanx.report.style import BLACK, BLUE, GREY, ORANGE, VERMILLION, integer_ticks, label_axes, legend_below
from phalanx.report.svg import page_axes, trial_url
from phalanx.report.sweep_figures.scale import Scale
from phalanx.report.sweep_figures.trials import objective_names
from phalanx.runs.stored_run import StoredRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Curve = tuple[Sequence[float], Sequence[float]]  # epochs and finite values

MAX_POINTS = 60  # of one curve; of a longer one, means over some epochs are drawn
# Colour, dashes and mark at the end of a curve, by status.
LOOKS = {
    "completed": (BLUE, "-", ""),
    "pruned": (ORANGE, "--", "v"),
    "diverged": (VERMILLION, ":", "x"),
    "failed": (GREY, ":", "x"),
}


@dataclass(frozen=True)
class LearningInfo:
    """The objective by epoch, by trial number."""

    title: ClassVar = "Learning curves"
    objective: str
    curves: Mapping[int, Curve]
    status: Mapping[int, str]
    best: int | None  # number of the best trial
    scale: Scale
    window: int  # epochs that a point of the longest curve is the mean of


def learning_info(
    trials: Sequence[StoredRun], curves: Mapping[int, Curve], best: int | None, scale: Scale
) -> LearningInfo:  # fmt: skip
    """Averages the curves to `MAX_POINTS` each.

    Args:
        trials: All trials.
        curves: By trial number; trials without a curve, or with an empty one, are left out.
        best: The number of the best trial.
        scale: The scale of the page.
    """
    status = {trial.number: trial.status for trial in trials if any(curves.get(trial.number, ()))}
    thin = {number: _thinned(*curves[number]) for number in status}
    longest = max((len(curves[number][0]) for number in status), default=0)
    window = 1 if longest <= MAX_POINTS else -(-(longest - 2) // (MAX_POINTS - 2))
    return LearningInfo(objective_names(trials)[0], thin, status, best, scale, window)


def _thinned(epochs: Sequence[float], values: Sequence[float]) -> Curve:
    """The first and the last point, and between them means over as many epochs each."""
    n, most = len(epochs), MAX_POINTS - 2
    if n <= MAX_POINTS:
        return list(epochs), list(values)
    ends = [1 + round(i * (n - 2) / most) for i in range(most + 1)]
    blocks = list(pairwise(ends))
    centres = [statistics.fmean(epochs[a:b]) for a, b in blocks]
    means = [statistics.fmean(values[a:b]) for a, b in blocks]
    return [epochs[0], *centres, epochs[-1]], [values[0], *means, values[-1]]


def draw_learning(info: LearningInfo) -> Figure:
    """A line for each trial with a mark where it was stopped, dashed if it was pruned; the best one thick and black."""
    figure, axes = page_axes(3.2)
    width, alpha, size = (0.6, 0.6, 3.0) if len(info.curves) > 100 else (0.9, 0.8, 4.5)
    named: set[str] = set()
    for number, (epochs, values) in info.curves.items():
        status, last = info.status[number], len(epochs) - 1
        colour, dashes, mark = LOOKS.get(status, LOOKS["failed"])
        axes.plot(epochs, values, dashes, color=colour, linewidth=width, alpha=alpha,
                  marker=mark or ("." if last == 0 else None), markevery=[last], markersize=size, fillstyle="none",
                  url=trial_url(number), label=None if status in named else status)  # fmt: skip
        named.add(status)
    if info.best is not None and info.best in info.curves:
        axes.plot(*info.curves[info.best], color=BLACK, linewidth=2.2, label=f"best: trial {info.best}")
    info.scale.apply(axes)
    label_axes(axes, x="epoch", y=info.objective, grid="both")
    integer_ticks(axes.xaxis)
    legend_below(figure, axes, n_columns=3, handletextpad=0.5)
    return figure
