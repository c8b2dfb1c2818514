"""Puts names, values, curves and batches into the form and the limits that MLflow accepts. Does not import MLflow."""

import json
import math
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from phalanx.core.redaction import redact
from phalanx.core.result import EpochMetrics

T = TypeVar("T")
Point = tuple[str, float, int, int]  # metric, value, time in ms since 1970, step

# MLflow's limits: characters of names and values, and entries of one `log_batch`.
NAME, PARAM, TAG = 250, 6000, 8000
PER_BATCH = {"metrics": 1000, "params": 100, "tags": 100}
BATCH_ENTRIES = 1000
BATCH_BYTES = 700_000  # a request may have 1e6; the rest is for JSON's own marks
EVERY_EPOCH = 500  # so many epochs of a curve are logged each; metrics.csv has them all


def cut(text: str, limit: int) -> str:
    """Returns `text` in at most `limit` characters, all of which every database can store."""
    text = text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
    return text if len(text) <= limit else text[: limit - 1] + "…"


def typed(value: Any) -> str:
    """Returns a value as it is typed on the command line."""
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(typed, value)) + "]"
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)


def legal_name(name: str) -> str:
    """Returns `name` with underscores for what MLflow refuses in names; it refuses paths that are not normal too."""
    name = re.sub(r"[^/\w.\- ]", "_", cut(name, NAME))
    if name == "" or posixpath.normpath(name) != name or name.startswith(("/", "..")) or name == ".":
        name = ("_" + name.replace("/", "_"))[:NAME]
    return name


def named(entries: Mapping[str, T]) -> dict[str, T]:
    """Returns the entries under legal and distinct names."""
    found: dict[str, T] = {}
    for key, value in entries.items():
        name, count = legal_name(key), 1
        while name in found:
            count += 1
            name = f"{legal_name(key)[: NAME - 5]}_{count}"
        found[name] = value
    return found


def legal(entries: Mapping[str, Any], limit: int) -> dict[str, str]:
    """Returns params or tags as MLflow takes them: values of at most `limit` characters with no secret in URLs."""
    return {name: cut(redact(typed(value)), limit) for name, value in named(entries).items()}


def finite(metrics: Mapping[str, float | None]) -> dict[str, float]:
    """Returns the metrics that a chart can show: MLflow stores infinity as 1.8e308, which flattens every axis."""
    return named({key: float(value) for key, value in metrics.items() if value is not None and math.isfinite(value)})


def curves(history: Sequence[EpochMetrics], start_ms: int, best: int | None = None, ended: bool = False) -> list[Point]:
    """Returns the points of all curves, named `epoch/val_loss` and so on, at the epochs that are logged.

    Args:
        history: All epochs.
        start_ms: When the first one began, in ms since 1970.
        best: The epoch whose weights are saved, which is always logged.
        ended: Whether the last epoch is the last one, which is then always logged.
    """
    points, clock = list[Point](), start_ms / 1000
    always = {best, history[-1].epoch if ended and history else None}
    for row in history:
        clock += row.seconds
        if is_logged(row.epoch) or row.epoch in always:
            values = row.flat()
            step = int(values.pop("epoch"))
            points += [(f"epoch/{key}", value, int(clock * 1000), step) for key, value in finite(values).items()]
    return points


def is_logged(epoch: int) -> bool:
    """Whether a curve has a point at this epoch: each up to 500, every second up to 1000, every fourth up to 2000 …

    The rule knows the epoch alone, so a curve that is logged while it grows has the same points as one that is logged
    at its end.
    """
    stride = 1
    while epoch > EVERY_EPOCH * stride:
        stride *= 2
    return epoch % stride == 0


def batches(given: Mapping[str, Iterable[Any]]) -> Iterator[dict[str, list[Any]]]:
    """Yields keyword arguments for `log_batch`, each inside MLflow's limits of entries and bytes.

    `given` has MLflow's entities by kind: `params`, `tags`, `metrics`.
    """
    batch: dict[str, list[Any]] = {kind: [] for kind in PER_BATCH}
    size = count = 0
    for kind, entries in given.items():
        for entry in entries:
            more = 150 + len(entry.key) if kind == "metrics" else len(json.dumps([entry.key, entry.value]))
            if count == BATCH_ENTRIES or len(batch[kind]) == PER_BATCH[kind] or size + more > BATCH_BYTES:
                yield batch
                batch, size, count = {kind: [] for kind in PER_BATCH}, 0, 0
            batch[kind].append(entry)
            size, count = size + more, count + 1
    if count:
        yield batch
