"""The report of a sweep: its figures and tables. Their order and the words beside them are in the template."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, islice
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from markupsafe import Markup

from phalanx.analysis.class_scores import class_table
from phalanx.analysis.final import Finalist
from phalanx.core.metrics import tested
from phalanx.core.result import Status
from phalanx.report.context import Fact
from phalanx.report.differences import Row
from phalanx.report.drawing import Drawn, Titled, inline_figure
from phalanx.report.pages.place_tables import PageTable
from phalanx.report.pages.render import render
from phalanx.report.sweep_figures.contour import ContourInfo, contour_info, draw_contour
from phalanx.report.sweep_figures.history import draw_history, history_info
from phalanx.report.sweep_figures.importances import MIN_TRIALS, draw_importances, importances_infos
from phalanx.report.sweep_figures.intervals import draw_intervals, intervals_infos
from phalanx.report.sweep_figures.learning_curves import Curve, draw_learning, learning_info
from phalanx.report.sweep_figures.parallel_coordinates import draw_parallel, parallel_info
from phalanx.report.sweep_figures.pareto_front import draw_front, front_infos
from phalanx.report.sweep_figures.scale import Scale, scale_for
from phalanx.report.sweep_figures.slices import draw_slice, slice_info
from phalanx.report.sweep_figures.timeline import draw_timeline, timeline_info
from phalanx.report.sweep_figures.trials import Parameter, completed_values, objective_names, parameters, tips
from phalanx.runs.stored_run import DataSummary, StoredRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_SLICES = 12
MAX_DRAWN = 1000  # trials in a figure


@dataclass(frozen=True)
class SeedGroups:
    """Groups of trials that differ by seeds and splits only: a table of means, sentences about differences, notes."""

    title: str  # what is compared, on which data
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    sentences: Sequence[str]
    notes: Sequence[str]
    tables: Sequence[PageTable] = ()  # values by fold or split, and the spread by source


@dataclass(frozen=True)
class SweepContent:
    """Everything that a sweep's report shows."""

    name: str
    trials: Sequence[StoredRun]  # in order of numbers
    best: Sequence[StoredRun]  # the completed ones, best first, and before them the one that the final chose
    chosen: int | None = None  # its number
    curves: Mapping[int, Curve] = field(default_factory=dict)  # the objective by epoch, by trial number
    configs: Mapping[int, str] = field(default_factory=dict)  # whole configurations of the best trials, by number
    finalists: Sequence[Finalist] = ()  # of the final, best first
    sentences: Sequence[str] = ()  # about the final
    groups: Sequence[SeedGroups] = ()  # of a grid with several seeds, for each data set
    groups_note: str = ""  # why there are none
    out_of_fold: PageTable | None = None  # of a grid over folds
    search: bool = False
    facts: Sequence[Fact] = ()  # where the numbers come from
    differences: Sequence[Row] = ()  # how the best trials differ from the defaults and from each other
    refresh_s: float | None = None  # after how many seconds the page loads itself again, while the sweep runs
    ending: str | None = None  # why the search ended
    left_out: Sequence[str] = ()  # files that could not be read, and why
    baselines: Mapping[str, float] = field(default_factory=dict)  # what the cheapest reach in the objective, by name
    log: Mapping[str, bool] = field(default_factory=dict)  # whether a key was drawn on a logarithmic scale, by key


def sweep_html(content: SweepContent) -> str:
    """The whole page."""
    trials, best = content.trials, content.best
    varied, drawn, scale = parameters(trials, content.log), sampled(trials, best), scale_for(trials)
    figures = _begin_figures(content, varied, drawn, scale)
    with_curve = sum(any(content.curves.get(trial.number, ())) for trial in trials)
    endings = Counter(trial.ending for trial in trials).most_common()
    return render(
        "sweep.html.j2", title=content.name, trials=trials, best=best, ending=content.ending,
        decided=content.chosen, left_out=content.left_out, facts=content.facts, refresh_s=content.refresh_s,
        search=content.search, n_drawn=len(drawn), scale_text=scale.explained(objective_names(trials)[0]),
        seeds=not any(t.repeats for t in trials) and len({t.seed for t in trials if t.seed is not None}) > 1,
        chosen=best[0].overrides if best else {}, differences=content.differences, compared=best[:5],
        endings=", ".join(f"{count:,} {ending}" for ending, count in endings),
        inputs=dict.fromkeys(line for trial in trials if trial.data is not None for line in _about(trial.data)),
        seconds=math.fsum(trial.train_seconds for trial in trials), configs=content.configs,
        classes=class_table(best[0]) if best else None,
        measures=_measures(trials), best_measures=_measures(best), varied=varied,
        finalists=content.finalists, sentences=content.sentences, groups=content.groups,
        groups_note=content.groups_note, out_of_fold=content.out_of_fold,
        n_without_curve=len(trials) - with_curve,
        n_completed=len(completed_values(trials)), min_completed=MIN_TRIALS,
        n_without_slice=len(varied) - MAX_SLICES,
        failed=[trial for trial in trials if trial.status in (Status.FAILED, Status.DIVERGED)],
        **{name: [PageFigure(svg.result(), info) for svg, info in begun] for name, begun in figures.items()},
    )  # fmt: skip


def _begin_figures(
    content: SweepContent, varied: Sequence[Parameter], drawn: Sequence[StoredRun], scale: Scale
) -> dict[str, list[_Begun]]:
    """Begins to draw all figures; returns them by their names in the template.

    Args:
        content: What the page shows.
        varied: The parameters.
        drawn: The trials that figures show.
        scale: Of the objective.
    """
    trials, best = content.trials, content.best
    number = best[0].number if best else None
    importances = importances_infos(trials, varied)
    shares = dict(zip(importances[0].names, importances[0].shares, strict=True)) if importances else {}
    ranked = sorted(varied, key=lambda parameter: -shares.get(parameter.key, 0.0))
    learning = learning_info(drawn, content.curves, number, scale)
    draw, few = _FigureMaker(tips(drawn)), parameters(drawn, content.log)
    by_key = {parameter.key: parameter for parameter in few}
    shown = [by_key[parameter.key] for parameter in ranked if parameter.key in by_key]
    return {
        "front": draw(draw_front, front_infos(sampled(best, best), scale)),
        "intervals": draw(draw_intervals, intervals_infos(content.finalists)),
        "history": draw(draw_history, [history_info(drawn, scale, content.baselines)]),
        "learning_curves": draw(draw_learning, [learning] if learning.curves else []),
        "parallel_coordinates": draw(draw_parallel, [parallel_info(trials, varied, scale, number)]),
        "importances": draw(draw_importances, importances),
        "contours": draw(draw_contour, _contours(drawn, shown, scale)),
        "slices": draw(draw_slice, [slice_info(drawn, by, number, scale) for by in shown[:MAX_SLICES]]),
        "timeline": draw(draw_timeline, [timeline_info(trials, {t.number for t in drawn})]),
    }


def _about(data: DataSummary) -> list[str]:
    """What the columns of a table hold, and what training never had of other rows."""
    return [*([f"Inputs: {data.inputs}."] if data.inputs else []), *(f"Note: {note}." for note in data.notes)]


def sampled(trials: Sequence[StoredRun], best: Sequence[StoredRun]) -> list[StoredRun]:
    """The trials that figures show: all, or `MAX_DRAWN`, a tenth of them the best ones and the others evenly spaced.

    Args:
        trials: All trials.
        best: The completed ones, best first.
    """
    if len(trials) <= MAX_DRAWN:
        return list(trials)
    kept = {trial.number for trial in best[: MAX_DRAWN // 10]}
    others = [trial.number for trial in trials if trial.number not in kept]
    n_others = MAX_DRAWN - len(kept)
    kept |= {others[i * len(others) // n_others] for i in range(n_others)}
    return [trial for trial in trials if trial.number in kept]


def _measures(trials: Sequence[StoredRun]) -> list[str]:
    """The metrics with a column: the objectives with their metrics on the test split, and two more. Costs have columns
    of their own."""
    costs = ("n_parameters", "train_seconds", "best_epoch")
    wanted = objective_names(trials)
    names = dict.fromkeys([*wanted, *map(tested, wanted), "val_loss", "test_accuracy"])
    there = [name for name in names if any(trial.metrics.get(name) is not None for trial in trials)]
    return [name for name in there if name not in costs]


Info = TypeVar("Info", bound=Titled)


@dataclass(frozen=True)
class PageFigure:
    """A figure as an SVG element, and its numbers."""

    svg: Markup
    info: Titled


_Begun: TypeAlias = tuple[Drawn[Markup], Titled]


@dataclass(frozen=True)
class _FigureMaker:
    """Begins to draw the figures of the page, which show the same tips over the trials."""

    tips: Mapping[int, str]

    def __call__(self, draw: Callable[[Info], Figure], infos: Iterable[Info | None]) -> list[_Begun]:
        """A figure for each of `infos` that is not None."""
        return [(Drawn(inline_figure, draw, info, self.tips), info) for info in infos if info is not None]


def _contours(trials: Sequence[StoredRun], ranked: Sequence[Parameter], scale: Scale) -> list[ContourInfo]:
    """At most three pairs of the four most important parameters, the most important pairs first."""
    pairs = sorted(combinations(range(min(len(ranked), 4)), 2), key=lambda pair: pair[::-1])
    infos = (contour_info(trials, ranked[x], ranked[y], scale) for x, y in pairs)
    return list(islice(filter(None, infos), 3))
