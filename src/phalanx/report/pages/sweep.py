"""The report of a sweep: its figures and tables. Their order and the words beside them are in the template."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, islice
from typing import TYPE_CHECKING, Protocol, TypeVar

from markupsafe import Markup

from phalanx.analysis.final import Finalist
from phalanx.core.result import Status
from phalanx.report.pages.render import render
from phalanx.report.svg import inline
from phalanx.report.sweep_figures.contour import ContourInfo, contour_info, draw_contour
from phalanx.report.sweep_figures.history import draw_history, history_info
from phalanx.report.sweep_figures.importances import MIN_TRIALS, draw_importances, importances_infos
from phalanx.report.sweep_figures.intervals import draw_intervals, intervals_infos
from phalanx.report.sweep_figures.learning_curves import Curve, draw_learning, learning_info
from phalanx.report.sweep_figures.parallel_coordinates import draw_parallel, parallel_info
from phalanx.report.sweep_figures.pareto_front import draw_front, front_infos
from phalanx.report.sweep_figures.slices import draw_slice, slice_info
from phalanx.report.sweep_figures.timeline import draw_timeline, timeline_info
from phalanx.report.sweep_figures.trials import Parameter, completed_values, objective_names, parameters, tips
from phalanx.runs.stored_run import StoredRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_SLICES = 12


@dataclass(frozen=True)
class SeedGroups:
    """Groups of trials that differ by seeds and splits only: a table of means, sentences about differences, notes."""

    data: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    sentences: Sequence[str]
    notes: Sequence[str]


@dataclass(frozen=True)
class SweepContent:
    """Everything that a sweep's report shows."""

    name: str
    trials: Sequence[StoredRun]  # in order of numbers
    best: Sequence[StoredRun]  # the completed ones, best first
    curves: Mapping[int, Curve] = field(default_factory=dict)  # the objective by epoch, by trial number
    configs: Mapping[int, str] = field(default_factory=dict)  # whole configurations of the best trials, by number
    finalists: Sequence[Finalist] = ()  # of the final, best first
    sentences: Sequence[str] = ()  # about the final
    groups: Sequence[SeedGroups] = ()  # of a grid with several seeds, for each data set
    ending: str | None = None  # why the search ended
    left_out: Sequence[str] = ()  # files that could not be read, and why
    log: Mapping[str, bool] = field(default_factory=dict)  # whether a key was drawn on a logarithmic scale, by key


def sweep_html(content: SweepContent) -> str:
    """The whole page."""
    trials, best = content.trials, content.best
    varied, number = parameters(trials, content.log), best[0].number if best else None
    importances = importances_infos(trials, varied)
    shares = dict(zip(importances[0].names, importances[0].shares, strict=True)) if importances else {}
    ranked = sorted(varied, key=lambda parameter: -shares.get(parameter.key, 0.0))
    learning = learning_info(trials, content.curves, number)
    endings = Counter(trial.ending for trial in trials).most_common()
    draw = _FigureMaker(tips(trials))
    return render(
        "sweep.html.j2", title=content.name, trials=trials, best=best, ending=content.ending,
        left_out=content.left_out,
        endings=", ".join(f"{count:,} {ending}" for ending, count in endings),
        seconds=math.fsum(trial.train_seconds for trial in trials), configs=content.configs,
        measures=_measures(trials), best_measures=_measures(best), varied=varied,
        front=draw(draw_front, front_infos(best)), finalists=content.finalists, sentences=content.sentences,
        intervals=draw(draw_intervals, intervals_infos(content.finalists)), groups=content.groups,
        history=draw(draw_history, [history_info(trials)]),
        learning_curves=draw(draw_learning, [learning] if learning.curves else []),
        n_without_curve=len(trials) - len(learning.curves),
        n_completed=len(completed_values(trials)), min_completed=MIN_TRIALS,
        parallel_coordinates=draw(draw_parallel, [parallel_info(trials, varied)]),
        importances=draw(draw_importances, importances), contours=draw(draw_contour, _contours(trials, ranked)),
        slices=draw(draw_slice, [slice_info(trials, parameter, number) for parameter in ranked[:MAX_SLICES]]),
        n_without_slice=len(varied) - MAX_SLICES, timeline=draw(draw_timeline, [timeline_info(trials)]),
        failed=[trial for trial in trials if trial.status in (Status.FAILED, Status.DIVERGED)],
    )  # fmt: skip


def _measures(trials: Sequence[StoredRun]) -> list[str]:
    """The metrics with a column: the objectives, but for costs, which have columns of their own, and two more."""
    costs = ("n_parameters", "train_seconds", "best_epoch")
    names = dict.fromkeys([*objective_names(trials), "val_loss", "test_accuracy"])
    there = [name for name in names if any(trial.metrics.get(name) is not None for trial in trials)]
    return [name for name in there if name not in costs]


class FigureInfo(Protocol):
    """The numbers of a figure."""

    @property
    def title(self) -> str:
        """The heading of the figure."""


Info = TypeVar("Info", bound=FigureInfo)


@dataclass(frozen=True)
class PageFigure:
    """A figure as an SVG element, and its numbers."""

    svg: Markup
    info: FigureInfo


@dataclass(frozen=True)
class _FigureMaker:
    """Draws the figures of the page, which show the same tips over the trials."""

    tips: Mapping[int, str]

    def __call__(self, draw: Callable[[Info], Figure], infos: Iterable[Info | None]) -> list[PageFigure]:
        """A figure for each of `infos` that is not None."""
        return [PageFigure(inline(draw(info), info.title, self.tips), info) for info in infos if info is not None]


def _contours(trials: Sequence[StoredRun], ranked: Sequence[Parameter]) -> list[ContourInfo]:
    """At most three pairs of the four most important parameters, the most important pairs first."""
    pairs = sorted(combinations(range(min(len(ranked), 4)), 2), key=lambda pair: pair[::-1])
    infos = (contour_info(trials, ranked[x], ranked[y]) for x, y in pairs)
    return list(islice(filter(None, infos), 3))
