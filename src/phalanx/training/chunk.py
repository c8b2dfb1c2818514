"""A chunk: the part of a cohort that is one stack of tensors. Trains epochs, keeps the best weights, ends trials.

Axes: T trials in the stack, N samples, B batch, D features, C classes, P parameters of one trial.
"""

import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from phalanx.core.device import label, precision
from phalanx.core.result import (
    ClassCounts,
    EpochMetrics,
    Metrics,
    Objective,
    Snapshot,
    Status,
    Timing,
    TrialResult,
)
from phalanx.data import Dataset, Split
from phalanx.nn.losses.stacked import StackedLoss
from phalanx.nn.metrics.compute import Wanted
from phalanx.nn.models import ModelSpec
from phalanx.nn.models.module_spec import ModuleSpec
from phalanx.nn.optimizers.base import to_rows
from phalanx.training.cuda_graph import FEWEST, CapturedStep, cuda_graph
from phalanx.training.evaluation import Scores, Tally, evaluate
from phalanx.training.metric_check import by_field, class_counts, final_metrics, stored_metrics
from phalanx.training.spec import TrialSpec, config_digest
from phalanx.training.stack import Stack
from phalanx.training.training_rows import TrainingRows, fills_up, n_filled, shared_form
from phalanx.training.trial_progress import TrialProgress
from phalanx.training.validation import Validation

OnStep = Callable[[int, int], None]


class Chunk:
    """Trials of a cohort that are one stack. `train_epoch` may run in a thread of its own.

    Args:
        like: Any trial of the chunk, for the static fields.
        dataset: The data of a trial, on `device`; others may have other splits of the same `form`.
        device: Where to train.
        test: Whether results have test metrics.
        model: The network shape of all trials; `like.model` if None.
        cohort: The cohort's name, for the results.
    """

    def __init__(
        self, like: TrialSpec, dataset: Dataset, device: torch.device, *, test: bool, model: ModelSpec | None = None,
        cohort: str = "",
    ) -> None:  # fmt: skip
        self.cohort = cohort
        self.dataset, self.device, self.test = dataset, device, test
        self.form, self.fills = shared_form(like, dataset), fills_up(like, dataset)
        n_train = n_filled(like, dataset)
        self.stack = Stack(like, dataset.n_features, dataset.n_classes, n_train, device, model)
        self.data: dict[int, Dataset] = {}  # of each trial, by position
        self.rows: TrainingRows | None = None  # of the trials as they are
        self.validation: Validation | None = None  # of these too
        self.wanted = Wanted.of(like.epoch_metrics)
        self.progress: dict[int, TrialProgress] = {}  # by position
        together = self.stack.model.way.together and like.optimizer.together
        self.capture = cuda_graph if device.type == "cuda" and together else None
        self.captured: CapturedStep | None = None
        self.n_threads = torch.get_num_threads()

    @property
    def running(self) -> int:
        """The number of trials that still train."""
        return len(self.stack.rows)

    def join(
        self, specs: Sequence[TrialSpec], positions: Sequence[int], after: Mapping[int, Snapshot] | None = None,
        datasets: Sequence[Dataset] | None = None,
    ) -> None:  # fmt: skip
        """Adds trials, which begin with the next epoch.

        Args:
            specs: The trials.
            positions: Their positions in the cohort.
            after: By position, the snapshots from which trials resume.
            datasets: The data of each of them, if not the chunk's.
        """
        self.captured, self.rows, self.validation, after = None, None, None, after or {}
        datasets = datasets or [self.dataset] * len(specs)
        self.data |= dict(zip(positions, datasets, strict=True))
        counts = {id(data): data.train.class_counts(data.n_classes) for data in datasets}
        self.stack.join(specs, positions, after, [counts[id(data)] for data in datasets])
        self.progress |= {p: TrialProgress(spec, after.get(p)) for p, spec in zip(positions, specs, strict=True)}

    def snapshot(self, position: int) -> Snapshot:
        """The state of a trial, between two epochs."""
        trial = self.progress[position]
        return Snapshot(tuple(trial.history), trial.best.epoch if trial.best else None, self.stack.of_trial(position))

    def train_epoch(self, on_step: OnStep) -> dict[int, EpochMetrics]:
        """Trains each trial for one epoch and validates it; returns its metrics by position."""
        start, stack = time.perf_counter(), self.stack
        self.n_threads = torch.get_num_threads()  # as the cohort has set it for this thread
        with precision(stack.like.trainer.precision, self.device):
            lr_ST, train_rows = self._train(on_step)
        if self.validation is None:
            self.validation = Validation([self.data[p].val for p in stack.rows], stack.loss, self.device)
        val_rows = self.validation.scores(stack, self.wanted)
        seconds = (time.perf_counter() - start) / len(stack.rows)
        return {
            position: EpochMetrics(epoch=epoch, lr=lr, seconds=seconds, **by_field(t, v))
            for position, epoch, lr, t, v in zip(
                stack.rows, stack.epochs_done, lr_ST[-1].tolist(), train_rows, val_rows, strict=True
            )
        }

    def _by_data(self, places: Sequence[int]) -> list[tuple[Dataset, list[int]]]:
        """The different data of the trials at these places, each with the places that have it."""
        groups: dict[int, tuple[Dataset, list[int]]] = {}
        for place in places:
            dataset = self.data[self.stack.rows[place]]
            groups.setdefault(id(dataset), (dataset, []))[1].append(place)
        return list(groups.values())

    def _train(self, on_step: OnStep) -> tuple[Tensor, list[Scores]]:
        """One pass over the training split; returns learning rates (S, T) and each trial's mean scores."""
        stack = self.stack
        n_columns = min(stack.n_train, stack.steps_per_epoch * stack.batch_size)
        if self.rows is None:
            datasets = [self.data[position] for position in stack.rows]
            keeps = isinstance(stack.like.model, ModuleSpec)
            self.rows = TrainingRows(datasets, n_columns, stack.batch_size, fills=self.fills, keeps=keeps)
        train = self.rows.split
        lr_ST, tables = stack.epoch_tables()
        order_TN = self.rows.order(stack.begin_epoch())
        samples_classes, epoch = stack.class_sampler is not None, max(stack.epochs_done)
        tally = Tally(
            train.y_N[order_TN], stack.loss, len(stack.rows), samples_classes=samples_classes, wanted=self.wanted,
            n_classes=self.dataset.n_classes, real_T=self.rows.real_T,
        )  # fmt: skip
        is_rest = n_columns % stack.batch_size or self.rows.weights_TB is not None
        n_full, done = stack.steps_per_epoch - bool(is_rest), 0
        if self.capture is not None and n_full >= FEWEST:
            self.captured = self.captured or CapturedStep(stack, train, self.capture)
            tally = self.captured.run(order_TN, tables, tally, n_full, lambda step: on_step(epoch, step))
            done = n_full
        if done == stack.steps_per_epoch:
            return lr_ST, tally.means()
        rest = to_rows({name: table[done:] for name, table in tables.items()})
        x = self.rows.batches(order_TN[:, done * stack.batch_size :], stack.batch_size, len(stack.rows))
        steps = zip(rest, x, tally.batches(stack.batch_size)[done:], strict=True)
        for step, (at, x_TBD, part) in enumerate(steps, start=done + 1):
            weights_TB = self.rows.weights_TB if step == stack.steps_per_epoch else None
            logits_TBC, loss_TB = stack.step(x_TBD, part.y_TB, at, weights_TB)
            part.write(logits_TBC, loss_TB)
            on_step(epoch, step)
        return lr_ST, tally.means()

    def record(self, rows: dict[int, EpochMetrics]) -> dict[int, EpochMetrics]:
        """Stores the epoch's metrics, keeps improved weights; returns the metrics of trials that have not diverged."""
        improved, finite = [], {}
        for place, position in enumerate(self.stack.rows):
            trial, row = self.progress[position], rows[position]
            trial.history.append(row)
            trial.seconds += row.seconds
            if not all(map(math.isfinite, (row.train_loss, row.val_loss))):
                kind = "NaN" if math.isnan(row.train_loss) or math.isnan(row.val_loss) else "infinite"
                trial.status, trial.error = Status.DIVERGED, f"the loss became {kind} in epoch {row.epoch}"
                continue
            finite[position] = row
            if is_better := trial.improved(row):
                trial.best = row
            if is_better or trial.spec.trainer.keep == "last":
                improved.append(place)
        if improved:
            places = torch.tensor(improved, device=self.device)
            self.stack.kept_TP[places] = self.stack.evaluated_TP[places]
        return finite

    def end(self, finite: Collection[int], pruned: Collection[int]) -> dict[int, TrialResult]:
        """Ends the trials whose last epoch this was; returns their results by position.

        Args:
            finite: The trials that have not diverged.
            pruned: The trials to prune. One that has nothing left to train is completed all the same.
        """
        going = {p for p in finite if self.progress[p].goes_on()}
        for position in going & set(pruned):
            self.progress[position].status = Status.PRUNED
        going -= set(pruned)
        return self.dismiss([place for place, position in enumerate(self.stack.rows) if position not in going])

    def abandon(self) -> dict[int, TrialResult]:
        """Interrupts all trials; returns their results so far, by position."""
        for trial in self.progress.values():
            trial.status, trial.error = Status.FAILED, f"interrupted after epoch {len(trial.history)}"
        return self.dismiss(list(range(self.running)))

    def dismiss(self, places: list[int]) -> dict[int, TrialResult]:
        """Removes the trials at these places of the stack; returns their results by position."""
        if not places:
            return {}
        positions, results = [self.stack.rows[place] for place in places], dict[int, TrialResult]()
        for dataset, own in self._by_data(places):
            results |= zip([self.stack.rows[place] for place in own], self._results(own, dataset), strict=True)
        gone, self.captured, self.rows, self.validation = set(places), None, None, None
        self.stack.leave([place for place in range(self.running) if place not in gone])
        for position in positions:
            del self.progress[position], self.data[position]
        return results

    def _results(self, places: list[int], dataset: Dataset) -> list[TrialResult]:
        """The results of the trials at these places, which have these data, from weights evaluated together."""
        stack = self.stack
        kept_TP = stack.kept_TP[torch.tensor(places, device=self.device)]
        specs = [stack.specs[place] for place in places]
        loss = StackedLoss([spec.loss for spec in specs], self.device)
        depths = [spec.model.n_hidden_layers for spec in specs] if stack.depths else None
        found: list[dict[str, float | None]] = [{} for _ in places]
        notes: list[list[str]] = [[] for _ in places]
        for name in ("train", "val", "test") if self.test else ("train", "val"):
            split: Split = getattr(dataset, name)
            wanted, why = final_metrics(stack.like, dataset, name)
            scores = evaluate(stack.model, stack.layout, loss, kept_TP, split, depths, wanted)
            for metrics, said, row in zip(found, notes, scores, strict=True):
                own, notes_of_own = stored_metrics(name, row, why)
                metrics |= own
                said += notes_of_own
        trials = [self.progress[stack.rows[place]] for place in places]
        return [
            self._result(trial, dataset, Metrics.from_flat(metrics), kept_P, tuple(said), class_counts(name, row))
            for trial, kept_P, metrics, said, row in zip(trials, kept_TP, found, notes, scores, strict=True)
        ]

    def _result(
        self,
        trial: TrialProgress,
        dataset: Dataset,
        metrics: Metrics,
        kept_P: Tensor,
        notes: tuple[str, ...],
        classes: ClassCounts | None,
    ) -> TrialResult:
        spec, epochs = trial.spec, len(trial.history)
        weights = self.stack.weights(spec, kept_P)
        last = spec.trainer.keep == "last" and trial.status is not Status.DIVERGED
        chosen = trial.history[-1] if last and trial.history else trial.best
        valued = trial.status in (Status.COMPLETED, Status.PRUNED)
        result = TrialResult(
            status=trial.status,
            objective=Objective(spec.objective, metrics[spec.objective] if valued else None, spec.direction),
            metrics=metrics,
            history=tuple(trial.history),
            best_epoch=chosen.epoch if chosen else None,
            epochs=epochs,
            train_seconds=trial.seconds,
            samples_per_second=epochs * len(dataset.train) / trial.seconds if trial.seconds else 0.0,
            device=label(self.device, self.n_threads),
            seed=spec.seed,
            config_digest=config_digest(spec),
            data_digest=dataset.digest,
            n_parameters=spec.model.layout(dataset.n_features, dataset.n_classes).n_trained,
            way=self.stack.way_note or None,
            notes=notes,
            classes=classes,
            error=trial.error or None,
            timing=Timing(trial.started, time.time(), self.cohort),
            weights=weights,
        )
        return result if chosen else replace(result, metrics=Metrics(), notes=(), classes=None, weights=None)
