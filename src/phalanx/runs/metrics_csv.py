"""`metrics.csv` and `seeds.csv`: metrics by epoch as text. Plain functions, without torch."""

import contextlib
import csv
import io
import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from phalanx.core.errors import UnreadableFile
from phalanx.core.reading import MAX_TABLE, opened
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


@contextlib.contextmanager
def _rows(file: Path, needed: Sequence[str], errors: str = "strict") -> Iterator[Iterable[dict[str, str]]]:
    """The rows of a table by column, where `needed` are columns that it has. Raises `UnreadableFile` if it has not."""
    try:
        with opened(file, limit=MAX_TABLE) as content, io.TextIOWrapper(content, "utf-8", errors, newline="") as lines:
            rows = csv.DictReader(lines)
            if missing := [name for name in needed if name not in (rows.fieldnames or ())]:
                raise UnreadableFile(file, f"is damaged: it lacks the columns {', '.join(missing)}")
            yield rows
    except (csv.Error, UnicodeDecodeError) as error:
        raise UnreadableFile(file, f"is damaged: {error}") from error


def read_metrics(file: Path) -> tuple[EpochMetrics, ...]:
    """The rows of a `metrics.csv`; none if there is no such file."""
    return read_seeds(file).get(None, ())


def read_seeds(file: Path) -> dict[int | None, tuple[EpochMetrics, ...]]:
    """The rows of each seed of a `seeds.csv`; rows without a seed are under None.

    Raises `UnreadableFile` for a file of another form.
    """
    if not file.is_file():
        return {}
    found: dict[int | None, list[EpochMetrics]] = {}
    with _rows(file, COLUMNS) as rows:
        for place, row in enumerate(rows):
            try:
                seed = row.pop("seed", None)
                values = {key: float(value) for key, value in row.items() if key != "epoch"}
                metrics = EpochMetrics(int(row["epoch"]), **values)
                found.setdefault(None if seed is None else int(seed), []).append(metrics)
            except (TypeError, ValueError, OverflowError) as error:
                raise UnreadableFile(file, f"is damaged: row {place + 1} is no epoch: {error}") from error
    return {seed: tuple(rows) for seed, rows in found.items()}


def read_curve(paths: RunPaths, name: str) -> tuple[list[int], list[float]]:
    """The epochs and the finite values of one column of `metrics.csv`; empty if the file lacks it or is damaged."""
    epochs: list[int] = []
    values: list[float] = []
    with contextlib.suppress(FileNotFoundError, UnreadableFile), _rows(paths.metrics, (), "replace") as rows:
        for row in rows:
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
