"""Several seeds, folds and splits of one trial: their results as one."""

import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

from phalanx.analysis.repeats import repeat_of
from phalanx.analysis.statistics import lower_bound
from phalanx.analysis.student import evaluated_share
from phalanx.core.result import Metrics, Status, TrialResult
from phalanx.data import Dataset
from phalanx.runs.metrics_csv import mean_history, place_text
from phalanx.runs.stored_run import SeedResult
from phalanx.training.spec import TrialSpec

_Numbers: TypeAlias = tuple[int, int | None, int | None]  # seed, split seed and fold
AGGREGATES = ("mean", "lower_bound")


def combined(
    results: Sequence[TrialResult], aggregate: str = "mean", specs: Sequence[TrialSpec] = (), correlation: float = 0.0
) -> TrialResult:
    """Combines the results of several seeds, folds and splits: means of metrics and curves, and the objective by
    `aggregate`.

    Seed, best epoch and weights are those of the first. If one diverged, so has the trial, since a mean over the others
    would be too good.

    Args:
        results: One or more; a single result is returned as it is.
        aggregate: One of `AGGREGATES`. A lower bound counts each fold, or split, as one value: the mean over its seeds.
        specs: What was trained, where folds or splits differ.
        correlation: Of the values of two folds, of `correlation_of_folds`.
    """
    first, objective = results[0], results[0].objective
    if len(results) == 1:
        return first
    places = _places(results, specs)
    statuses = {result.status for result in results}
    status = next((s for s in (Status.FAILED, Status.DIVERGED, Status.PRUNED) if s in statuses), Status.COMPLETED)
    has_value = status in (Status.COMPLETED, Status.PRUNED)
    value = _objective(results, places, aggregate, correlation) if has_value else None
    errors = [
        f"{place_text(place)}: {result.error}"
        for place, result in zip(places, results, strict=True)
        if result.error is not None
    ]
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
        error=f"{errors[0]} ({len(errors)} of {len(results)} {_called(specs)})" if errors else None,
        timing=replace(timings[0], ended=max(timing.ended for timing in timings)) if timings else None,
        classes=None,  # each has its own
    )


def _objective(
    results: Sequence[TrialResult], places: Sequence[_Numbers], aggregate: str, correlation: float
) -> float:  # fmt: skip
    pairs = zip(map(repeat_of, places), results, strict=True)
    values = {repeat: r.objective.value for repeat, r in pairs if r.objective.value is not None}
    if aggregate == "mean":
        return statistics.fmean(values.values())
    direction = "maximize" if results[0].objective.direction == "maximize" else "minimize"
    return lower_bound(values, direction, correlation=correlation)


def seed_results(
    results: Sequence[TrialResult], specs: Sequence[TrialSpec] = (), datasets: Sequence[Dataset] = ()
) -> list[SeedResult]:
    """The result of each seed, fold and split as `result.json` has it.

    Args:
        results: The results.
        specs: What was trained, where folds or splits differ.
        datasets: The data of each.
    """
    apart = len({spec.data for spec in specs}) > 1
    return [
        SeedResult(
            r.seed, r.status, r.objective.value, r.metrics.flat(), r.best_epoch, r.epochs, r.error, split_seed,
            datasets[place].digest if apart else None, r.classes, fold,
        )
        for place, (r, (_, split_seed, fold)) in enumerate(zip(results, _places(results, specs), strict=True))
    ]  # fmt: skip


def correlation_of_folds(specs: Sequence[TrialSpec], datasets: Sequence[Dataset]) -> float:
    """The correlation of the validation metrics of two folds, by the training rows that they share alone (Nadeau and
    Bengio 2003): the largest `evaluated_share`. 0 where there are not several folds.

    Args:
        specs: What was trained.
        datasets: The data of each.
    """
    if len({spec.data.fold for spec in specs}) == 1:
        return 0.0
    return max(evaluated_share(len(data.train), len(data.val)) for data in datasets)


def _places(results: Sequence[TrialResult], specs: Sequence[TrialSpec]) -> list[_Numbers]:
    """Seed, split seed and fold of each result, the last two None where all have the same data."""
    if len({spec.data for spec in specs}) < 2:
        return [(result.seed, None, None) for result in results]
    has_folds = len({spec.data.fold for spec in specs}) > 1
    return [(spec.seed, spec.data.split_seed, spec.data.fold if has_folds else None) for spec in specs]


def _called(specs: Sequence[TrialSpec]) -> str:
    return "trainings" if len({spec.data for spec in specs}) > 1 else "seeds"


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if len(known) == len(values) else None
