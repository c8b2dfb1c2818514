"""`metrics.csv` and `seeds.csv`: metrics by epoch as text. Plain functions, without torch."""

import csv
import io
import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias, TypeVar

from phalanx.core.errors import UnreadableFile
from phalanx.core.reading import MAX_TABLE, opened
from phalanx.core.result import EpochMetrics, TrialResult, unflat
from phalanx.runs.conform import LARGEST
from phalanx.runs.layout import RunPaths

T = TypeVar("T")
Place: TypeAlias = tuple[int | None, int | None, int | None]  # seed, split seed and fold of a curve
NOWHERE: Place = (None, None, None)  # of a table without these columns
PLACE_COLUMNS = ("seed", "split_seed", "fold")
COLUMNS = [f.name for f in fields(EpochMetrics) if f.name != "further"]  # those that every table has


def columns_of(history: Sequence[EpochMetrics]) -> list[str]:
    """The names of the numbers of each epoch."""
    return [*COLUMNS, *dict.fromkeys(name for row in history for name in row.further)]


def metrics_csv(history: Sequence[EpochMetrics]) -> str:
    """One row an epoch, with a header."""
    return _csv(columns_of(history), (row.flat() for row in history))


def curves_csv(results: Sequence[TrialResult], places: Sequence[Place] | None = None) -> str:
    """One row for each trial and epoch, with a header.

    Args:
        results: Trials of different seeds, splits or folds.
        places: Seed, split seed and fold of each; without them the seeds alone tell the trials apart.
    """
    columns = columns_of([row for result in results for row in result.history])
    found = [(r.seed, None, None) for r in results] if places is None else places
    named = [name for name, values in zip(PLACE_COLUMNS, zip(*found, strict=True), strict=True) if {*values} != {None}]
    rows = (
        {**{name: number for name, number in zip(PLACE_COLUMNS, place, strict=True) if name in named}, **row.flat()}
        for place, result in zip(found, results, strict=True)
        for row in result.history
    )
    return _csv([*named, *columns], rows)


def _csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def read_metrics(file: Path, n_epochs: int = 0) -> tuple[EpochMetrics, ...]:
    """The rows of a `metrics.csv`; none if there is no such file.

    Raises `UnreadableFile` for a file of another form, or of fewer rows than `n_epochs`, the epochs that were trained.
    """
    return read_seeds(file, {NOWHERE: n_epochs}).get(NOWHERE, ())


def check_length(file: Path, n_epochs: int) -> None:
    """Raises `UnreadableFile` if a `metrics.csv` that is there has fewer rows than `n_epochs`. Counts lines alone."""
    if file.exists():
        with opened(file, limit=MAX_TABLE) as content:
            _check_length(file, sum(1 for line in content if line.strip()) - 1, n_epochs)


def _check_length(file: Path, n_rows: int, n_epochs: int, place: Place = NOWHERE) -> None:
    if n_rows < n_epochs and file.exists():
        epochs = "epochs" if place == NOWHERE else f"epochs of {place_text(place)}"
        raise UnreadableFile(
            file, f"is damaged: it has {max(n_rows, 0)} of the {n_epochs} {epochs} that its result.json names"
        )


def read_seeds(
    file: Path, n_epochs: Mapping[Place, int] = MappingProxyType({})
) -> dict[Place, tuple[EpochMetrics, ...]]:
    """The rows of each trial of a `seeds.csv`, by seed, split seed and fold; none if there is no such file.

    Args:
        file: The table.
        n_epochs: The epochs that each was trained.

    Raises:
        UnreadableFile: The file is of another form, or a trial has fewer rows than epochs.
    """
    found: dict[Place, list[EpochMetrics]] = {}
    for place, metrics in _rows(file, COLUMNS, _epoch):
        found.setdefault(place, []).append(metrics)
    for place, n in n_epochs.items():
        _check_length(file, len(found.get(place, ())), n, place)
    return {place: tuple(rows) for place, rows in found.items()}


def place_text(place: Place) -> str:
    """Names a trial among those of one point, such as `seed 1, fold 3`."""
    words = zip(("seed", "split", "fold"), place, strict=True)
    return ", ".join(f"{word} {number}" for word, number in words if number is not None)


def read_curve(paths: RunPaths, name: str, n_epochs: int = 0) -> tuple[list[int], list[float]]:
    """The epochs and the finite values of one column of `metrics.csv`; empty if the file lacks it.

    Raises as `read_metrics`.
    """

    def point(row: dict[str, str]) -> tuple[int, float]:
        return int(row["epoch"]), float(row[name]) if name in row else math.nan

    points = list(_rows(paths.metrics, ["epoch"], point))
    _check_length(paths.metrics, len(points), n_epochs)
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


def _epoch(row: dict[str, str]) -> tuple[Place, EpochMetrics]:
    seed, split_seed, fold = (int(row.pop(name)) if name in row else None for name in PLACE_COLUMNS)
    values = {key: float(value) for key, value in row.items() if key != "epoch"}
    metrics = EpochMetrics(int(row["epoch"]), **unflat(EpochMetrics, values))
    if not (0 < metrics.epoch < LARGEST and 0 <= metrics.seconds < math.inf):
        raise ValueError("epoch and seconds must be finite numbers above 0")
    return (seed, split_seed, fold), metrics


def mean_history(curves: Sequence[Sequence[EpochMetrics]]) -> tuple[EpochMetrics, ...]:
    """The means over the seeds that were still training in each epoch."""
    history = []
    for place in range(max(map(len, curves))):
        rows = [curve[place] for curve in curves if len(curve) > place]
        names = [name for name in columns_of(rows) if name != "epoch"]
        means = {name: statistics.fmean(row[name] for row in rows) for name in names}
        history.append(EpochMetrics(place + 1, **unflat(EpochMetrics, means)))
    return tuple(history)
