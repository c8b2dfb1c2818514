"""A block: the part of a cohort that is one stack of tensors. Trains an epoch, keeps the best weights, ends trials.

Axes: T trials in the stack, N samples, B batch, D features, C classes, P parameters of one trial.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from phalanx.core.device import label, precision
from phalanx.core.result import EpochMetrics, Metrics, Objective, Snapshot, Status, Timing, TrialResult
from phalanx.data import Dataset
from phalanx.nn.losses.stacked import StackedLoss
from phalanx.nn.models import ModelSpec
from phalanx.nn.optimizers.base import to_rows
from phalanx.training.cuda_graph import FEWEST, CapturedStep, cuda_graph
from phalanx.training.evaluation import Tally, evaluate
from phalanx.training.spec import TrialSpec, config_digest
from phalanx.training.stack import Stack

OnStep = Callable[[int, int], None]


class Trace:
    """What is remembered of one trial while it trains."""

    def __init__(self, spec: TrialSpec, after: Snapshot | None = None) -> None:
        self.spec = spec
        self.history = list(after.history) if after else []
        self.best = self.history[after.best_epoch - 1] if after and after.best_epoch else None
        self.seconds, self.started = sum(row.seconds for row in self.history), time.time()
        self.status, self.error = Status.COMPLETED, None

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


class Chunk:
    """Some trials of a cohort. `train_epoch` is all computation and may run in a thread of its own."""

    def __init__(
        self, like: TrialSpec, dataset: Dataset, device: torch.device, *, test: bool, model: ModelSpec | None = None,
        cohort: str = "",
    ) -> None:  # fmt: skip
        self.cohort = cohort
        self.dataset, self.device, self.test = dataset, device, test
        self.stack = Stack(like, dataset.n_features, dataset.n_classes, len(dataset.train), device, model)
        self.traces: dict[int, Trace] = {}
        self.capture = cuda_graph if device.type == "cuda" else None
        self.replay: CapturedStep | None = None
        self.n_threads = torch.get_num_threads()

    @property
    def running(self) -> int:
        """How many of its trials still train."""
        return len(self.stack.rows)

    def join(
        self, specs: Sequence[TrialSpec], positions: Sequence[int], after: Mapping[int, Snapshot] | None = None
    ) -> None:
        """Adds trials, which begin, or go on `after` their snapshots, with the next epoch."""
        self.replay, after = None, after or {}
        self.stack.join(specs, positions, after)
        self.traces |= {p: Trace(spec, after.get(p)) for p, spec in zip(positions, specs, strict=True)}

    def snapshot(self, position: int) -> Snapshot:
        """How far a trial is, between two epochs."""
        trace = self.traces[position]
        best = trace.best.epoch if trace.best else None
        return Snapshot(tuple(trace.history), best, self.stack.of_trial(position))

    def train_epoch(self, on_step: OnStep) -> dict[int, EpochMetrics]:
        """Trains each trial by one epoch and validates it; what each reached, by position."""
        start, stack = time.perf_counter(), self.stack
        self.n_threads = torch.get_num_threads()  # which the cohort has set for this thread
        with precision(stack.like.trainer.precision, self.device):
            lr_ST, train_rows = self._train(on_step)
        val_rows = evaluate(stack.model, stack.layout, stack.loss, stack.params_TP, self.dataset.val, stack.depths)
        seconds = (time.perf_counter() - start) / len(stack.rows)
        return {
            position: EpochMetrics(epoch=epoch, lr=lr, seconds=seconds, **_prefixed("train", t), **_prefixed("val", v))
            for position, epoch, lr, t, v in zip(
                stack.rows, stack.epochs_done, lr_ST[-1].tolist(), train_rows, val_rows, strict=True
            )
        }

    def _train(self, on_step: OnStep) -> tuple[Tensor, list[dict[str, float]]]:
        """One pass over the training split; learning rates (S, T) and each trial's running means."""
        stack, train = self.stack, self.dataset.train
        lr_ST, tables = stack.epoch_tables()
        order_TN = stack.begin_epoch()[:, : stack.steps_per_epoch * stack.batch_size]
        tally, epoch = Tally(train.y_N[order_TN], stack.loss, len(stack.rows)), max(stack.epochs_done)
        n_full, done = order_TN.shape[1] // stack.batch_size, 0
        if self.capture is not None and n_full >= FEWEST:
            self.replay = self.replay or CapturedStep(stack, train, self.capture)
            tally = self.replay.run(order_TN, tables, tally, n_full, lambda step: on_step(epoch, step))
            done = n_full
        if done == stack.steps_per_epoch:
            return lr_ST, tally.means()
        rest = to_rows({name: table[done:] for name, table in tables.items()})
        batches = order_TN[:, done * stack.batch_size :].split(stack.batch_size, 1)
        steps = zip(rest, batches, tally.cut(stack.batch_size)[done:], strict=True)
        for step, (at, index_TB, part) in enumerate(steps, start=done + 1):
            logits_TBC, loss_TB = stack.step(train.rows(index_TB, len(stack.rows)), part.y_TB, at)
            part.note(logits_TBC, loss_TB)
            on_step(epoch, step)
        return lr_ST, tally.means()

    def record(self, rows: dict[int, EpochMetrics]) -> dict[int, EpochMetrics]:
        """Writes the epoch down and keeps weights that improved; returns the rows of trials that have not diverged."""
        improved, sound = [], {}
        for place, position in enumerate(self.stack.rows):
            trace, row = self.traces[position], rows[position]
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
        if improved:
            places = torch.tensor(improved, device=self.device)
            self.stack.kept_TP[places] = self.stack.params_TP[places]
        return sound

    def end(self, sound: Collection[int], pruned: Collection[int]) -> dict[int, TrialResult]:
        """Takes out the trials whose last epoch this was; returns their results by position."""
        for position in self.traces.keys() & set(pruned):
            self.traces[position].status = Status.PRUNED
        going = {p for p in sound if p not in pruned and self.traces[p].goes_on()}
        return self.dismiss([place for place, position in enumerate(self.stack.rows) if position not in going])

    def abandon(self) -> dict[int, TrialResult]:
        """Ends all trials where they are; returns what each had reached, by position."""
        for trace in self.traces.values():
            trace.status, trace.error = Status.FAILED, f"interrupted after epoch {len(trace.history)}"
        return self.dismiss(list(range(self.running)))

    def dismiss(self, places: list[int]) -> dict[int, TrialResult]:
        """Takes the trials at these places out of the stack; returns their results by position."""
        if not places:
            return {}
        positions = [self.stack.rows[place] for place in places]
        results = dict(zip(positions, self._results(places), strict=True))
        gone, self.replay = set(places), None
        self.stack.leave([place for place in range(self.running) if place not in gone])
        for position in positions:
            del self.traces[position]
        return results

    def _results(self, places: list[int]) -> list[TrialResult]:
        """Metrics of the kept weights over whole splits, for all these trials at once."""
        stack = self.stack
        kept_TP = stack.kept_TP[torch.tensor(places, device=self.device)]
        specs = [stack.specs[place] for place in places]
        loss = StackedLoss([spec.loss for spec in specs], self.device)
        depths = [spec.model.depth for spec in specs] if stack.depths else None
        splits = {"train": self.dataset.train, "val": self.dataset.val}
        if self.test:
            splits["test"] = self.dataset.test
        found: list[dict[str, float]] = [{} for _ in places]
        for name, split in splits.items():
            scores = evaluate(stack.model, stack.layout, loss, kept_TP, split, depths)
            for metrics, row in zip(found, scores, strict=True):
                metrics.update(_prefixed(name, row))
        return [
            self._result(self.traces[stack.rows[place]], Metrics(**metrics), kept_TP[i])
            for i, (place, metrics) in enumerate(zip(places, found, strict=True))
        ]

    def _result(self, trace: Trace, metrics: Metrics, kept_P: Tensor) -> TrialResult:
        spec, epochs = trace.spec, len(trace.history)
        weights = self.stack.weights(spec, kept_P)
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
            device=label(self.device, self.n_threads),
            seed=spec.seed,
            config_digest=config_digest(spec),
            data_digest=self.dataset.digest,
            n_parameters=sum(tensor.numel() for tensor in weights.values()),
            error=trace.error,
            timing=Timing(trace.started, time.time(), self.cohort),
            weights=weights,
        )
        return result if chosen else replace(result, metrics=Metrics(), weights=None)


def _prefixed(split: str, row: dict[str, float]) -> dict[str, float]:
    return {f"{split}_{name}": value for name, value in row.items()}


def _odd(row: EpochMetrics) -> str:
    return "NaN" if math.isnan(row.train_loss) or math.isnan(row.val_loss) else "infinite"
