"""The objective by the value of one parameter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from phalanx.core.result import Status
from phalanx.report.style import BLUE, ORANGE, VERMILLION, label_axes
from phalanx.report.svg import mark_size, page_axes, scatter_trials
from phalanx.report.sweep_figures.scale import Scale, scale_parameter
from phalanx.report.sweep_figures.trials import Parameter, objective_names
from phalanx.runs.stored_run import StoredRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class SliceInfo:
    """Trials with a value, and their places on the axis of the parameter."""

    objective: str
    parameter: Parameter
    numbers: tuple[int, ...]
    places: tuple[float, ...]
    values: tuple[float, ...]
    completed: tuple[bool, ...]  # or else pruned
    best: int | None  # number of the best trial
    scale: Scale  # of the values

    @property
    def title(self) -> str:
        return self.parameter.key


def slice_info(
    trials: Sequence[StoredRun], parameter: Parameter, best: int | None, scale: Scale
) -> SliceInfo | None:  # fmt: skip
    """The trials that have both a value and the parameter.

    Args:
        trials: All trials.
        parameter: Made of the same trials.
        best: The number of the best trial.
        scale: The scale of the page.

    Returns:
        None if there is no such trial.
    """
    rows = [
        (trial.number, place, value, trial.status is Status.COMPLETED)
        for trial, place in zip(trials, parameter.places(), strict=True)
        if place is not None and (value := trial.value) is not None
    ]
    if not rows:
        return None
    numbers, places, values, completed = zip(*rows, strict=True)
    return SliceInfo(objective_names(trials)[0], parameter, numbers, places, values, completed, best, scale)


def draw_slice(info: SliceInfo) -> Figure:
    """Dots for completed trials, hollow triangles for pruned ones, a star for the best trial."""
    figure, axes = page_axes(2.7)
    size = mark_size(len(info.numbers))
    categories = info.parameter.categories
    shifts = [0.36 * ((i * 0.618) % 1 - 0.5) if categories else 0.0 for i in range(len(info.numbers))]
    x = [
        place + shift for place, shift in zip(info.places, shifts, strict=True)
    ]  # marks of a category beside each other
    for completed, marker, colour in ((False, "v", ORANGE), (True, "o", BLUE)):
        rows = [i for i, flag in enumerate(info.completed) if flag is completed]
        numbers, values = [info.numbers[i] for i in rows], [info.scale.shown(info.values[i]) for i in rows]
        scatter_trials(axes, [x[i] for i in rows], values, numbers, marker, colour, size)
    if info.best in info.numbers:
        place = info.numbers.index(info.best)
        axes.plot(
            x[place], info.scale.shown(info.values[place]), "*", color=VERMILLION, markersize=13, markeredgewidth=0
        )
    info.scale.apply(axes)
    label_axes(axes, x=info.parameter.key, y=info.objective, grid="both")
    scale_parameter(axes, "x", categories, info.parameter.log)
    return figure
