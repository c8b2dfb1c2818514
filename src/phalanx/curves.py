"""`metrics.csv` and `seeds.csv`: curves as text, written and read. Plain functions, without torch."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path

from phalanx.result import EpochMetrics

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
