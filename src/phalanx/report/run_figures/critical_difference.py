"""The critical-difference figure of `phalanx compare --over data` (Demšar 2006): mean ranks on a line, the best at the
left, with a bar over groups that are not shown to differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from phalanx.analysis.compare.found import OverData
from phalanx.analysis.ranks import FRIEDMAN, RankComparison, cliques
from phalanx.report.style import BLACK, BLUE, GREY, LABEL, TICK, VERMILLION, new_figure, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_GROUPS = 40
BAR, ROW = 0.22, 0.42  # heights of a bar and of a name, in inches


def draw_critical_difference(over: OverData) -> Figure:
    """The groups by their mean ranks; beyond `MAX_GROUPS` the worst ones are left out."""
    ranks = over.ranks
    names = [group.label for group in over.groups][:MAX_GROUPS]
    bars = [] if ranks.too_few else list(cliques(ranks))
    n_rows = -(-len(names) // 2)
    below = BAR * (len(bars) + 1) + ROW * n_rows
    above = 1.1 if ranks.critical_difference is not None else 0.6
    figure = new_figure(8.5, below + above + 0.7)
    axes = figure.subplots()
    axes.set_xlim(1 - 0.02 * (len(ranks.mean_ranks) - 1), len(ranks.mean_ranks) * 1.0 + 0.02)
    axes.set_ylim(-below - 0.1, above)
    _draw_line(axes, len(ranks.mean_ranks))
    _draw_ruler(axes, ranks)
    for place, (low, high) in enumerate(bars, start=1):
        axes.plot([low, high], [-BAR * place] * 2, color=VERMILLION, linewidth=4, solid_capstyle="round")
    _draw_names(axes, names, ranks, BAR * (len(bars) + 1))
    left_out = len(over.groups) - len(names)
    more = f" ({left_out} more groups not shown)" if left_out else ""
    axes.set_title(f"mean rank over {ranks.n} data sets, 1 is the best; {_what_a_bar_says(ranks)}{more}",
                   fontsize=LABEL, parse_math=False)  # fmt: skip
    axes.set_axis_off()
    return figure


def _what_a_bar_says(ranks: RankComparison) -> str:
    if ranks.too_few:
        return "too few to test"
    if len(ranks.differences) < math.comb(len(ranks.mean_ranks), 2):
        return "a bar joins a group and the baseline if not shown to differ (Wilcoxon, Holm)"
    return f"a bar joins groups that are not shown to differ ({'Nemenyi' if ranks.test == FRIEDMAN else 'Wilcoxon'})"


def _draw_line(axes: Axes, n_groups: int) -> None:
    axes.plot([1, n_groups], [0, 0], color=BLACK, linewidth=1.2)
    step = -(-n_groups // 20)
    for rank in range(1, n_groups + 1, step):
        axes.plot([rank, rank], [0, 0.09], color=BLACK, linewidth=1.2)
        axes.text(rank, 0.14, str(rank), ha="center", va="bottom", fontsize=TICK)


def _draw_ruler(axes: Axes, ranks: RankComparison) -> None:
    """The critical difference above the line, as long as it is."""
    if (size := ranks.critical_difference) is None:
        return
    ends = [1, min(1 + size, len(ranks.mean_ranks))]
    axes.plot(ends, [0.62, 0.62], color=GREY, linewidth=1.6)
    for x in ends[: 2 if 1 + size <= len(ranks.mean_ranks) else 1]:
        axes.plot([x, x], [0.55, 0.69], color=GREY, linewidth=1.6)
    axes.text(
        sum(ends) / 2, 0.72, f"critical difference {size:.2f}", ha="center", va="bottom", fontsize=TICK, color=GREY
    )


def _draw_names(axes: Axes, names: Sequence[str], ranks: RankComparison, start: float) -> None:
    """The better half at the left, the best on top; the others at the right, the worst on top."""
    n_left = -(-len(names) // 2)
    for place, name in enumerate(names):
        left, rank = place < n_left, ranks.mean_ranks[name]
        row = place if left else len(names) - 1 - place
        y, edge = -start - ROW * (row + 0.5), axes.get_xlim()[0 if left else 1]
        axes.plot([rank, rank, edge], [0, y, y], color=BLUE, linewidth=1.1)
        axes.text(edge, y, f"{shorten(name, 32)}  {rank:.2f} " if left else f" {rank:.2f}  {shorten(name, 32)}",
                  ha="right" if left else "left", va="center", fontsize=LABEL, parse_math=False)  # fmt: skip
