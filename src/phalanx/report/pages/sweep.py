"""The report of a sweep: its figures and tables. Their order and the words beside them are in the template."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, islice
from typing import TYPE_CHECKING

from phalanx.analysis.final import Finalist
from phalanx.core.result import Status
from phalanx.report.pages import tables
from phalanx.report.pages.render import PageFigure, render
from phalanx.report.svg import inline
from phalanx.report.sweep_figures.contour import contour_info, draw_contour
from phalanx.report.sweep_figures.history import draw_history, history_info
from phalanx.report.sweep_figures.importances import MIN_TRIALS, ImportancesInfo, draw_importances, importances_infos
from phalanx.report.sweep_figures.intervals import draw_intervals, intervals_infos
from phalanx.report.sweep_figures.learning_curves import Curve, LearningInfo, draw_learning, learning_info
from phalanx.report.sweep_figures.parallel_coordinates import draw_parallel, parallel_info
from phalanx.report.sweep_figures.pareto_front import draw_front, front_infos
from phalanx.report.sweep_figures.slices import draw_slice, slice_info
from phalanx.report.sweep_figures.timeline import draw_timeline, timeline_info
from phalanx.report.sweep_figures.trials import Parameter, completed_values, parameters, tips
from phalanx.runs.stored_run import StoredRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_SLICES = 12
MAX_PAIRED = 4  # so many of the most important parameters are drawn against each other
MAX_CONTOURS = 3
MAX_FAILED = 20  # failures that are shown unfolded


@dataclass(frozen=True)
class SweepContent:
    """Everything that a sweep's report shows."""

    name: str
    direction: str  # `maximize` or `minimize`
    trials: Sequence[Trial]  # in order of numbers
    best: Sequence[Trial]  # the completed ones, best first
    curves: Mapping[int, Curve] = field(default_factory=dict)  # the objective by epoch, by trial number
    configs: Mapping[int, str] = field(default_factory=dict)  # whole configurations of the best trials, by number
    finalists: Sequence[Finalist] = ()  # of the final, best first
    sentences: Sequence[str] = ()  # about the final
    groups: tables.SeedGroups | None = None  # of a grid with several seeds
    ending: str | None = None  # why the search ended
    log: Mapping[str, bool] = field(default_factory=dict)  # whether a key was drawn on a logarithmic scale, by key


def sweep_html(content: SweepContent) -> str:
    """The whole page."""
    trials, best = content.trials, content.best
    varied = parameters(trials, log=content.log)
    importances = importances_infos(trials, varied, content.direction)
    shares = dict(zip(importances[0].names, importances[0].shares, strict=True)) if importances else {}
    ranked = sorted(varied, key=lambda parameter: -shares.get(parameter.key, 0.0))
    number = best[0].number if best else None
    learning = learning_info(trials, content.curves, number, content.direction)
    failed = [trial for trial in trials if trial.status in (Status.FAILED, Status.DIVERGED)]
    endings = Counter(trial.ending for trial in trials).most_common()
    figures = _Figures(content, tips(trials))
    return render(
        "sweep.html.j2", title=content.name, trials=trials, best=best, ending=content.ending,
        endings=", ".join(f"{count:,} {status}" for status, count in endings),
        seconds=math.fsum(trial.train_seconds for trial in trials),
        front=figures.front(), best_table=tables.best_table(best, varied), configs=content.configs,
        intervals=figures.intervals(), sentences=content.sentences, groups=content.groups,
        final_table=tables.final_table(content.finalists, varied),
        curves=[*figures.history(), *figures.learning_curves(learning)],
        n_without_curve=len(trials) - len(learning.curves),
        varied=varied, n_completed=len(completed_values(trials)), min_completed=MIN_TRIALS,
        parallel_coordinates=figures.parallel_coordinates(varied), importances=figures.importances(importances),
        contours=figures.contours(ranked), slices=figures.slices(ranked[:MAX_SLICES], number),
        n_without_slice=len(varied) - MAX_SLICES, timeline=figures.timeline(),
        failed=tables.failures_table(failed[:MAX_FAILED], varied),
        failed_folded=tables.failures_table(failed[MAX_FAILED:], varied),
        trials_table=tables.trials_table(trials, varied),
    )  # fmt: skip


@dataclass(frozen=True)
class _Figures:
    """The figures of the page, which show the same tips over the trials."""

    content: SweepContent
    tips: Mapping[int, str]

    def _figure(self, figure: Figure, title: str, caption: str = "", min_width: str = "") -> PageFigure:
        return PageFigure(inline(figure, title, self.tips), title, caption, min_width)

    def front(self) -> list[PageFigure]:
        caption = "A trial of the front can only be bettered in one objective at the cost of another."
        infos = front_infos(self.content.best)
        return [self._figure(draw_front(info), f"{info.first} against {info.other}", caption) for info in infos]

    def intervals(self) -> list[PageFigure]:
        infos = intervals_infos(self.content.finalists)
        return [self._figure(draw_intervals(info), info.measure) for info in infos]

    def history(self) -> list[PageFigure]:
        info = history_info(self.content.trials, self.content.direction)
        return [] if info is None else [self._figure(draw_history(info), "Optimisation history")]

    def learning_curves(self, info: LearningInfo) -> list[PageFigure]:
        caption = "A line a trial; a mark shows where it was stopped."
        return [self._figure(draw_learning(info), "Learning curves", caption)] if info.curves else []

    def parallel_coordinates(self, varied: Sequence[Parameter]) -> list[PageFigure]:
        info = parallel_info(self.content.trials, varied, self.content.direction)
        if info is None:
            return []
        caption = "A line a completed trial; the best tenth is coloured and dashed."
        min_width = f"{max(30, 5 * len(info.axes))}rem"
        return [self._figure(draw_parallel(info), "Parallel coordinates", caption, min_width)]

    def importances(self, infos: Sequence[ImportancesInfo]) -> list[PageFigure]:
        caption = "How much each parameter tells the best tenth of the trials from the others (PED-ANOVA)."
        return [self._figure(draw_importances(info), f"Importances for {info.objective}", caption) for info in infos]

    def contours(self, ranked: Sequence[Parameter]) -> list[PageFigure]:
        """Figures of the most important pairs of parameters that can be drawn against each other."""
        pairs = sorted(combinations(range(min(len(ranked), MAX_PAIRED)), 2), key=lambda pair: pair[::-1])
        infos = (contour_info(self.content.trials, ranked[x], ranked[y], self.content.direction) for x, y in pairs)
        return [
            self._figure(draw_contour(info), f"{info.x.key} and {info.y.key}",
                         "Light is good." if info.cells else "Light is good. A dot a trial.")
            for info in islice(filter(None, infos), MAX_CONTOURS)
        ]  # fmt: skip

    def slices(self, parameters: Sequence[Parameter], best: int | None) -> list[PageFigure]:
        infos = (slice_info(self.content.trials, one, best, self.content.direction) for one in parameters)
        return [self._figure(draw_slice(info), info.parameter.key) for info in infos if info is not None]

    def timeline(self) -> list[PageFigure]:
        info = timeline_info(self.content.trials)
        if info is None:
            return []
        cohorts = "1 cohort" if info.n_cohorts == 1 else f"{info.n_cohorts:,} cohorts"
        caption = f"A bar a trial; {cohorts}, told apart by colour and height from their neighbours."
        untimed = f" {info.n_untimed:,} trials have no times." if info.n_untimed else ""
        return [self._figure(draw_timeline(info), "When each trial trained", caption + untimed)]
