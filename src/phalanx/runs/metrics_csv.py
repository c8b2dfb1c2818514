"""`metrics.csv` and `seeds.csv`: curves as text, written and read. Plain functions, without torch."""

from __future__ import annotations

import contextlib
import csv
import io
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path

from phalanx.core.result import EpochMetrics, TrialResult
from phalanx.runs.layout import RunPaths

COLUMNS = [f.name for f in fields(EpochMetrics)]


def metrics_csv(history: Iterable[EpochMetrics]) -> str:
    """One row an epoch, with a header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in history)
    return text.getvalue()


def read_curves(file: Path) -> tuple[EpochMetrics, ...]:
    """The rows of a `metrics.csv`; none if there is no such file."""
    return read_seeds(file).get(None, ())


def read_seeds(file: Path) -> dict[int | None, tuple[EpochMetrics, ...]]:
    """The rows of each seed of a `seeds.csv`; a file without that column has them under None."""
    if not file.is_file():
        return {}
    found: dict[int | None, list[EpochMetrics]] = {}
    with open(file, newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            seed = row.pop("seed", None)
            values = {key: int(value) if key == "epoch" else float(value) for key, value in row.items()}
            found.setdefault(None if seed is None else int(seed), []).append(EpochMetrics(**values))
    return {seed: tuple(rows) for seed, rows in found.items()}


def curves_csv(results: Sequence[TrialResult]) -> str:
    """One row for each seed and epoch, with a header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, ["seed", *(f.name for f in fields(EpochMetrics))], lineterminator="\n")
    writer.writeheader()
    for result in results:
        writer.writerows({"seed": result.seed, **asdict(row)} for row in result.history)
    return text.getvalue()


def mean_history(curves: Sequence[Sequence[EpochMetrics]]) -> tuple[EpochMetrics, ...]:
    """Means over the seeds that were still training in each epoch."""
    longest = max(map(len, curves))
    names = [f.name for f in fields(EpochMetrics) if f.name != "epoch"]
    history = []
    for place in range(longest):
        there = [rows[place] for rows in curves if len(rows) > place]
        means = {name: statistics.fmean(getattr(row, name) for row in there) for name in names}
        history.append(EpochMetrics(epoch=place + 1, **means))
    return tuple(history)


def read_metrics(paths: RunPaths) -> tuple[EpochMetrics, ...]:
    """The rows of `metrics.csv`; none if the run has no such file."""
    return read_curves(paths.metrics)


def read_curve(paths: RunPaths, name: str) -> tuple[list[int], list[float]]:
    """Epochs and the values of one column of `metrics.csv`; finite ones only, none where the file lacks it."""
    epochs: list[int] = []
    values: list[float] = []
    if paths.metrics.is_file():
        with open(paths.metrics, newline="", encoding="utf-8", errors="replace") as file:
            for row in csv.DictReader(file):
                with contextlib.suppress(KeyError, TypeError, ValueError):
                    epoch, value = int(row["epoch"]), float(row[name])
                    if math.isfinite(value):
                        epochs.append(epoch)
                        values.append(value)
    return epochs, values
