"""The trainer: one loop for one trial or many. `train_trial` is a cohort of one.

Axes: T trials in the stack, N samples, B batch, D features, C classes, P parameters of one trial.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from phalanx.cohort import Stack, check_static
from phalanx.data import Dataset
from phalanx.device import label, resolve, threads
from phalanx.errors import TrainingInterrupted
from phalanx.evaluation import Sums, evaluate
from phalanx.observer import Observer
from phalanx.result import EpochMetrics, Metrics, Objective, Status, TrialResult
from phalanx.spec import TrialSpec, config_digest


def train_trial(
    spec: TrialSpec, dataset: Dataset, observer: Observer | None = None, *, test: bool = True
) -> TrialResult:
    """Trains one configuration; see `train_cohort`."""
    return train_cohort([spec], dataset, observer, test=test)[0]


def train_cohort(
    specs: Sequence[TrialSpec], dataset: Dataset, observer: Observer | None = None, *, test: bool = True
) -> list[TrialResult]:
    """Trains all `specs` together and returns their results in the same order.

    A trial's numbers do not depend on the others. `test=False` leaves the test split unread. Raises `RequestError`
    if the specs differ in a static field, and `TrainingInterrupted` (with all results so far) on Ctrl-C.
    """
    if not specs:
        return []
    check_static(specs)
    device = resolve(specs[0].device)
    run = _CohortRun(specs, dataset.to(device), device, observer or Observer(), test)
    with threads(specs[0].device, run.stack.flops_per_step):
        return run.train()


class _Trace:
    """What is remembered of one trial while its cohort trains."""

    def __init__(self, spec: TrialSpec) -> None:
        self.spec = spec
        self.history: list[EpochMetrics] = []
        self.best: EpochMetrics | None = None
        self.status, self.error, self.seconds = Status.COMPLETED, None, 0.0

    def improved(self, row: EpochMetrics) -> bool:
        """Whether `row` beats the best epoch in the objective, or equals it at a lower validation loss."""
        if self.best is None:
            return True
        sign = 1 if self.spec.direction == "maximize" else -1
        new, old = (sign * getattr(r, self.spec.objective) for r in (row, self.best))
        return new > old or (new == old and row.val_loss < self.best.val_loss)

    def goes_on(self, epoch: int) -> bool:
        """Whether there is another epoch to train after this one."""
        trainer = self.spec.trainer
        patient = trainer.patience is None or epoch - self.best.epoch < trainer.patience
        return epoch < trainer.epochs and patient


class _CohortRun:
    """One call of `train_cohort`."""

    def __init__(
        self, specs: Sequence[TrialSpec], dataset: Dataset, device: torch.device, observer: Observer, test: bool
    ) -> None:
        self.dataset, self.device, self.observer, self.test = dataset, device, observer, test
        self.traces = [_Trace(spec) for spec in specs]
        self.stack = Stack(specs, dataset, device)
        self.layout = self.stack.layout
        self.kept_TP = self.stack.params_TP.detach().clone()  # the weights to save, a row for each trial ever here
        self.smoothing_T = self.stack.smoothing_T

    def train(self) -> list[TrialResult]:
        n_epochs = max(trace.spec.trainer.epochs for trace in self.traces)
        self.observer.on_start(len(self.traces), n_epochs, self.stack.steps_per_epoch)
        try:
            for epoch in range(1, n_epochs + 1):
                self._epoch(epoch)
                if not self.stack.rows:
                    break
        except KeyboardInterrupt:
            for row in self.stack.rows:
                trace = self.traces[row]
                trace.status, trace.error = Status.FAILED, f"interrupted after epoch {len(trace.history)}"
            raise TrainingInterrupted(self._results()) from None
        results = self._results()
        for position, result in enumerate(results):
            self.observer.on_end(position, result)
        return results

    def _epoch(self, epoch: int) -> None:
        start = time.perf_counter()
        lr_ST, train_rows = self._train_epoch(epoch)
        stack = self.stack
        val_rows = evaluate(
            stack.model, self.layout, stack.loss, stack.params_TP.detach(), self.dataset.val, stack.smoothing_T
        )
        seconds = (time.perf_counter() - start) / len(stack.rows)
        rates = lr_ST[-1].tolist()
        rows = [
            EpochMetrics(epoch=epoch, lr=lr, seconds=seconds, **_prefixed("train", t), **_prefixed("val", v))
            for lr, t, v in zip(rates, train_rows, val_rows, strict=True)
        ]
        self._settle(epoch, rows)

    def _train_epoch(self, epoch: int) -> tuple[Tensor, list[dict[str, float]]]:
        """One pass over the training split; learning rates (S, T) and each trial's running means."""
        stack, train = self.stack, self.dataset.train
        lr_ST, tables = stack.epoch_tables()
        order_TN = stack.order(epoch, len(train))
        sums = Sums(len(stack.rows), self.device)
        for step, at in enumerate(tables, start=1):
            index_TB = order_TN[:, (step - 1) * stack.batch_size : step * stack.batch_size]
            x_TBD, y_TB = train.x_ND[index_TB], train.y_N[index_TB]
            logits_TBC, loss_TB = stack.step(x_TBD, y_TB, at)
            sums.add(logits_TBC, y_TB, loss_TB)
            self.observer.on_step(epoch, step)
        return lr_ST, sums.means()

    def _settle(self, epoch: int, rows: list[EpochMetrics]) -> None:
        """Records the epoch, keeps weights that improved, and lets finished trials leave the stack."""
        improved, sound = [], {}
        for place, (position, row) in enumerate(zip(self.stack.rows, rows, strict=True)):
            trace = self.traces[position]
            trace.history.append(row)
            trace.seconds += row.seconds
            if not all(map(math.isfinite, (row.train_loss, row.val_loss))):
                trace.status, trace.error = Status.DIVERGED, f"the loss became {_odd(row)} in epoch {epoch}"
                continue
            sound[position] = row
            if trace.improved(row):
                trace.best = row
                improved.append(place)
            elif trace.spec.trainer.keep == "last":
                improved.append(place)
        pruned = set(self.observer.on_epoch(sound)) if sound else set()
        for position in pruned:
            self.traces[position].status = Status.PRUNED
        going = {p for p in sound.keys() - pruned if self.traces[p].goes_on(epoch)}
        stay = [place for place, position in enumerate(self.stack.rows) if position in going]
        if improved:
            places = torch.tensor(improved, device=self.device)
            positions = torch.tensor([self.stack.rows[i] for i in improved], device=self.device)
            self.kept_TP[positions] = self.stack.params_TP.detach()[places]
        if len(stay) < len(rows):
            self.stack.leave(stay)

    def _results(self) -> list[TrialResult]:
        """Metrics of the kept weights over whole splits, for all trials at once."""
        splits = {"train": self.dataset.train, "val": self.dataset.val}
        if self.test:
            splits["test"] = self.dataset.test
        found: list[dict[str, float]] = [{} for _ in self.traces]
        for name, split in splits.items():
            rows = evaluate(self.stack.model, self.layout, self.stack.loss, self.kept_TP, split, self.smoothing_T)
            for metrics, row in zip(found, rows, strict=True):
                metrics.update(_prefixed(name, row))
        return [self._result(position, Metrics(**metrics)) for position, metrics in enumerate(found)]

    def _result(self, position: int, metrics: Metrics) -> TrialResult:
        trace = self.traces[position]
        spec, epochs = trace.spec, len(trace.history)
        last = spec.trainer.keep == "last" and trace.status is not Status.DIVERGED
        chosen = trace.history[-1] if last and trace.history else trace.best
        valued = trace.status in (Status.COMPLETED, Status.PRUNED)
        result = TrialResult(
            status=trace.status,
            objective=Objective(spec.objective, getattr(metrics, spec.objective) if valued else None, spec.direction),
            metrics=metrics,
            history=tuple(trace.history),
            best_epoch=chosen.epoch if chosen else None,
            epochs=epochs,
            train_seconds=trace.seconds,
            samples_per_second=epochs * len(self.dataset.train) / trace.seconds if trace.seconds else 0.0,
            device=label(self.device),
            seed=spec.seed,
            config_digest=config_digest(spec),
            data_digest=self.dataset.digest,
            n_parameters=self.layout.size,
            error=trace.error,
            weights=_weights(self.layout.names, self.layout.views(self.kept_TP[position : position + 1])),
        )
        return result if chosen else replace(result, metrics=Metrics(), weights=None)


def _prefixed(split: str, row: dict[str, float]) -> dict[str, float]:
    return {f"{split}_{name}": value for name, value in row.items()}


def _odd(row: EpochMetrics) -> str:
    return "NaN" if math.isnan(row.train_loss) or math.isnan(row.val_loss) else "infinite"


def _weights(names: Sequence[str], views: Sequence[Tensor]) -> dict[str, Tensor]:
    """One trial's tensors on the CPU, weights as (H, D), which is how `torch.nn.Linear` keeps them."""
    tensors = {}
    for name, view in zip(names, views, strict=True):
        tensor = view[0].detach().cpu()
        tensors[name] = (tensor.T if tensor.dim() == 2 else tensor).contiguous().clone()
    return tensors
