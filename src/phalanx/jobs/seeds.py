"""One trial trained with several seeds: their results as one."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, fields, replace

from phalanx.analysis.statistics import lower_bound
from phalanx.core.result import Metrics, Status, TrialResult
from phalanx.runs.metrics_csv import mean_history
from phalanx.runs.stored_run import SeedResult

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
        values = [value for result in results if (value := result.objective.value) is not None]
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
        timing=first.timing and replace(first.timing, ended=max(r.timing.ended for r in results if r.timing)),
    )


def seed_results(results: Sequence[TrialResult]) -> list[SeedResult]:
    """What each seed reached, for `result.json`."""
    return [
        SeedResult(r.seed, r.status, r.objective.value, asdict(r.metrics), r.best_epoch, r.epochs, r.error)
        for r in results
    ]


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
