"""What is logged about a run, in the form that MLflow accepts: plain functions, without MLflow."""

from __future__ import annotations

import getpass
import hashlib
import json
import math
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from phalanx.core.redaction import redact
from phalanx.core.result import EpochMetrics, Status
from phalanx.runs.layout import RunPaths, relative
from phalanx.runs.stored_run import DataSummary, StoredRun
from phalanx.tracking.connection import Unusable

T = TypeVar("T")
Point = tuple[str, float, int, int]  # metric, value, time in ms since the epoch, step

# MLflow's limits, in characters, and in entries of one `log_batch`.
KEY, PARAM, TAG = 250, 6000, 8000
PER_BATCH = {"metrics": 1000, "params": 100, "tags": 100}
BATCH_ENTRIES = 1000
BATCH_BYTES = 700_000  # a request may have 1e6; the rest is for JSON's own marks
TEXT = (".json", ".yaml", ".csv", ".log", ".html", ".md", ".diff")
POINTS = 500  # of one curve; MLflow's page draws fewer, and metrics.csv has them all

NO_WEIGHTS = "This run kept no weights."


@dataclass(frozen=True)
class RunRecord:
    """What is known of one run, ready to be logged: a single run, a trial of a sweep, or one seed of a trial."""

    key: str  # its place in what is delivered: "" itself, "3" a trial, "3/seed 7" a seed of it
    name: str
    folder: Path
    params: Mapping[str, Any]  # flat: "optimizer.lr": 0.1
    metrics: Mapping[str, float | None]  # at the saved weights; None is left out
    history: Sequence[EpochMetrics]
    tags: Mapping[str, str]
    status: Status | None  # None: it still trains
    interrupted: bool = False
    start_ms: int | None = None  # since the epoch
    end_ms: int | None = None
    data: DataSummary | None = None
    result: StoredRun | None = None  # None where the files are another record's

    @property
    def ending(self) -> str:
        """How it ended, in one word."""
        return "interrupted" if self.interrupted else "training" if self.status is None else str(self.status)

    @property
    def state(self) -> str:
        """MLflow's word for how it ended; a pruned trial did what it was asked to."""
        if self.interrupted:
            return "KILLED"
        if self.status is None:
            return "RUNNING"
        return "FINISHED" if self.status in (Status.COMPLETED, Status.PRUNED) else "FAILED"

    @property
    def parent_key(self) -> str | None:
        """The key of the record under which this one stands; None for the topmost."""
        return self.key.rpartition("/seed ")[0] if self.key else None


def cause(error: BaseException, uri: str) -> str:
    """One line of at most 300 characters that says what went wrong, with nothing secret in it."""
    line = " ".join(str(error).split())
    if type(error).__name__ == "UnsupportedModelRegistryStoreURIException":
        line = "the tracking URI has an unknown scheme; known are sqlite:///file.db, http://, https://, postgresql://"
    elif not isinstance(error, Unusable):
        line = f"{type(error).__name__}: {line}"
    return cut(redact(line, uri), 300).rstrip(".")


def cut(text: str, limit: int) -> str:
    """`text` in at most `limit` characters, all of which every database can store."""
    text = text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
    return text if len(text) <= limit else text[: limit - 1] + "…"


def shown(value: Any) -> str:
    """A value as a person types it on the command line."""
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(shown, value)) + "]"
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)


def legal_name(name: str) -> str:
    """`name` with what MLflow refuses in names replaced by underscores. It also refuses what is no tidy path."""
    name = re.sub(r"[^/\w.\- ]", "_", cut(name, KEY))
    if name == "" or posixpath.normpath(name) != name or name.startswith(("/", "..")) or name == ".":
        name = ("_" + name.replace("/", "_"))[:KEY]
    return name


def named(entries: Mapping[str, T]) -> dict[str, T]:
    """The entries under legal and distinct names."""
    found: dict[str, T] = {}
    for key, value in entries.items():
        name, count = legal_name(key), 1
        while name in found:
            count += 1
            name = f"{legal_name(key)[: KEY - 5]}_{count}"
        found[name] = value
    return found


def legal(entries: Mapping[str, Any], limit: int) -> dict[str, str]:
    """Params or tags as MLflow takes them: values of at most `limit` characters with no secret in URLs."""
    return {name: cut(redact(shown(value)), limit) for name, value in named(entries).items()}


def finite(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The metrics that a chart can show. MLflow stores infinity as 1.8e308, which flattens every axis, and NaN says
    no more than the status `diverged`."""
    return named({key: float(value) for key, value in metrics.items() if value is not None and math.isfinite(value)})


def curves(history: Sequence[EpochMetrics], start_ms: int) -> list[Point]:
    """The points of all curves, named `epoch/val_loss` and so on; of a long history, `POINTS` epochs."""
    points, clock = [], start_ms / 1000
    kept = set(spread(len(history)))
    for index, row in enumerate(history):
        values = asdict(row)
        clock += row.seconds
        if index in kept:
            step = values.pop("epoch")
            points += [(f"epoch/{key}", value, int(clock * 1000), step) for key, value in finite(values).items()]
    return points


def spread(count: int) -> list[int]:
    """At most `POINTS` of the positions 0 … count-1, evenly spaced, with the first and the last."""
    return list(range(count)) if count <= POINTS else [round(i * (count - 1) / (POINTS - 1)) for i in range(POINTS)]


def batches(metrics: Iterable[Any], params: Iterable[Any], tags: Iterable[Any]) -> Iterator[dict[str, list[Any]]]:
    """Keyword arguments for `log_batch`, each inside MLflow's limits of entries and bytes."""
    batch: dict[str, list[Any]] = {kind: [] for kind in PER_BATCH}
    size = count = 0
    for kind, entries in (("params", params), ("tags", tags), ("metrics", metrics)):
        for entry in entries:
            more = 150 + len(entry.key) if kind == "metrics" else len(json.dumps([entry.key, entry.value]))
            if count == BATCH_ENTRIES or len(batch[kind]) == PER_BATCH[kind] or size + more > BATCH_BYTES:
                yield batch
                batch, size, count = {kind: [] for kind in PER_BATCH}, 0, 0
            batch[kind].append(entry)
            size, count = size + more, count + 1
    if count:
        yield batch


def run_files(paths: RunPaths, log: bool) -> list[tuple[Path, str | None]]:
    """The small files of a run, with the artifact folder that each goes to; those that exist."""
    plain = [paths.metrics, paths.seeds, paths.config_resolved, *([paths.log] if log else [])]
    found: list[tuple[Path, str | None]] = [(path, None) for path in plain if path.is_file()]
    return found + [(path, "hydra") for path in sorted(paths.config.parent.glob("*.yaml"))]


def late_files(paths: RunPaths) -> list[tuple[Path, str | None]]:
    """The log, and what only a kept run has: weights and plots; those that exist."""
    found: list[tuple[Path, str | None]] = [(path, None) for path in (paths.log, paths.model) if path.is_file()]
    return found + [(path, "plots") for path in sorted(paths.plots.glob("*.png"))]


def sweep_files(root: Path) -> list[tuple[Path, str | None]]:
    """The files of a sweep that exist; its trials have their own runs."""
    kinds = (".csv", ".yaml", ".html", ".json", ".md", ".png")
    own = [path for path in sorted(root.iterdir()) if path.suffix in kinds and not path.name.startswith(".")]
    return [(path, None) for path in own if path.is_file() and path.name not in ("sweep.json", "multirun.yaml")]


def digest(told: Any) -> str:
    """Tells one content from another."""
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def origin(source: str) -> dict[str, str]:
    """The tags from which MLflow's page fills its columns User and Source."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"  # a container without an account for its user id
    return {"mlflow.user": user, "mlflow.source.name": source, "mlflow.source.type": "LOCAL"}


def run_note(record: RunRecord, run_id: str | None = None) -> str:
    """Markdown shown on top of a run's page: how it ended, the numbers, how to load the model if its id is given."""
    epochs = f" after {record.history[-1].epoch} epochs" if record.history else ""
    table = _table("metric", finite(record.metrics))
    lines = [f"**{record.ending}**{epochs}", "", *table, f"Folder: `{relative(record.folder)}`", ""]
    return redact("\n".join([*lines, *_loading(RunPaths(record.folder), run_id)]))


def _loading(paths: RunPaths, run_id: str | None) -> list[str]:
    """How to load the weights, if the folder has them."""
    if run_id is None or not paths.model.is_file():
        return [NO_WEIGHTS]
    return [
        "```python",
        "from phalanx.runs.model_file import load_model",
        "",
        f"model = load_model({relative(paths.root)!r})",
        "probabilities = model.predict(rows)",
        "```",
        "",
        f"Again, with changes: `python train.py from_run={run_id}`",
        "",
        "From another machine, fetch the file first and load that: "
        f"`mlflow artifacts download --run-id {run_id} --artifact-path model.safetensors --dst-path .`",
    ]


def sweep_note(status: str, metrics: Mapping[str, Any], params: Mapping[str, Any], folder: Path) -> str:
    """Markdown shown on top of a sweep's page."""
    path = relative(folder)
    lines = [f"**{status}**", "", *_table("best trial", finite(metrics)), *_table("with", params)]
    return redact("\n".join([*lines, f"Folder: `{path}`", "", f"Its report: `{path}/report.html`"]))


def source_json(source: str) -> str:
    """Where data came from, in the form of MLflow's data set sources."""
    return json.dumps({"uri": source})


def splits(data: DataSummary, digest: str) -> list[tuple[str, str, str, str]]:
    """Name, digest, source and profile of each split, as MLflow's data set inputs take them, by context."""
    found = []
    for split, context in (("train", "training"), ("val", "validation"), ("test", "testing")):
        rows = getattr(data, f"n_{split}")
        profile = {"num_rows": rows, "n_features": data.n_features, "n_classes": data.n_classes}
        # MLflow takes two inputs of one name and digest for one.
        found.append((context, f"{digest}-{split}", redact(data.source), json.dumps(profile)))
    return found


def _table(title: str, entries: Mapping[str, Any]) -> list[str]:
    if not entries:
        return []
    rows = [f"| {key} | {value:.6g} |" if isinstance(value, float) else f"| {key} | {shown(value)} |"
            for key, value in entries.items()]  # fmt: skip
    return [f"| {title} | value |", "| --- | --- |", *rows, ""]
