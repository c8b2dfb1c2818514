"""The timeline: when each trial trained, and in which cohort."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from phalanx.report.style import GREY, TICK, integer_ticks, label_axes, legend_below
from phalanx.report.svg import page_axes, trial_url
from phalanx.report.sweep_figures.learning_curves import LOOKS
from phalanx.runs.stored_run import StoredRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure

UNITS = ((7200.0, 3600.0, "hours"), (180.0, 60.0, "minutes"), (0.0, 1.0, "seconds"))  # used from, length in seconds


@dataclass(frozen=True)
class Bar:
    """One trial."""

    number: int
    start: float  # seconds since the first start, with long pauses cut out
    end: float
    cohort: int  # from 0, in the order of their starts
    status: str


@dataclass(frozen=True)
class TimelineInfo:
    """The times of all trials that have times."""

    title: ClassVar = "When each trial trained"
    bars: tuple[Bar, ...]  # in the order of their starts
    n_cohorts: int
    cuts: tuple[tuple[float, float], ...]  # place and seconds of each long pause in which nothing trained
    n_untimed: int  # trials without times


def timeline_info(trials: Sequence[StoredRun], only: Collection[int] | None = None) -> TimelineInfo | None:
    """The times of the trials; None if none has times. A pause is cut if it is longer than all training together.

    Args:
        trials: All trials.
        only: The numbers of those that get a bar; None for all.
    """
    timed = [(t.timing.started, t.timing.ended, t.timing.cohort or f"alone {t.number}", t.number, t.status)
             for t in trials if t.timing is not None]  # fmt: skip
    if not timed:
        return None
    timed.sort(key=lambda row: (row[0], row[3]))
    cohorts = {name: place for place, name in enumerate(dict.fromkeys(row[2] for row in timed))}
    pauses = _pauses([(start, end) for start, end, *_ in timed])
    busy = max(end for _, end, *_ in timed) - timed[0][0] - sum(end - start for start, end in pauses)
    long = [(start, end) for start, end in pauses if end - start > max(busy, 1.0)]
    space = 0.03 * max(busy, 1e-9)  # the width of a cut pause

    def place(moment: float) -> float:
        return moment - timed[0][0] - sum(end - start - space for start, end in long if end <= moment)

    bars = tuple(
        Bar(number, place(start), place(end), cohorts[name], status)
        for start, end, name, number, status in timed
        if only is None or number in only
    )
    cuts = tuple((place(end) - space / 2, end - start) for start, end in long)
    return TimelineInfo(bars, len(cohorts), cuts, len(trials) - len(timed))


def _pauses(spans: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The spans of time in which none of the given ones runs, which come in the order of their starts."""
    found, reached = [], spans[0][1]
    for start, end in spans[1:]:
        if start > reached:
            found.append((reached, start))
        reached = max(reached, end)
    return found


def unit_of(seconds: float) -> tuple[float, str]:
    """The unit that suits a time: its length in seconds, and its name."""
    return next((length, name) for least, length, name in UNITS if seconds >= least)


def draw_timeline(info: TimelineInfo) -> Figure:
    """A bar for each trial in the colour of its status, the first at the top; neighbouring cohorts differ in height."""
    figure, axes = page_axes(min(2.6 + 0.03 * len(info.bars), 5.0))
    named: set[str] = set()
    length, unit = unit_of(max(bar.end for bar in info.bars))
    for row, bar in enumerate(info.bars):
        label = None if bar.status in named else bar.status
        axes.barh(row, max(bar.end - bar.start, 1e-6) / length, left=bar.start / length,
                  height=0.5 if bar.cohort % 2 else 0.95, color=LOOKS.get(bar.status, LOOKS["failed"])[0], linewidth=0,
                  url=trial_url(bar.number), label=label)  # fmt: skip
        named.add(bar.status)
    for place, seconds in info.cuts:
        axes.axvline(place / length, color=GREY, linestyle=":", linewidth=1.2)
        gap, name = unit_of(seconds)
        axes.text(place / length, 1.0, f" pause of {seconds / gap:.1f} {name}", fontsize=TICK, va="bottom",
                  ha="center", transform=axes.get_xaxis_transform())  # fmt: skip
    axes.set_ylim(len(info.bars) - 0.4, -0.6)
    label_axes(axes, x=f"{unit} of the sweep", y="trials by start", grid="x")
    integer_ticks(axes.yaxis)
    legend_below(figure, axes, n_columns=4, handletextpad=0.5)
    return figure
