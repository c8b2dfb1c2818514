"""When each trial trained, and in which cohort."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from phalanx.report.style import BLUE, GREY, LABEL, ORANGE, label_axes
from phalanx.report.svg import page_figure, trial_url
from phalanx.report.sweep_figures.trials import Trial

if TYPE_CHECKING:
    from matplotlib.figure import Figure

UNITS = ((7200.0, 3600.0, "hours"), (180.0, 60.0, "minutes"), (0.0, 1.0, "seconds"))
GAP = 0.03  # of the whole that a cut pause is drawn as


@dataclass(frozen=True)
class Bar:
    """One trial: seconds since the first start, with long pauses cut out."""

    number: int
    start: float
    end: float
    cohort: int  # counted from 0 in order of their starts


@dataclass(frozen=True)
class TimelineInfo:
    """Bars in order of their starts. `cuts` are (place, seconds) of the pauses in which nothing trained."""

    bars: tuple[Bar, ...]
    n_cohorts: int
    cuts: tuple[tuple[float, float], ...]
    untimed: int  # trials without times


def timeline_info(trials: Sequence[Trial]) -> TimelineInfo | None:
    """None where no trial has times. A pause is cut where it is longer than all training together."""
    timed = [(t["timing"]["started"], t["timing"]["ended"], str(t["timing"].get("cohort") or f"alone {t['number']}"),
              t["number"]) for t in trials if _has_times(t)]  # fmt: skip
    if not timed:
        return None
    timed.sort(key=lambda row: (row[0], row[3]))
    cohorts = {name: place for place, name in enumerate(dict.fromkeys(row[2] for row in timed))}
    pauses = _pauses([(start, end) for start, end, _, _ in timed])
    busy = max(end for _, end, _, _ in timed) - timed[0][0] - sum(end - start for start, end in pauses)
    long = [(start, end) for start, end in pauses if end - start > max(busy, 1.0)]
    space = GAP * max(busy, 1e-9)

    def place(moment: float) -> float:
        cut = sum(end - start - space for start, end in long if end <= moment)
        return moment - timed[0][0] - cut

    bars = tuple(Bar(number, place(start), place(end), cohorts[name]) for start, end, name, number in timed)
    cuts = tuple((place(end) - space / 2, end - start) for start, end in long)
    return TimelineInfo(bars, len(cohorts), cuts, len(trials) - len(timed))


def _has_times(trial: Trial) -> bool:
    times = trial.get("timing") or {}
    return all(isinstance(times.get(key), (int, float)) for key in ("started", "ended"))


def _pauses(spans: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The times between the first start and the last end in which no span runs; spans come in order of their starts."""
    found, reached = [], spans[0][1]
    for start, end in spans[1:]:
        if start > reached:
            found.append((reached, start))
        reached = max(reached, end)
    return found


def unit_of(seconds: float) -> tuple[float, str]:
    """The length of the unit that suits such a time, in seconds, and its name."""
    return next((length, name) for least, length, name in UNITS if seconds >= least)


def draw_timeline(info: TimelineInfo) -> Figure:
    """A bar a trial, the first at the top; neighbouring cohorts differ in colour and height."""
    figure = page_figure(min(2.4 + 0.03 * len(info.bars), 5.0))
    axes = figure.subplots()
    length, unit = unit_of(max(bar.end for bar in info.bars))
    for row, bar in enumerate(info.bars):
        odd = bar.cohort % 2
        axes.barh(row, max(bar.end - bar.start, 1e-6) / length, left=bar.start / length, height=0.5 if odd else 0.95,
                  color=ORANGE if odd else BLUE, linewidth=0, url=trial_url(bar.number))  # fmt: skip
    for place, seconds in info.cuts:
        axes.axvline(place / length, color=GREY, linestyle=":", linewidth=1.2)
        gap, name = unit_of(seconds)
        axes.text(place / length, 1.0, f" pause of {seconds / gap:.1f} {name}", fontsize=LABEL - 2.5, va="bottom",
                  ha="center", transform=axes.get_xaxis_transform())  # fmt: skip
    axes.set_ylim(len(info.bars) - 0.4, -0.6)
    label_axes(axes, x=f"{unit} of the sweep", y="trials by start")
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.grid(axis="x", alpha=0.3)
    return figure
