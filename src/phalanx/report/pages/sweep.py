"""The report of a sweep: which figures and tables it has, in which order, and what is said where one is missing."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, islice
from typing import TYPE_CHECKING, Any

from phalanx.core.result import ended_as
from phalanx.report.pages import tables
from phalanx.report.pages.render import PageFigure, render
from phalanx.report.svg import inline
from phalanx.report.sweep_figures.contour import ContourInfo, contour_info, draw_contour
from phalanx.report.sweep_figures.front import draw_front, front_infos
from phalanx.report.sweep_figures.history import draw_history, history_info
from phalanx.report.sweep_figures.importances import FEWEST, draw_importances, importance_info
from phalanx.report.sweep_figures.intervals import draw_intervals
from phalanx.report.sweep_figures.learning import Curve, LearningInfo, draw_learning, learning_info
from phalanx.report.sweep_figures.parallel import ParallelInfo, draw_parallel, parallel_info
from phalanx.report.sweep_figures.slices import draw_slice, slice_info
from phalanx.report.sweep_figures.timeline import draw_timeline, timeline_info
from phalanx.report.sweep_figures.trials import Parameter, Trial, completed, objective_names, parameters, tips

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_SLICES = 12
MOST_PAIRED = 4  # of the most important parameters are tried against each other
MOST_CONTOURS = 3
MOST_FAILED = 20  # failures that are shown unfolded

# (objective, parameter) -> share, for the trials given: what `phalanx.study` computes.
Importances = Callable[[Sequence[Trial], Sequence[Parameter], int], Mapping[str, float]]


@dataclass(frozen=True)
class SweepContent:
    """Everything that a sweep's report shows. `trials` are in order of numbers, `best` the completed ones, best first.

    `curves` are the objective by epoch of each trial; `configs` the texts of the best trials' configurations;
    `groups` is what `phalanx compare` says about a grid with several seeds.
    """

    name: str
    direction: str
    trials: Sequence[Trial]
    best: Sequence[Trial]
    curves: Mapping[int, Curve] = field(default_factory=dict)
    configs: Mapping[int, str] = field(default_factory=dict)
    finalists: Sequence[Mapping[str, Any]] = ()
    sentences: Sequence[str] = ()
    groups: tables.SeedGroups | None = None
    ending: str | None = None
    importances: Importances | None = None
    log: Mapping[str, bool] = field(default_factory=dict)  # which keys were drawn on a logarithmic scale


def sweep_html(content: SweepContent) -> str:
    """The whole page."""
    trials, best = content.trials, content.best
    varied = parameters(trials, log=content.log)
    draw = _FigureMaker(tips(trials))
    failed = [trial for trial in trials if trial["status"] in ("failed", "diverged")]
    learning = learning_info(trials, content.curves, best[0]["number"] if best else None, content.direction)
    endings = Counter(ended_as(trial) for trial in trials).most_common()
    return render(
        "sweep.html.j2", title=content.name, trials=trials, best=best, ending=content.ending,
        endings=", ".join(f"{count:,} {status}" for status, count in endings),
        seconds=math.fsum(trial.get("train_seconds") or 0.0 for trial in trials),
        front=_front(content, draw), best_table=tables.best_table(best, varied), configs=content.configs,
        intervals=_intervals(content, draw), sentences=content.sentences, groups=content.groups,
        final_table=tables.final_table(content.finalists, objective_names(trials)[0], varied),
        curves=_curves(content, learning, draw), n_without_curve=len(trials) - len(learning.curves),
        varied=varied, n_completed=len(completed(trials)), fewest_completed=FEWEST,
        n_without_slice=len(varied) - MOST_SLICES, **_parameter_figures(content, varied, draw),
        timeline=_timeline(content, draw), failed=tables.failures_table(failed[:MOST_FAILED], varied),
        failed_folded=tables.failures_table(failed[MOST_FAILED:], varied),
        trials_table=tables.trials_table(trials, varied),
    )  # fmt: skip


class _FigureMaker:
    """Makes the page's figures, which show the same tips over the trials."""

    def __init__(self, tips: Mapping[int, str]) -> None:
        self.tips = tips

    def __call__(self, drawing: Figure, title: str, caption: str = "", min_width: str = "") -> PageFigure:
        return PageFigure(inline(drawing, title, self.tips), title, caption, min_width)


def _front(content: SweepContent, draw: _FigureMaker) -> list[PageFigure]:
    if len(objective_names(content.best)) < 2:
        return []
    caption = "A trial of the front can only be bettered in one objective at the cost of another."
    infos = front_infos(content.best)
    return [draw(draw_front(info), f"{info.first} against {info.other}", caption) for info in infos]


def _intervals(content: SweepContent, draw: _FigureMaker) -> list[PageFigure]:
    rows, measures = (
        content.finalists,
        {"objective": objective_names(content.trials)[0], "test_accuracy": "test accuracy"},
    )
    return [
        draw(draw_intervals(rows, measure, title), title)
        for measure, title in measures.items()
        if rows and all(row[measure] is not None for row in rows)
    ]


def _curves(content: SweepContent, learning: LearningInfo, draw: _FigureMaker) -> list[PageFigure]:
    history = history_info(content.trials, content.direction)
    found = []
    if history.done[0] or history.pruned[0]:
        found.append(draw(draw_history(history), "Optimisation history"))
    if learning.curves:
        caption = "A line a trial; a mark shows where it was stopped."
        found.append(draw(draw_learning(learning), "Learning curves", caption))
    return found


def _parameter_figures(
    content: SweepContent, varied: Sequence[Parameter], draw: _FigureMaker
) -> dict[str, list[PageFigure]]:
    """The figures over the parameters that vary, the most important parameters first."""
    importances = _importances(content, varied)
    shares = next(iter(importances.values()), {})
    ranked = sorted(varied, key=lambda parameter: -shares.get(parameter.key, 0.0))
    best = content.best[0]["number"] if content.best else None
    parallel = parallel_info(content.trials, varied, content.direction)
    slices = [slice_info(content.trials, parameter, best, content.direction) for parameter in ranked[:MOST_SLICES]]
    told = "How much each parameter tells the best tenth of the trials from the others (PED-ANOVA)."
    return {
        "parallel": [] if parallel is None else [_parallel(parallel, draw)],
        "importances": [draw(draw_importances(importance_info(name, found)), f"Importances for {name}", told)
                        for name, found in importances.items()],
        "contours": [draw(draw_contour(info), f"{info.x.key} and {info.y.key}",
                          "Light is good." if info.cells else "Light is good. A dot a trial.")
                     for info in _contours(content, ranked)],
        "slices": [draw(draw_slice(info), info.key) for info in slices if info.numbers],
    }  # fmt: skip


def _importances(content: SweepContent, varied: Sequence[Parameter]) -> dict[str, Mapping[str, float]]:
    """Importances of all parameters, for each objective; none where the trials are too few to tell."""
    done = completed(content.trials)
    if content.importances is None or len(done) < FEWEST or len(varied) < 2:
        return {}
    names = objective_names(done)
    found = {name: content.importances(content.trials, varied, place) for place, name in enumerate(names)}
    return {name: shares for name, shares in found.items() if shares}


def _contours(content: SweepContent, ranked: Sequence[Parameter]) -> list[ContourInfo]:
    """The most important pairs of parameters that can be drawn against each other."""
    pairs = sorted(combinations(range(min(len(ranked), MOST_PAIRED)), 2), key=lambda pair: pair[::-1])
    infos = (contour_info(content.trials, ranked[x], ranked[y], content.direction) for x, y in pairs)
    return list(islice((info for info in infos if info is not None), MOST_CONTOURS))


def _parallel(info: ParallelInfo, draw: _FigureMaker) -> PageFigure:
    caption = "A line a completed trial; the best tenth is coloured and dashed."
    return draw(draw_parallel(info), "Parallel coordinates", caption, f"{max(30, 5 * len(info.axes))}rem")


def _timeline(content: SweepContent, draw: _FigureMaker) -> list[PageFigure]:
    info = timeline_info(content.trials)
    if info is None:
        return []
    cohorts = "1 cohort" if info.n_cohorts == 1 else f"{info.n_cohorts:,} cohorts"
    caption = f"A bar a trial; {cohorts}, told apart by colour and height from their neighbours."
    untimed = f" {info.untimed:,} trials have no times." if info.untimed else ""
    return [draw(draw_timeline(info), "When each trial trained", caption + untimed)]
