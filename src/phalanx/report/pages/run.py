"""The report of one run: what it reached, its figures, its configuration, and where it comes from."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from phalanx.core.result import EpochMetrics
from phalanx.report.pages.render import Column, Table, decimals, render
from phalanx.report.run_figures.curves import curves_info, draw_curves
from phalanx.report.svg import inline
from phalanx.runs.provenance import GitState
from phalanx.runs.stored_run import SeedResult, StoredRun

SPLITS = {"train": "training", "val": "validation", "test": "test"}
MEASURES = ("loss", "accuracy", "likelihood")
FACTS = ("n_parameters", "best_epoch", "epochs", "train_seconds", "samples_per_second", "device", "seed",
         "config_digest", "data_digest", "mlflow_run_id")  # fmt: skip


@dataclass(frozen=True)
class RunContent:
    """Everything that a run's report shows; `plots` are PNG files by name."""

    name: str
    result: StoredRun
    config: str = ""
    history: Sequence[EpochMetrics] = ()
    plots: Mapping[str, bytes] = field(default_factory=dict)


def run_html(content: RunContent) -> str:
    """The whole page."""
    curves_first = sorted(content.plots, key=lambda name: name != "curves")
    images = [
        (name, f"data:image/png;base64,{base64.b64encode(content.plots[name]).decode()}") for name in curves_first
    ]
    return render(
        "run.html.j2", title=content.name, result=content.result, config=content.config, images=images,
        curves=_curves(content), metrics=_metrics_table(content.result), seeds=_seeds_table(content.result),
        facts=_facts_table(content.result),
    )  # fmt: skip


def _curves(content: RunContent) -> Markup | None:
    """The curves of a run that kept no plots."""
    if content.plots or not content.history:
        return None
    drawing = draw_curves(curves_info(content.history, content.result.best_epoch))
    return inline(drawing, "curves by epoch")


def _metrics_table(result: StoredRun) -> Table[str]:
    """The metrics at the saved weights, a row a split."""

    def column(measure: str) -> Column[str]:
        return Column(measure, lambda split: decimals(result.metrics.get(f"{split}_{measure}")), "number")

    return Table([Column("split", lambda split: SPLITS[split]), *map(column, MEASURES)], tuple(SPLITS))


def _seeds_table(result: StoredRun) -> Table[SeedResult]:
    columns: list[Column[SeedResult]] = [
        Column("seed", lambda row: row.seed, "number"),
        Column("status", lambda row: row.status),
        Column(result.objective.name or "value", lambda row: decimals(row.value), "number"),
        Column("error", lambda row: row.error or ""),
    ]
    return Table(columns, result.repeats)


def _facts_table(result: StoredRun) -> Table[tuple[str, Any]]:
    git = result.git or GitState()
    commit = f"{git.commit}{', with uncommitted changes' if git.dirty else ''}"
    facts = {**{key: getattr(result, key) for key in FACTS}, "git commit": commit, **(result.versions or {})}
    return Table([Column("", lambda fact: fact[0]), Column("", lambda fact: fact[1], "number")], tuple(facts.items()))
