"""`metrics.csv` and `seeds.csv`: metrics by epoch as text. Plain functions, without torch."""

import csv
import io
import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

from phalanx.core.errors import UnreadableFile
from phalanx.core.reading import MAX_TABLE, opened
from phalanx.core.result import EpochMetrics, TrialResult
from phalanx.runs.conform import LARGEST
from phalanx.runs.layout import RunPaths

T = TypeVar("T")
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
    """The rows of a `metrics.csv`; none if there is no such file. Raises `UnreadableFile` for one of another form."""
    return read_seeds(file).get(None, ())


def read_seeds(file: Path) -> dict[int | None, tuple[EpochMetrics, ...]]:
    """The rows of each seed of a `seeds.csv`; rows without a seed are under None; none if there is no such file.

    Raises `UnreadableFile` for a file of another form.
    """
    found: dict[int | None, list[EpochMetrics]] = {}
    for seed, metrics in _rows(file, COLUMNS, _epoch):
        found.setdefault(seed, []).append(metrics)
    return {seed: tuple(rows) for seed, rows in found.items()}


def read_curve(paths: RunPaths, name: str) -> tuple[list[int], list[float]]:
    """The epochs and the finite values of one column of `metrics.csv`; empty if the file lacks it.

    Raises `UnreadableFile` for a file of another form.
    """

    def point(row: dict[str, str]) -> tuple[int, float]:
        return int(row["epoch"]), float(row[name]) if name in row else math.nan

    points = _rows(paths.metrics, ["epoch"], point)
    kept = [(epoch, value) for epoch, value in points if math.isfinite(value)]
    return [epoch for epoch, _ in kept], [value for _, value in kept]


def _rows(file: Path, needed: Sequence[str], parse: Callable[[dict[str, str]], T]) -> Iterator[T]:
    """What `parse` makes of each row of a table; nothing if there is no such file.

    Args:
        file: The table.
        needed: Columns that it must have.
        parse: Raises `KeyError`, `TypeError` or `ValueError` for a row of another form.

    Yields:
        The parsed rows.

    Raises:
        UnreadableFile: The table is of another form; names the line.
    """
    if not file.exists():
        return
    with opened(file, limit=MAX_TABLE) as content, io.TextIOWrapper(content, "utf-8", newline="") as text:
        lines = csv.DictReader(text)
        try:
            if missing := [name for name in needed if name not in (lines.fieldnames or ())]:
                raise UnreadableFile(file, f"is damaged: it lacks the columns {', '.join(missing)}")
            for row in lines:
                if None in row or None in row.values():
                    raise ValueError("it must have a cell for each column")
                yield parse(row)
        except UnreadableFile:
            raise
        except (KeyError, TypeError, ValueError, csv.Error) as error:
            raise UnreadableFile(file, f"is damaged: line {lines.line_num}: {error}") from error


def _epoch(row: dict[str, str]) -> tuple[int | None, EpochMetrics]:
    seed = row.pop("seed", None)
    values = {key: float(value) for key, value in row.items() if key != "epoch"}
    metrics = EpochMetrics(int(row["epoch"]), **values)
    if not (0 < metrics.epoch < LARGEST and 0 <= metrics.seconds < math.inf):
        raise ValueError("epoch and seconds must be finite numbers above 0")
    return None if seed is None else int(seed), metrics


def mean_history(curves: Sequence[Sequence[EpochMetrics]]) -> tuple[EpochMetrics, ...]:
    """The means over the seeds that were still training in each epoch."""
    history = []
    for place in range(max(map(len, curves))):
        rows = [curve[place] for curve in curves if len(curve) > place]
        means = {name: statistics.fmean(getattr(row, name) for row in rows) for name in COLUMNS if name != "epoch"}
        history.append(EpochMetrics(place + 1, **means))
    return tuple(history)
