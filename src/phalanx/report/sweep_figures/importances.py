"""How much each parameter matters for being among the best trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from phalanx.core.result import Status
from phalanx.report.style import BLUE, TICK, label_axes, name_ticks
from phalanx.report.svg import page_axes
from phalanx.report.sweep_figures.trials import Parameter
from phalanx.runs.stored_run import StoredRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MIN_TRIALS = 20  # completed ones; with fewer, importances are noise
MAX_SHOWN = 12


@dataclass(frozen=True)
class ImportancesInfo:
    """The share of each parameter, the largest first."""

    objective: str
    names: tuple[str, ...]
    shares: tuple[float, ...]  # sum to 1

    @property
    def title(self) -> str:
        return f"Importances for {self.objective}"


def importances_infos(trials: Sequence[StoredRun], varied: Sequence[Parameter]) -> list[ImportancesInfo]:
    """Importances for each objective, by Optuna (PED-ANOVA); nothing if too few trials were completed, or if fewer
    than two parameters vary."""
    from phalanx.study import importances

    done = [i for i, trial in enumerate(trials) if trial.status is Status.COMPLETED and trial.value is not None]
    if len(done) < MIN_TRIALS or len(varied) < 2:
        return []
    points = [{p.key: value for p in varied if (value := p.values[i]) is not None} for i in done]
    logs, infos = {p.key: p.log for p in varied}, []
    for objectives in zip(*(trials[i].objectives for i in done), strict=True):
        values = [objective.value or 0.0 for objective in objectives]
        shares = importances(points, values, objectives[0].direction, logs)
        if shares:
            infos.append(importances_info(objectives[0].name, shares))
    return infos


def importances_info(objective: str, shares: Mapping[str, float]) -> ImportancesInfo:
    """Sorts the shares of the parameters."""
    rows = sorted(shares.items(), key=lambda row: -row[1])
    return ImportancesInfo(objective, tuple(name for name, _ in rows), tuple(share for _, share in rows))


def draw_importances(info: ImportancesInfo) -> Figure:
    """A bar for each of the most important parameters, with its share in numbers."""
    names, shares = info.names[:MAX_SHOWN], info.shares[:MAX_SHOWN]
    figure, axes = page_axes(max(1.5, 0.32 * len(names) + 0.8))
    places = range(len(names), 0, -1)
    axes.barh(list(places), shares, color=BLUE, height=0.6)
    for place, share in zip(places, shares, strict=True):
        axes.text(share + 0.01, place, f"{share:.2f}", va="center", fontsize=TICK)
    name_ticks(axes.yaxis, names, places, limit=26)
    axes.set_xlim(0, 1.12 * max(shares))
    label_axes(axes, x=f"importance for {info.objective}")
    axes.spines[["top", "right"]].set_visible(False)
    return figure
