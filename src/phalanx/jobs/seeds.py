"""Several seeds of one trial: their results as one."""

import statistics
from collections.abc import Sequence
from dataclasses import replace

from phalanx.analysis.statistics import lower_bound
from phalanx.core.result import Metrics, Status, TrialResult
from phalanx.runs.metrics_csv import mean_history
from phalanx.runs.stored_run import SeedResult

AGGREGATES = ("mean", "lower_bound")


def combined(results: Sequence[TrialResult], aggregate: str = "mean") -> TrialResult:
    """Combines the results of several seeds: means of metrics and curves, and the objective by `aggregate`.

    Seed, best epoch and weights are those of the first seed. If one seed diverged, so has the trial, since a mean over
    the others would be too good.

    Args:
        results: One or more; a single result is returned as it is.
        aggregate: One of `AGGREGATES`.
    """
    first, objective = results[0], results[0].objective
    if len(results) == 1:
        return first
    statuses = {result.status for result in results}
    status = next((s for s in (Status.FAILED, Status.DIVERGED, Status.PRUNED) if s in statuses), Status.COMPLETED)
    value = None
    if status in (Status.COMPLETED, Status.PRUNED):
        values = [result.objective.value for result in results if result.objective.value is not None]
        direction = "maximize" if objective.direction == "maximize" else "minimize"
        value = statistics.fmean(values) if aggregate == "mean" else lower_bound(values, direction)
    errors = [f"seed {result.seed}: {result.error}" for result in results if result.error is not None]
    timings = [result.timing for result in results if result.timing is not None]
    metrics = [result.metrics.flat() for result in results]
    names = dict.fromkeys(name for row in metrics for name in row)
    return replace(
        first,
        status=status,
        objective=replace(objective, value=value),
        metrics=Metrics.from_flat({name: _mean([row.get(name) for row in metrics]) for name in names}),
        history=mean_history([result.history for result in results]),
        epochs=max(result.epochs for result in results),
        train_seconds=sum(result.train_seconds for result in results),
        samples_per_second=statistics.fmean(result.samples_per_second for result in results),
        error=f"{errors[0]} ({len(errors)} of {len(results)} seeds)" if errors else None,
        timing=replace(timings[0], ended=max(timing.ended for timing in timings)) if timings else None,
        classes=None,  # each seed has its own
    )


def seed_results(results: Sequence[TrialResult]) -> list[SeedResult]:
    """The result of each seed as `result.json` has it."""
    return [
        SeedResult(
            r.seed, r.status, r.objective.value, r.metrics.flat(), r.best_epoch, r.epochs, r.error, classes=r.classes
        )
        for r in results
    ]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if len(known) == len(values) else None
