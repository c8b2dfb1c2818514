"""One trial trained with several seeds: their results as one."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from typing import Any

from phalanx.result import EpochMetrics, Metrics, Status, TrialResult
from phalanx.statistics import lower_bound

AGGREGATES = ("mean", "lower_bound")


def combined(results: Sequence[TrialResult], aggregate: str = "mean") -> TrialResult:
    """The seeds' results as one: means of the metrics and curves, and the objective by `aggregate`.

    Seed, best epoch and weights are those of the first seed. A trial of which one seed diverged has diverged, since
    a mean over the others would praise it.
    """
    first = results[0]
    if len(results) == 1:
        return first
    status = _status(results)
    value = None
    if status in (Status.COMPLETED, Status.PRUNED):
        values = [result.objective.value for result in results]
        value = statistics.fmean(values) if aggregate == "mean" else lower_bound(values, first.objective.direction)
    return replace(
        first,
        status=status,
        objective=replace(first.objective, value=value),
        metrics=_mean_metrics(results),
        history=mean_history([result.history for result in results]),
        epochs=max(result.epochs for result in results),
        train_seconds=sum(result.train_seconds for result in results),
        samples_per_second=statistics.fmean(result.samples_per_second for result in results),
        error=_error(results),
        timing=first.timing and replace(first.timing, ended=max(result.timing.ended for result in results)),
    )


def rows(results: Sequence[TrialResult]) -> list[dict[str, Any]]:
    """What each seed reached, for `result.json`."""
    return [
        {
            "seed": result.seed, "status": str(result.status), "value": result.objective.value,
            "metrics": asdict(result.metrics), "best_epoch": result.best_epoch, "epochs": result.epochs,
            "error": result.error,
        }
        for result in results
    ]  # fmt: skip


def curves_csv(results: Sequence[TrialResult]) -> str:
    """One row for each seed and epoch, with a header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, ["seed", *(f.name for f in fields(EpochMetrics))], lineterminator="\n")
    writer.writeheader()
    for result in results:
        writer.writerows({"seed": result.seed, **asdict(row)} for row in result.history)
    return text.getvalue()


def _status(results: Sequence[TrialResult]) -> Status:
    found = {result.status for result in results}
    for status in (Status.FAILED, Status.DIVERGED, Status.PRUNED):
        if status in found:
            return status
    return Status.COMPLETED


def _error(results: Sequence[TrialResult]) -> str | None:
    bad = [result for result in results if result.error is not None]
    if not bad:
        return None
    return f"seed {bad[0].seed}: {bad[0].error} ({len(bad)} of {len(results)} seeds)"


def _mean_metrics(results: Sequence[TrialResult]) -> Metrics:
    means = {}
    for f in fields(Metrics):
        values = [getattr(result.metrics, f.name) for result in results]
        means[f.name] = None if None in values else statistics.fmean(values)
    return Metrics(**means)


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
