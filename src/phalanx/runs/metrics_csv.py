"""`metrics.csv` and `seeds.csv`: metrics by epoch as text. Plain functions, without torch."""

import contextlib
import csv
import io
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from phalanx.core.result import EpochMetrics, TrialResult
from phalanx.runs.layout import RunPaths

COLUMNS = [f.name for f in fields(EpochMetrics)]


def metrics_csv(history: Iterable[EpochMetrics]) -> str:
    """One row an epoch, with a header."""
    return _csv(COLUMNS, map(asdict, history))


def curves_csv(results: Sequence[TrialResult]) -> str:
    """One row for each seed and epoch, with a header."""
    return _csv(["seed", *COLUMNS], ({"seed": r.seed, **asdict(row)} for r in results for row in r.history))


def _csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def read_metrics(file: Path) -> tuple[EpochMetrics, ...]:
    """The rows of a `metrics.csv`; none if there is no such file."""
    return read_seeds(file).get(None, ())


def read_seeds(file: Path) -> dict[int | None, tuple[EpochMetrics, ...]]:
    """The rows of each seed of a `seeds.csv`; rows without a seed are under None.

    Raises `KeyError`, `TypeError` or `ValueError` for a file of another form.
    """
    if not file.is_file():
        return {}
    found: dict[int | None, list[EpochMetrics]] = {}
    with open(file, newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            seed = row.pop("seed", None)
            values = {key: float(value) for key, value in row.items() if key != "epoch"}
            found.setdefault(None if seed is None else int(seed), []).append(EpochMetrics(int(row["epoch"]), **values))
    return {seed: tuple(rows) for seed, rows in found.items()}


def read_curve(paths: RunPaths, name: str) -> tuple[list[int], list[float]]:
    """The epochs and the finite values of one column of `metrics.csv`; empty if the file lacks it."""
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


def mean_history(curves: Sequence[Sequence[EpochMetrics]]) -> tuple[EpochMetrics, ...]:
    """The means over the seeds that were still training in each epoch."""
    history = []
    for place in range(max(map(len, curves))):
        rows = [curve[place] for curve in curves if len(curve) > place]
        means = {name: statistics.fmean(getattr(row, name) for row in rows) for name in COLUMNS if name != "epoch"}
        history.append(EpochMetrics(place + 1, **means))
    return tuple(history)
