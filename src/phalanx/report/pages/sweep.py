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
from phalanx.report.pages.page import figure, figures, page, paragraphs
from phalanx.report.svg import inline
from phalanx.report.sweep_figures.contour import ContourInfo, contour_info, draw_contour
from phalanx.report.sweep_figures.front import draw_front, front_infos
from phalanx.report.sweep_figures.history import draw_history, history_info
from phalanx.report.sweep_figures.importances import FEWEST, draw_importances, importance_info
from phalanx.report.sweep_figures.intervals import draw_intervals
from phalanx.report.sweep_figures.learning import Curve, draw_learning, learning_info
from phalanx.report.sweep_figures.parallel import draw_parallel, parallel_info
from phalanx.report.sweep_figures.slices import draw_slice, slice_info
from phalanx.report.sweep_figures.timeline import draw_timeline, timeline_info
from phalanx.report.sweep_figures.trials import Parameter, Trial, completed, objective_names, parameters, tips

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_SLICES = 12
MOST_PAIRED = 4  # of the most important parameters are tried against each other
MOST_CONTOURS = 3

# (objective, parameter) -> share, for the trials given: what `phalanx.study` computes.
Importances = Callable[[Sequence[Trial], Sequence[Parameter], int], Mapping[str, float]]


@dataclass(frozen=True)
class SweepContent:
    """Everything that a sweep's report shows. `trials` are in order of numbers, `best` the completed ones, best first.

    `curves` are the objective by epoch of each trial; `configs` the texts of the best trials' configurations;
    `compared` are tables and sentences about groups of several seeds, as `Group tables` of `phalanx compare`.
    """

    name: str
    direction: str
    trials: Sequence[Trial]
    best: Sequence[Trial]
    curves: Mapping[int, Curve] = field(default_factory=dict)
    configs: Mapping[int, str] = field(default_factory=dict)
    finalists: Sequence[Mapping[str, Any]] = ()
    sentences: Sequence[str] = ()
    compared: tables.Compared | None = None
    ending: str | None = None
    importances: Importances | None = None
    log: Mapping[str, bool] = field(default_factory=dict)  # which keys were drawn on a logarithmic scale


def sweep_html(content: SweepContent) -> str:
    """The whole page."""
    varied = parameters(content.trials, log=content.log)
    drawn = _Drawn(tips(content.trials))
    importances = _importances(content, varied)
    sections = [
        ("Pareto front", _front(content, drawn)),
        ("Best trials", tables.best_table(content.best, varied, content.configs)),
        ("Final on fresh seeds", _final(content, varied, drawn)),
        ("Groups of seeds", tables.compared_table(content.compared)),
        ("History and learning curves", _curves(content, drawn)),
        ("Parameters", _parameters(content, varied, importances, drawn)),
        ("Time line", _timeline(content, drawn)),
        ("Failures", tables.failures(content.trials, varied)),
        ("All trials", tables.all_trials(content.trials, varied)),
    ]
    return page(content.name, _lead(content), sections)


class _Drawn:
    """Makes figures' HTML; all of a page's share the tips over its trials."""

    def __init__(self, tips: Mapping[int, str]) -> None:
        self.tips = tips

    def __call__(self, drawing: Figure, title: str, caption: str = "", least: str = "") -> str:
        return figure(inline(drawing, title, self.tips), title, caption, least)


def _lead(content: SweepContent) -> list[str]:
    """How many trials of which end, how long they trained, and what the best one reached."""
    ends = Counter(ended_as(trial) for trial in content.trials)
    seconds = math.fsum(trial.get("train_seconds") or 0.0 for trial in content.trials)
    counts = ", ".join(f"{count:,} {status}" for status, count in ends.most_common())
    lines = [f"{len(content.trials):,} trials: {counts or 'none'}. {seconds:,.1f} s of training."]
    if content.ending:
        lines.append(f"Ended: {content.ending}.")
    if content.best:
        best = content.best[0]
        name, value = best["objective"]["name"], best["objective"]["value"]
        lines.append(f"Best {name}: {value:.6g}, trial {best['number']} (complete in best_config.yaml).")
    else:
        lines.append("No trial was completed.")
    return lines


def _importances(content: SweepContent, varied: Sequence[Parameter]) -> dict[str, Mapping[str, float]]:
    """Importances of all parameters, for each objective; none where the trials are too few to tell."""
    done = completed(content.trials)
    if content.importances is None or len(done) < FEWEST or len(varied) < 2:
        return {}
    names = objective_names(done)
    found = {name: content.importances(content.trials, varied, place) for place, name in enumerate(names)}
    return {name: shares for name, shares in found.items() if shares}


def _front(content: SweepContent, drawn: _Drawn) -> str:
    if len(objective_names(content.best)) < 2:
        return ""
    captions = "A trial of the front can only be bettered in one objective at the cost of another."
    return figures(*(drawn(draw_front(info), f"{info.first} against {info.other}", captions)
                     for info in front_infos(content.best)))  # fmt: skip


def _final(content: SweepContent, varied: Sequence[Parameter], drawn: _Drawn) -> str:
    rows = content.finalists
    if not rows:
        return ""
    name = objective_names(content.trials)[0]
    shown = [
        drawn(draw_intervals(rows, measure, title), title)
        for measure, title in (("objective", name), ("test_accuracy", "test accuracy"))
        if all(row[measure] is not None for row in rows)
    ]
    return figures(*shown) + tables.final_table(rows, name, varied) + paragraphs(content.sentences)


def _curves(content: SweepContent, drawn: _Drawn) -> str:
    best = content.best[0]["number"] if content.best else None
    history = history_info(content.trials, content.direction)
    parts = []
    if history.done[0] or history.pruned[0]:
        parts.append(drawn(draw_history(history), "Optimisation history"))
    learning = learning_info(content.trials, content.curves, best, content.direction)
    if learning.curves:
        parts.append(drawn(draw_learning(learning), "Learning curves",
                           "A line a trial; a mark shows where it was stopped."))  # fmt: skip
    missing = len(content.trials) - len(learning.curves)
    note = [f"{missing:,} trials have no curve (no metrics.csv, or no finite value)."] if missing else []
    return figures(*parts) + paragraphs(note, "note")


def _parameters(
    content: SweepContent, varied: Sequence[Parameter], importances: Mapping[str, Mapping[str, float]], drawn: _Drawn
) -> str:  # fmt: skip
    if not varied:
        return paragraphs(["No parameter varies but the seed."], "note")
    order = next(iter(importances.values()), {})
    ranked = sorted(varied, key=lambda p: -order.get(p.key, 0.0))
    best = content.best[0]["number"] if content.best else None
    parts = [
        drawn(draw_importances(importance_info(name, shares)), f"Importances for {name}",
              "How much each parameter tells the best tenth of the trials from the others (PED-ANOVA).")
        for name, shares in importances.items()
    ]  # fmt: skip
    parts += [
        drawn(
            draw_contour(contour), f"{contour.x.key} and {contour.y.key}",
            "Light is good." + (" A dot a trial." if not contour.cells else ""),
        )
        for contour in _contours(content, ranked)
    ]  # fmt: skip
    infos = [slice_info(content.trials, parameter, best, content.direction) for parameter in ranked[:MOST_SLICES]]
    parts += [drawn(draw_slice(info), info.key) for info in infos if info.numbers]
    notes = [] if importances else [_no_importances(content, varied)]
    if len(ranked) > MOST_SLICES:
        notes.append(f"{len(ranked) - MOST_SLICES} more parameters are in the table of all trials.")
    return _parallel(content, varied, drawn) + figures(*parts) + paragraphs(notes, "note")


def _no_importances(content: SweepContent, varied: Sequence[Parameter]) -> str:
    if len(varied) < 2:
        return "With one parameter that varies there are no importances to tell apart."
    n = len(completed(content.trials))
    return f"Importances are told from {FEWEST} completed trials on; there are {n}." if n < FEWEST else (
        "Importances could not be told from these trials."
    )  # fmt: skip


def _contours(content: SweepContent, ranked: Sequence[Parameter]) -> list[ContourInfo]:
    """The most important pairs of parameters that can be drawn against each other."""
    pairs = sorted(combinations(range(min(len(ranked), MOST_PAIRED)), 2), key=lambda pair: pair[::-1])
    infos = (contour_info(content.trials, ranked[x], ranked[y], content.direction) for x, y in pairs)
    return list(islice((info for info in infos if info is not None), MOST_CONTOURS))


def _parallel(content: SweepContent, varied: Sequence[Parameter], drawn: _Drawn) -> str:
    info = parallel_info(content.trials, varied, content.direction)
    if info is None:
        return ""
    caption = "A line a completed trial; the best tenth is coloured and dashed."
    least = f"{max(30, 5 * len(info.axes))}rem"
    return figures(drawn(draw_parallel(info), "Parallel coordinates", caption, least))


def _timeline(content: SweepContent, drawn: _Drawn) -> str:
    info = timeline_info(content.trials)
    if info is None:
        return paragraphs(["No times recorded."], "note")
    cohorts = "1 cohort" if info.n_cohorts == 1 else f"{info.n_cohorts:,} cohorts"
    caption = f"A bar a trial; {cohorts}, told apart by colour and height from their neighbours."
    untimed = f" {info.untimed:,} trials have no times." if info.untimed else ""
    return figures(drawn(draw_timeline(info), "When each trial trained", caption + untimed))
