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
    cohort = Cohort(specs[0], dataset, observer, test=test)
    cohort.join(specs)
    found: dict[int, TrialResult] = {}
    cohort.observer.on_start(len(specs), max(s.trainer.epochs for s in specs), cohort.stack.steps_per_epoch)
    try:
        while cohort.running:
            found.update(cohort.epoch())
    except KeyboardInterrupt:
        found.update(cohort.abandon())
        raise TrainingInterrupted([found[position] for position in range(len(specs))]) from None
    for position in range(len(specs)):
        cohort.observer.on_end(position, found[position])
    return [found[position] for position in range(len(specs))]


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

    def goes_on(self) -> bool:
        """Whether there is another epoch to train after the last one."""
        trainer, epoch = self.spec.trainer, len(self.history)
        patient = trainer.patience is None or epoch - self.best.epoch < trainer.patience
        return epoch < trainer.epochs and patient


class Cohort:
    """Trials that train together and may come and go: `join` between epochs, results as each of them ends.

    `like` says what is static; positions count the trials that ever joined. A trial's numbers do not depend on when
    it joined, or on who else is there.
    """

    def __init__(
        self, like: TrialSpec, dataset: Dataset, observer: Observer | None = None, *, test: bool = True
    ) -> None:
        self.device = resolve(like.device)
        self.dataset, self.observer, self.test = dataset.to(self.device), observer or Observer(), test
        self.stack = Stack(like, self.dataset, self.device)
        self.layout = self.stack.layout
        self.kept_TP = self.stack.params_TP.clone()  # the weights to save, rows as in the stack
        self.traces: dict[int, _Trace] = {}
        self.n_joined = 0

    @property
    def running(self) -> int:
        """How many trials still train."""
        return len(self.stack.rows)

    def join(self, specs: Sequence[TrialSpec]) -> list[int]:
        """Adds trials, which begin with the next epoch; returns their positions."""
        positions = list(range(self.n_joined, self.n_joined + len(specs)))
        n_known = self.running
        self.stack.join(specs, positions)
        self.n_joined += len(specs)
        self.traces |= {position: _Trace(spec) for position, spec in zip(positions, specs, strict=True)}
        self.kept_TP = torch.cat([self.kept_TP, self.stack.params_TP.detach()[n_known:]])
        return positions

    def epoch(self) -> dict[int, TrialResult]:
        """Trains each trial by one epoch; returns the results of those that ended with it, by position."""
        with threads(self.stack.like.device, self.stack.flops_per_step):
            start = time.perf_counter()
            lr_ST, train_rows = self._train_epoch()
            stack = self.stack
            val_rows = evaluate(
                stack.model, self.layout, stack.loss, stack.params_TP.detach(), self.dataset.val, stack.smoothing_T
            )
            seconds = (time.perf_counter() - start) / len(stack.rows)
            rates = lr_ST[-1].tolist()
            rows = [
                EpochMetrics(epoch=epoch, lr=lr, seconds=seconds, **_prefixed("train", t), **_prefixed("val", v))
                for epoch, lr, t, v in zip(stack.epochs_done, rates, train_rows, val_rows, strict=True)
            ]
            return self._settle(rows)

    def abandon(self) -> dict[int, TrialResult]:
        """Ends all trials where they are; returns what each had reached, by position."""
        for position in self.stack.rows:
            trace = self.traces[position]
            trace.status, trace.error = Status.FAILED, f"interrupted after epoch {len(trace.history)}"
        return self._dismiss(list(range(self.running)))

    def _train_epoch(self) -> tuple[Tensor, list[dict[str, float]]]:
        """One pass over the training split; learning rates (S, T) and each trial's running means."""
        stack, train = self.stack, self.dataset.train
        lr_ST, tables = stack.epoch_tables()
        order_TN = stack.begin_epoch(len(train))
        sums, epoch = Sums(len(stack.rows), self.device), max(stack.epochs_done)
        for step, at in enumerate(tables, start=1):
            index_TB = order_TN[:, (step - 1) * stack.batch_size : step * stack.batch_size]
            x_TBD, y_TB = train.x_ND[index_TB], train.y_N[index_TB]
            logits_TBC, loss_TB = stack.step(x_TBD, y_TB, at)
            sums.add(logits_TBC, y_TB, loss_TB)
            self.observer.on_step(epoch, step)
        return lr_ST, sums.means()

    def _settle(self, rows: list[EpochMetrics]) -> dict[int, TrialResult]:
        """Records the epoch, keeps weights that improved, and lets finished trials leave the stack."""
        improved, sound = [], {}
        for place, (position, row) in enumerate(zip(self.stack.rows, rows, strict=True)):
            trace = self.traces[position]
            trace.history.append(row)
            trace.seconds += row.seconds
            if not all(map(math.isfinite, (row.train_loss, row.val_loss))):
                trace.status, trace.error = Status.DIVERGED, f"the loss became {_odd(row)} in epoch {row.epoch}"
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
        going = {position for position in sound.keys() - pruned if self.traces[position].goes_on()}
        if improved:
            places = torch.tensor(improved, device=self.device)
            self.kept_TP[places] = self.stack.params_TP.detach()[places]
        return self._dismiss([place for place, position in enumerate(self.stack.rows) if position not in going])

    def _dismiss(self, places: list[int]) -> dict[int, TrialResult]:
        """Takes the trials at these places out of the stack; returns their results by position."""
        if not places:
            return {}
        positions = [self.stack.rows[place] for place in places]
        results = dict(zip(positions, self._results(places), strict=True))
        stay = [place for place in range(self.running) if place not in set(places)]
        self.stack.leave(stay)
        self.kept_TP = self.kept_TP[torch.tensor(stay, dtype=torch.int64, device=self.device)]
        for position in positions:
            del self.traces[position]
        return results

    def _results(self, places: list[int]) -> list[TrialResult]:
        """Metrics of the kept weights over whole splits, for all these trials at once."""
        index = torch.tensor(places, device=self.device)
        kept_TP, smoothing_T = self.kept_TP[index], self.stack.smoothing_T
        smoothing_T = None if smoothing_T is None else smoothing_T[index]
        splits = {"train": self.dataset.train, "val": self.dataset.val}
        if self.test:
            splits["test"] = self.dataset.test
        found: list[dict[str, float]] = [{} for _ in places]
        for name, split in splits.items():
            scores = evaluate(self.stack.model, self.layout, self.stack.loss, kept_TP, split, smoothing_T)
            for metrics, row in zip(found, scores, strict=True):
                metrics.update(_prefixed(name, row))
        return [
            self._result(self.traces[self.stack.rows[place]], Metrics(**metrics), kept_TP[i : i + 1])
            for i, (place, metrics) in enumerate(zip(places, found, strict=True))
        ]

    def _result(self, trace: _Trace, metrics: Metrics, kept_1P: Tensor) -> TrialResult:
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
            weights=_weights(self.layout.names, self.layout.views(kept_1P)),
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
