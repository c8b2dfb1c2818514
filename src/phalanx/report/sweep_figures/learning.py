"""Learning curves of all trials of a sweep, with those that were pruned or diverged marked where they stopped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from phalanx.report.style import BLACK, BLUE, GREY, ORANGE, TICK, VERMILLION, label_axes
from phalanx.report.svg import page_figure, trial_url
from phalanx.report.sweep_figures.scale import Scale, scale_of
from phalanx.report.sweep_figures.trials import Trial, objective_names

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Curve = tuple[Sequence[int], Sequence[float]]  # epochs and values

POINTS = 60  # of one curve that are drawn
# How each status is drawn: colour, dashes, mark at the end.
LOOKS = {
    "completed": (BLUE, "-", ""),
    "pruned": (ORANGE, "--", "v"),
    "diverged": (VERMILLION, ":", "x"),
    "failed": (GREY, ":", "x"),
}


@dataclass(frozen=True)
class LearningInfo:
    """Curves by trial number with their status, of finite values only; `best` is drawn last and thick."""

    objective: str
    curves: Mapping[int, Curve]
    status: Mapping[int, str]
    best: int | None
    scale: Scale


def learning_info(
    trials: Sequence[Trial], curves: Mapping[int, Curve], best: int | None, direction: str
) -> LearningInfo:
    """The curves of the objective, thinned out to `POINTS`; trials without one are left out."""
    thin = {number: _thin(*curve) for number, curve in curves.items() if len(curve[0])}
    status = {trial["number"]: trial["status"] for trial in trials if trial["number"] in thin}
    values = [value for number in status for value in thin[number][1]]
    scale = scale_of(values, direction == "maximize")
    return LearningInfo(objective_names(trials)[0], {n: thin[n] for n in status}, status, best, scale)


def _thin(epochs: Sequence[int], values: Sequence[float]) -> Curve:
    n = len(epochs)
    kept = range(n) if n <= POINTS else [round(i * (n - 1) / (POINTS - 1)) for i in range(POINTS)]
    return [epochs[i] for i in kept], [values[i] for i in kept]


def draw_learning(info: LearningInfo) -> Figure:
    """A line a trial, dashed where it was pruned, with a mark where it stopped; the best one black and thick."""
    figure = page_figure(3.2)
    axes = figure.subplots()
    many = len(info.curves) > 100
    named: set[str] = set()
    for number, (epochs, values) in info.curves.items():
        status = info.status[number]
        colour, dashes, mark = LOOKS.get(status, LOOKS["failed"])
        last = len(epochs) - 1
        axes.plot(epochs, values, dashes, color=colour, linewidth=0.6 if many else 0.9, alpha=0.6 if many else 0.8,
                  marker=mark or ("." if last == 0 else None), markevery=[last], markersize=3 if many else 4.5,
                  fillstyle="none", url=trial_url(number), label=None if status in named else status)  # fmt: skip
        named.add(status)
    if info.best in info.curves:
        axes.plot(*info.curves[info.best], color=BLACK, linewidth=2.2, label=f"best: trial {info.best}")
    info.scale.apply(axes)
    label_axes(axes, x="epoch", y=info.objective)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=3, fontsize=TICK, frameon=False, handletextpad=0.5)
    return figure
