"""The notes, in Markdown, that MLflow shows at the top of a run's page."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from phalanx.core.redaction import redact
from phalanx.runs.layout import RunPaths, relative
from phalanx.tracking.limits import finite, typed
from phalanx.tracking.records import RunRecord

NO_WEIGHTS = "This run kept no weights."


def run_note(record: RunRecord, run_id: str | None = None) -> str:
    """Returns how the run ended, its metrics, and, if its id is given and it kept its weights, how to load them."""
    epochs = f" after {record.history[-1].epoch} epochs" if record.history else ""
    lines = [f"**{record.ending}**{epochs}", "", *metric_table("metric", finite(record.metrics))]
    lines += [f"Folder: `{relative(record.folder)}`", ""]
    if run_id is None or not RunPaths(record.folder).model.is_file():
        return redact("\n".join([*lines, NO_WEIGHTS]))
    lines += [
        "```python",
        "from phalanx.runs.model_file import load_model",
        "",
        f"model = load_model({relative(record.folder)!r})",
        "probabilities = model.predict(rows)",
        "```",
        "",
        f"Again, with changes: `python train.py from_run={run_id}`",
        "",
        "From another machine, fetch the file first and load that: "
        f"`mlflow artifacts download --run-id {run_id} --artifact-path model.safetensors --dst-path .`",
    ]
    return redact("\n".join(lines))


def sweep_note(root: Path, summary: Mapping[str, Any], status: str, path: str) -> str:
    """Returns how a sweep ended, and its best trial.

    Args:
        root: The sweep's folder.
        summary: What its manifest says, with `metrics` and `params` of the best trial.
        status: How it ended.
        path: Of the page that lists its trials.
    """
    folder, metrics, params = relative(root), finite(summary.get("metrics") or {}), summary.get("params") or {}
    lines = [
        f"**{status}**",
        "",
        f"**[The trials of this sweep]({path})**",
        "",
        *metric_table("best trial", metrics),
        *metric_table("with", params),
    ]
    return redact("\n".join([*lines, f"Folder: `{folder}`", "", f"Its report: `{folder}/report.html`"]))


def metric_table(title: str, entries: Mapping[str, Any]) -> list[str]:
    """Returns the lines of a Markdown table of the entries and an empty one; none if there are no entries."""
    if not entries:
        return []
    texts = {key: f"{value:.6g}" if isinstance(value, float) else typed(value) for key, value in entries.items()}
    return [f"| {title} | value |", "| --- | --- |", *(f"| {key} | {text} |" for key, text in texts.items()), ""]
