"""The report of one run: what it reached, its figures, its configuration, and where it comes from."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from phalanx.core.result import EpochMetrics
from phalanx.report.pages.page import Cell, figure, listing, page, pairs, paragraphs, table, text
from phalanx.report.pages.tables import decimals
from phalanx.report.run_figures.curves import curves_info, draw_curves
from phalanx.report.svg import inline

SPLITS = {"train": "training", "val": "validation", "test": "test"}
MEASURES = ("loss", "accuracy", "likelihood")
FIRST = "curves"  # the figure that comes first; it is three panels wide
FACTS = ("n_parameters", "best_epoch", "epochs", "train_seconds", "samples_per_second", "device", "seed",
         "config_digest", "data_digest", "mlflow_run_id")  # fmt: skip


@dataclass(frozen=True)
class RunContent:
    """Everything that a run's report shows: `result` is `result.json`, `plots` are PNG files by name."""

    name: str
    result: Mapping[str, Any]
    config: str = ""
    history: Sequence[EpochMetrics] = ()
    plots: Mapping[str, bytes] = field(default_factory=dict)


def run_html(content: RunContent) -> str:
    """The whole page."""
    result = content.result
    sections = [
        ("Metrics", _metrics(result)),
        ("Seeds", _seeds(result)),
        ("Figures", _figures(content)),
        ("Configuration", listing(content.config) if content.config else ""),
        ("Facts", pairs({**{key: result.get(key) for key in FACTS}, **_origin(result)})),
    ]
    return page(content.name, _lead(result), sections)


def _lead(result: Mapping[str, Any]) -> list[str]:
    objective = result["objective"]
    lines = [f"{result['status']} after {result['epochs']} epochs."]
    if objective["value"] is not None:
        lines.append(f"{objective['name']}: {objective['value']:.6g} at epoch {result['best_epoch']}.")
    if result.get("error"):
        lines.append(f"Error: {result['error']}")
    return lines


def _metrics(result: Mapping[str, Any]) -> str:
    """Numbers at the saved weights, a row a split."""
    metrics = result["metrics"]
    rows = [[Cell(name), *(Cell(decimals(metrics.get(f"{split}_{m}")), True) for m in MEASURES)]
            for split, name in SPLITS.items()]  # fmt: skip
    return table(["split", *MEASURES], rows)


def _seeds(result: Mapping[str, Any]) -> str:
    rows = [
        [Cell(str(row["seed"]), True), Cell(row["status"]), Cell(decimals(row["value"]), True),
         Cell(str(row.get("error") or ""))]
        for row in result.get("repeats") or ()
    ]  # fmt: skip
    return table(["seed", "status", result["objective"]["name"] or "value", "error"], rows) if rows else ""


def _figures(content: RunContent) -> str:
    if content.plots:
        return "".join(_image(name, content.plots[name]) for name in sorted(content.plots, key=lambda n: n != FIRST))
    if not content.history:
        return paragraphs(["No epoch was trained, so there are no curves."], "note")
    drawing = draw_curves(curves_info(content.history, content.result["best_epoch"]))
    note = "This run kept no weights, so there are no other figures (tracking.keep says how many trials keep them)."
    return figure(inline(drawing, "curves by epoch"), "Curves by epoch", least="50rem") + paragraphs([note], "note")


def _image(name: str, data: bytes) -> str:
    source = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    broad = ' class="broad"' if name == FIRST else ""
    return f'<div class="wide"><img{broad} alt="{text(name)}" src="{source}"></div>\n'


def _origin(result: Mapping[str, Any]) -> dict[str, Any]:
    git = result.get("git") or {}
    commit = f"{git.get('commit')}{', with uncommitted changes' if git.get('dirty') else ''}"
    return {"git commit": commit, **(result.get("versions") or {})}
