"""Trials of baselines: each is fitted whole, in one epoch, where a network trains many. Axes: N samples, C classes."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from phalanx.core.baselines import FITTED
from phalanx.core.callbacks import Callback
from phalanx.core.device import label
from phalanx.core.result import (
    ClassCounts,
    EpochMetrics,
    Metrics,
    Objective,
    Snapshot,
    State,
    Status,
    Timing,
    TrialResult,
)
from phalanx.data import Dataset, Split
from phalanx.nn.losses.stacked import StackedLoss
from phalanx.nn.metrics.compute import Wanted
from phalanx.nn.models.base import Depths, ModelSpec
from phalanx.nn.models.dropout import Dropout
from phalanx.nn.models.estimator import EstimatorSpec, load_libraries
from phalanx.nn.models.layout import Layout
from phalanx.training.evaluation import NOTHING, Scores, evaluate
from phalanx.training.metric_check import by_field, class_counts, final_metrics, stored_metrics
from phalanx.training.spec import TrialSpec, config_digest

CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class _Given(ModelSpec):
    """Takes its inputs for logits, so that what an estimator computed is measured as the logits of a network are."""

    def forward(
        self, tensors: Sequence[Tensor], x_TBD: Tensor, dropout: Dropout | None = None, depths: Depths = None
    ) -> Tensor:
        return x_TBD


class EstimatorCohort:
    """Trials of one kind of baseline, as `training.cohort.Cohort`: they join between epochs. An `epoch` fits one trial.

    Nothing of it is trained step by step, so there is no state to resume from: a trial that is interrupted is fitted
    again.

    Args:
        like: Any of the trials.
        dataset: The data of `like`.
        callback: Is told of each trial that has been fitted.
        test: Whether results have test metrics.
    """

    steps_per_epoch = 1

    def __init__(
        self, like: TrialSpec, dataset: Dataset, callback: Callback | None = None, *, test: bool = True
    ) -> None:
        self.dataset, self.callback, self.test = dataset.to(CPU), callback or Callback(), test
        self.waiting: dict[int, tuple[TrialSpec, Dataset]] = {}  # by position
        self.ended: dict[int, TrialResult] = {}  # results of trials that had ended before they joined
        self.n_joined, self.name = 0, uuid.uuid4().hex[:8]

    @property
    def running(self) -> int:
        """The number of trials whose result `epoch` has not returned yet."""
        return len(self.waiting) + len(self.ended)

    def join(
        self, specs: Sequence[TrialSpec], states: Sequence[State] = (), datasets: Sequence[Dataset] | None = None
    ) -> list[int]:
        """Adds trials and returns their positions; the arguments are those of `Cohort.join`."""
        positions = list(range(self.n_joined, self.n_joined + len(specs)))
        known = dict(zip(positions, states, strict=False))
        self.ended |= {p: state for p, state in known.items() if isinstance(state, TrialResult)}
        own = [dataset.to(CPU) for dataset in datasets] if datasets else [self.dataset] * len(specs)
        trials = zip(positions, zip(specs, own, strict=True), strict=True)
        self.waiting |= {position: trial for position, trial in trials if position not in self.ended}
        self.n_joined += len(specs)
        return positions

    def snapshot(self, position: int) -> Snapshot | None:
        """None: a trial that has not ended has not begun."""
        return None

    def epoch(self) -> dict[int, TrialResult]:
        """Fits one trial, the first that waits; returns the results of those that have ended, by position."""
        ended, self.ended = self.ended, {}
        for position, (spec, dataset) in list(self.waiting.items())[:1]:
            ended[position] = result = fit_trial(spec, dataset, test=self.test, cohort=self.name)
            del self.waiting[position]
            self.callback.on_step(1, 1)
            self.callback.on_epoch({position: result.history[0]})
        return ended

    def abandon(self) -> dict[int, TrialResult]:
        """Interrupts all trials; returns their results, by position, which have no metrics."""
        ended, self.ended = self.ended, {}
        waiting, self.waiting = self.waiting, {}
        return ended | {position: _interrupted(*trial) for position, trial in waiting.items()}


def fit_trial(spec: TrialSpec, dataset: Dataset, *, test: bool = True, cohort: str = "") -> TrialResult:
    """Fits one trial of a baseline and measures it.

    Args:
        spec: The trial; its model is an `EstimatorSpec`.
        dataset: Its data, on the CPU.
        test: Whether the result has test metrics; if not, the test split is not read.
        cohort: The name that its result has for the trials beside it.

    Returns:
        Its result, with one epoch. Its `weights` are the state of the estimator.
    """
    model = _estimator(spec)
    load_libraries(model)  # before the clock starts
    started, start = time.time(), time.perf_counter()
    train = dataset.train.x_ND, dataset.train.y_N
    fitted, notes = model.train(*train, spec.seed)
    seconds = time.perf_counter() - start
    metrics, rows = dict[str, float | None](), dict[str, Scores]()
    for name in ("train", "val", "test") if test else ("train", "val"):
        split: Split = getattr(dataset, name)
        log_p_NC = model.log_probabilities(fitted, split.x_ND, dataset.n_classes)
        wanted, why = final_metrics(spec, dataset, name)
        rows[name] = _scores(spec, log_p_NC, split.y_N, wanted)
        found, said = stored_metrics(name, rows[name], why)
        metrics, notes = metrics | found, notes + said
    asked = {key: row._replace(further={n: row.further[n] for n in spec.epoch_metrics}) for key, row in rows.items()}
    history = EpochMetrics(epoch=1, lr=0.0, seconds=seconds, **by_field(asked["train"], asked["val"]))
    return TrialResult(
        **_about(spec, dataset),
        status=Status.COMPLETED,
        objective=Objective(spec.objective, metrics[spec.objective], spec.direction),
        metrics=Metrics.from_flat(metrics),
        history=(history,),
        best_epoch=1,
        epochs=1,
        train_seconds=seconds,
        samples_per_second=len(dataset.train) / seconds,
        n_parameters=model.size(fitted),
        way=FITTED,
        notes=tuple(notes),
        classes=_counts(rows),
        timing=Timing(started, time.time(), cohort),
        weights=model.state(fitted, *train),
    )


def measured(spec: TrialSpec, dataset: Dataset, split: str) -> Scores:
    """The metrics that each epoch computes, of a baseline that is fitted for them alone.

    Args:
        spec: The trial; its model is an `EstimatorSpec`.
        dataset: Its data.
        split: `train`, `val` or `test`.
    """
    model, dataset = _estimator(spec), dataset.to(CPU)
    fitted, _ = model.train(dataset.train.x_ND, dataset.train.y_N, spec.seed)
    rows: Split = getattr(dataset, split)
    log_p_NC = model.log_probabilities(fitted, rows.x_ND, dataset.n_classes)
    return _scores(spec, log_p_NC, rows.y_N, Wanted.of(spec.epoch_metrics))


def _estimator(spec: TrialSpec) -> EstimatorSpec:
    if not isinstance(spec.model, EstimatorSpec):
        raise TypeError(f"model={spec.model.name} is no baseline")
    return spec.model


def _scores(spec: TrialSpec, log_p_NC: Tensor, y_N: Tensor, wanted: Wanted = NOTHING) -> Scores:
    """The metrics of log-probabilities."""
    loss, nothing_10 = StackedLoss([spec.loss], CPU), torch.zeros(1, 0)
    return evaluate(_Given(), Layout((), ()), loss, nothing_10, Split(log_p_NC, y_N), wanted=wanted)[0]


def _counts(rows: dict[str, Scores]) -> ClassCounts | None:
    name = next(reversed(rows))
    return class_counts(name, rows[name])


def _about(spec: TrialSpec, dataset: Dataset) -> dict[str, Any]:
    """What a result says of its trial, however it ended."""
    return {
        "device": label(CPU, 1), "seed": spec.seed, "config_digest": config_digest(spec),
        "data_digest": dataset.digest,
    }  # fmt: skip


def _interrupted(spec: TrialSpec, dataset: Dataset) -> TrialResult:
    return TrialResult(
        **_about(spec, dataset), status=Status.FAILED, objective=Objective(spec.objective, None, spec.direction),
        metrics=Metrics(), history=(), best_epoch=None, epochs=0, train_seconds=0.0, samples_per_second=0.0,
        n_parameters=0, error="interrupted after epoch 0",
    )  # fmt: skip
