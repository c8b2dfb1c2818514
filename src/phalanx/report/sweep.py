"""`report.html` of a sweep: one file that opens offline, with its history, its best trials and its failures."""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from phalanx.report.style import BLUE, GREY, LABEL, VERMILLION, label_axes, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROWS = 50  # trials in the table of the best
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 1rem auto; padding: 0 1rem; color: #111; }
h1, h2 { line-height: 1.2; } img { max-width: 100%; height: auto; } .wide { overflow-x: auto; }
table { border-collapse: collapse; } td, th { padding: .2rem .7rem; border-bottom: 1px solid #ccc; text-align: left; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
"""


@dataclass(frozen=True)
class HistoryInfo:
    """Objective values by trial number, the best so far at each of them, and the trials that have no value."""

    objective: str
    numbers: tuple[int, ...]
    values: tuple[float, ...]
    best: tuple[float, ...]
    failed: tuple[int, ...]


def history_info(trials: Sequence[Mapping[str, Any]], direction: str) -> HistoryInfo:
    """What the history figure shows, from the trials as `result.json` has them, in order of numbers."""
    valued = [t for t in trials if t["objective"]["value"] is not None]
    better, best, so_far = max if direction == "maximize" else min, [], None
    for trial in valued:
        value = trial["objective"]["value"]
        so_far = value if so_far is None else better(so_far, value)
        best.append(so_far)
    return HistoryInfo(
        objective=valued[0]["objective"]["name"] if valued else "objective",
        numbers=tuple(t["number"] for t in valued),
        values=tuple(t["objective"]["value"] for t in valued),
        best=tuple(best),
        failed=tuple(t["number"] for t in trials if t["objective"]["value"] is None),
    )


def draw_history(info: HistoryInfo) -> Figure:
    """A dot a trial, a line for the best so far, a cross on the ground for each trial without a value."""
    figure = new_figure(9, 4)
    axes = figure.subplots()
    axes.plot(info.numbers, info.values, "o", color=BLUE, markersize=5, label="trial")
    axes.step(info.numbers, info.best, where="post", color=VERMILLION, linewidth=2, label="best so far")
    if info.failed:
        ground = axes.get_xaxis_transform()
        axes.plot(info.failed, [0.02] * len(info.failed), "x", color=GREY, transform=ground, label="failed or diverged")
    label_axes(axes, x="trial number", y=info.objective)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=LABEL, loc="best")
    return figure


def draw_front(best: Sequence[Mapping[str, Any]]) -> Figure:
    """The first objective against each of the others; the Pareto front as a line through its trials."""
    others = best[0]["objectives"][1:]
    figure = new_figure(9, 4 * len(others))
    for place, axes in enumerate(figure.subplots(len(others), 1, squeeze=False).ravel(), start=1):
        for on_front, colour, label in ((False, GREY, "trial"), (True, VERMILLION, "Pareto front")):
            chosen = [trial["objectives"] for trial in best if bool(trial.get("front")) is on_front]
            points = sorted((found[place]["value"], found[0]["value"]) for found in chosen)
            line = "o-" if on_front and len(others) == 1 else "o"
            axes.plot(*zip(*points, strict=True) if points else ((), ()), line, color=colour, markersize=6, label=label)
        label_axes(axes, x=others[place - 1]["name"], y=best[0]["objective"]["name"])
        axes.grid(alpha=0.3)
        axes.legend(fontsize=LABEL, loc="best")
    return figure


def draw_final(finalists: Sequence[Mapping[str, Any]]) -> Figure:
    """Mean and 95 % interval of each finalist, on the objective and on the test split."""
    figure = new_figure(9, 1.4 + 0.45 * len(finalists))
    for axes, measure in zip(figure.subplots(1, 2), ("objective", "test_accuracy"), strict=True):
        for place, row in enumerate(reversed(finalists)):
            low, high = row[f"{measure}_low"], row[f"{measure}_high"]
            if low is not None:
                axes.plot([low, high], [place, place], "-", color=BLUE, linewidth=2)
            axes.plot(row[measure], place, "o", color=VERMILLION)
        axes.set_yticks(range(len(finalists)), [f"trial {row['number']}" for row in reversed(finalists)])
        axes.margins(y=0.25)
        label_axes(axes, x=f"{measure.replace('_', ' ')}, mean and 95 % interval")
        axes.grid(alpha=0.3)
    return figure


def report_html(
    name: str, trials: Sequence[Mapping[str, Any]], best: Sequence[Mapping[str, Any]], direction: str,
    finalists: Sequence[Mapping[str, Any]] = (), sentences: Sequence[str] = (),
) -> str:  # fmt: skip
    """The whole page. `best` holds the trials that have a value, best first; `finalists` the rows of the final."""
    failed = [trial for trial in trials if trial["objective"]["value"] is None]
    keys = list(dict.fromkeys(key for trial in trials for key in trial["overrides"]))
    varied = [key for key in keys if len({trial["overrides"].get(key) for trial in trials}) > 1] or keys
    seconds = math.fsum(trial["train_seconds"] or 0.0 for trial in trials)
    parts = [
        f"<h1>{html.escape(name)}</h1>",
        f"<p>{len(trials)} trials, {len(failed)} failed or diverged, {seconds:,.1f} s of training.</p>",
    ]
    if best:
        parts += [
            "<h2>History</h2>",
            _image(draw_history(history_info(trials, direction)), "objective by trial number"),
        ]
        if len(best[0].get("objectives", ())) > 1:
            parts += ["<h2>Pareto front</h2>", _image(draw_front(best), "objectives against each other")]
        if finalists:
            parts += ["<h2>Final on fresh seeds</h2>", _image(draw_final(finalists), "means and intervals")]
            parts += [f"<p>{html.escape(text)}</p>" for text in sentences]
        parts += ["<h2>Best trials</h2>", _best_table(best[:ROWS], varied)]
        parts += ["<h2>Best configuration</h2>", "<p>Complete in <code>best_config.yaml</code>.</p>"]
    if failed:
        parts += ["<h2>Failures</h2>", _failures(failed, varied)]
    head = f"<meta charset=utf-8><meta name=viewport content='width=device-width'><title>{html.escape(name)}</title>"
    return (
        f"<!doctype html><html lang=en><head>{head}<style>{STYLE}</style></head><body>\n"
        + "\n".join(parts)
        + "</body></html>\n"
    )


def _best_table(best: Sequence[Mapping[str, Any]], varied: Sequence[str]) -> str:
    objective = best[0]["objective"]["name"]
    header = ["trial", objective, "val loss", "test accuracy", "parameters", "best epoch", "seconds", *varied]
    rows = []
    for trial in best:
        metrics = trial["metrics"]
        numbers = [
            str(trial["number"]), _decimals(trial["objective"]["value"]), _decimals(metrics["val_loss"]),
            _decimals(metrics["test_accuracy"]), f"{trial['n_parameters']:,}", str(trial["best_epoch"]),
            f"{trial['train_seconds']:.2f}",
        ]  # fmt: skip
        rows.append((numbers, [str(trial["overrides"].get(key, "")) for key in varied]))
    return _table(header, rows)


def _failures(failed: Sequence[Mapping[str, Any]], varied: Sequence[str]) -> str:
    rows = [
        ([str(t["number"])], [t["status"], str(t["error"]), *(str(t["overrides"].get(key, "")) for key in varied)])
        for t in failed
    ]
    return _table(["trial", "status", "error", *varied], rows)


def _table(header: Sequence[str], rows: Sequence[tuple[Sequence[str], Sequence[str]]]) -> str:
    """Rows are (numbers, texts): numbers are set to the right."""
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    body = "".join(
        "<tr>" + "".join(f"<td class=number>{html.escape(c)}</td>" for c in numbers)
        + "".join(f"<td>{html.escape(c)}</td>" for c in texts) + "</tr>\n"
        for numbers, texts in rows
    )  # fmt: skip
    return f"<div class=wide><table><tr>{head}</tr>\n{body}</table></div>"


def _image(figure: Figure, description: str) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    data = base64.b64encode(buffer.getvalue()).decode()
    return f"<img alt='{html.escape(description)}' src='data:image/png;base64,{data}'>"


def _decimals(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
