"""Trials as rows of shared tensors, and one training step of all of them.

Axes: T trials in the stack now, P parameters of one trial, S steps of one epoch, B batch, D features, C classes.
"""

import math
from collections.abc import Mapping, Sequence
from types import EllipsisType

import torch
from torch import Tensor

from phalanx.core.result import Snapshot
from phalanx.core.specs import stacked_values
from phalanx.nn.losses.stacked import StackedLoss
from phalanx.nn.models import ModelSpec, SampledClasses
from phalanx.nn.optimizers.base import clip
from phalanx.nn.schedules.stacked import StackedSchedule
from phalanx.training.averaging import average_table
from phalanx.training.spec import TrainerSpec, TrialSpec


def batches(trainer: TrainerSpec, n_train: int) -> tuple[int, int]:
    """Samples per step, and steps per epoch."""
    size = min(trainer.batch_size or n_train, n_train)
    steps = n_train / size
    return size, math.floor(steps) if trainer.drop_last else math.ceil(steps)


class Stack:
    """Trials of one cohort that train now: one row each in every tensor. Trials join and leave between epochs.

    Args:
        like: Any trial of the cohort, for the static fields.
        n_features: D.
        n_classes: C.
        n_train: The number of training samples of an epoch.
        device: Where the tensors are.
        model: The network shape of all rows, into which smaller ones are padded; `like.model` if None.
    """

    def __init__(
        self, like: TrialSpec, n_features: int, n_classes: int, n_train: int, device: torch.device,
        model: ModelSpec | None = None,
    ) -> None:  # fmt: skip
        self.like, self.device, self.n_train = like, device, n_train
        self.n_features, self.n_classes = n_features, n_classes
        self.specs: list[TrialSpec] = []
        self.rows: list[int] = []  # the position of each trial in the cohort
        self.epochs_done: list[int] = []
        self.class_counts: dict[int, Sequence[int]] = {}  # by the trial's position
        self.model, self.optimizer = model or like.model, like.optimizer
        self.layout = self.model.layout(n_features, n_classes)
        self.batch_size, self.steps_per_epoch = batches(like.trainer, n_train)
        self.params_TP = torch.empty(0, self.layout.size, device=device)
        self.kept_TP = self.params_TP.clone()  # the weights to save
        self.state: dict[str, Tensor] = {}

    def join(
        self, specs: Sequence[TrialSpec], rows: Sequence[int], after: Mapping[int, Snapshot] | None = None,
        counts: Sequence[Sequence[int]] | None = None,
    ) -> None:  # fmt: skip
        """Adds trials.

        Args:
            specs: The trials.
            rows: Their positions in the cohort.
            after: By position, the snapshots from which trials resume.
            counts: The number of training samples of each class, of each trial, which class weights need.
        """
        after = after or {}
        self.class_counts |= dict(zip(rows, counts or [()] * len(rows), strict=True))
        if not self.specs:
            self.optimizer = specs[0].optimizer.bound(self.layout)
        fresh_TP = self._initial(specs).to(self.device)
        own_TP = fresh_TP[:, : self.layout.n_trained]
        fresh = {"average_TP": own_TP, **self.optimizer.init(own_TP, self._columns(specs))} if self.state else {}
        self.params_TP = torch.cat([self.params_TP, fresh_TP])
        self.kept_TP = torch.cat([self.kept_TP, fresh_TP])
        self.specs, self.rows = [*self.specs, *specs], [*self.rows, *rows]
        self.epochs_done += [len(after[row].history) if row in after else 0 for row in rows]
        for name, known in self.state.items():
            zeros = known.new_zeros(len(specs), *known.shape[1:])
            self.state[name] = torch.cat([known, fresh.get(name, zeros)])
        # The deepest first, as the model requires.
        self._take(sorted(range(len(self.specs)), key=lambda place: -self.specs[place].model.n_hidden_layers))
        for row, snapshot in after.items():
            place = self.rows.index(row)
            for name, values in self._saved().items():
                if name in snapshot.tensors:  # state that is zero for all trials of a stack is not stored
                    values[place, self._own(self.specs[place], values)] = snapshot.tensors[name].to(self.device)
            self.optimizer.restore(snapshot.tensors)

    def leave(self, keep: list[int]) -> None:
        """Drops every row but those at the places `keep`, so that finished trials cost nothing."""
        self._take(keep)

    def _take(self, places: list[int]) -> None:
        """Keeps the rows at these places, in this order, and updates what depends on them."""
        if places != list(range(len(self.params_TP))):
            index = torch.tensor(places, dtype=torch.int64, device=self.device)
            self.params_TP, self.kept_TP = self.params_TP[index], self.kept_TP[index]
            self.state = {name: value[index] for name, value in self.state.items()}
            self.specs, self.rows = [self.specs[i] for i in places], [self.rows[i] for i in places]
            self.epochs_done = [self.epochs_done[i] for i in places]
            self.class_counts = {row: self.class_counts[row] for row in self.rows}
        if places:
            self._update()

    def _initial(self, specs: Sequence[TrialSpec]) -> Tensor:
        """Initial parameters (T, P) on the CPU; those that a smaller network lacks are zero, and stay zero."""
        flat_TP = torch.zeros(len(specs), self.layout.size)
        for row_P, spec in zip(flat_TP, specs, strict=True):
            own = spec.model.initial(spec.model.layout(self.n_features, self.n_classes), [spec.init_seed])[0]
            row_P[self._own(spec, flat_TP)] = own
        return flat_TP

    def _own(self, spec: TrialSpec, values: Tensor) -> Tensor | EllipsisType:
        """The places of a trial's own numbers in its row of `values`, which a smaller network fills in part only."""
        is_padded = spec.model.layout(self.n_features, self.n_classes).size != self.layout.size
        if is_padded and values.shape[1:] == (self.layout.size,):
            return self.model.embedded(spec.model, self.n_features, self.n_classes)
        return ...

    def _saved(self) -> dict[str, Tensor]:
        return {"params_TP": self.params_TP, "kept_TP": self.kept_TP, **self.state}

    def of_trial(self, row: int) -> dict[str, Tensor]:
        """One trial's tensors of a snapshot: copies of its own numbers (P,) on the CPU."""
        place = self.rows.index(row)
        spec = self.specs[place]
        saved = {name: v[place].to("cpu", copy=True)[self._own(spec, v)] for name, v in self._saved().items()}
        return saved | self.optimizer.own_state()

    def weights(self, spec: TrialSpec, flat_P: Tensor) -> dict[str, Tensor]:
        """One trial's own tensors by name, copies on the CPU, from its row."""
        layout = spec.model.layout(self.n_features, self.n_classes)
        own_P = flat_P.to("cpu", copy=True)[self._own(spec, flat_P[None])]
        return dict(zip(layout.names, (view[0] for view in layout.views(own_P[None])), strict=True))

    def _columns(self, specs: Sequence[TrialSpec]) -> dict[str, Tensor]:
        return self.optimizer.columns(stacked_values([spec.optimizer for spec in specs]), self.params_TP)

    def _update(self) -> None:
        """Rebuilds everything that depends on the trials in the stack. None stands for what is zero for all of them."""
        specs, device = self.specs, self.device
        depths = [spec.model.n_hidden_layers for spec in specs]
        self.depths = depths if min(depths) < self.model.n_hidden_layers else None
        self.hyper = stacked_values([spec.optimizer for spec in specs])
        self.columns = self._columns(specs)
        self.schedule = StackedSchedule([spec.schedule for spec in specs])
        self.loss = StackedLoss([spec.loss for spec in specs], device, [self.class_counts[row] for row in self.rows])
        self.epochs_T = torch.tensor([spec.trainer.n_epochs for spec in specs], dtype=torch.float64)
        norms = [spec.trainer.clip_norm or math.inf for spec in specs]
        self.norm_T = torch.tensor(norms, device=device) if min(norms) < math.inf else None
        seeds = [spec.order_seed for spec in specs]
        self.dropout = self.model.masks([spec.model for spec in specs], seeds, self.layout, device)
        needed = self.optimizer.init(self.trained_TP, self.columns)
        if not self.like.trainer.zero_grad:
            needed["sum_TP"] = torch.zeros_like(self.trained_TP)  # all gradients so far
        averages = [spec.trainer.average != "none" for spec in specs]
        self.averages_T1 = torch.tensor(averages, device=device)[:, None] if any(averages) else None
        if self.averages_T1 is not None:
            needed["average_TP"] = self.trained_TP.clone()
        self.state = {name: self.state.get(name, value) for name, value in needed.items()}
        self.class_sampler = self.like.loss.class_sampler(seeds, self.n_classes, device)
        # Parameters and gradients are one flat buffer each; the layers are views of them.
        self.grads_TP = torch.empty_like(self.trained_TP, memory_format=torch.contiguous_format)
        self.tensors, self.low = self.layout.views(self.params_TP), None
        if self.like.trainer.precision == "bfloat16":
            self.low = tuple(torch.empty_like(self.grads_TP, dtype=torch.bfloat16) for _ in range(2))
            low = self.layout.views(self.low[0])
            self.tensors = low + self.tensors[len(low) :]
        self.grads = self.layout.views(self.low[1] if self.low else self.grads_TP)

    @property
    def way_note(self) -> str:
        """How the trials train and why, where there is something to say of it."""
        way = self.model.way
        return self.optimizer.note if way.together and self.optimizer.note else way.note

    @property
    def trained_TP(self) -> Tensor:
        """The numbers that the optimizer changes; behind them a row may have the buffers of a network."""
        n_trained = self.layout.n_trained
        return self.params_TP if n_trained == self.layout.size else self.params_TP[:, :n_trained]

    @property
    def evaluated_TP(self) -> Tensor:
        """The rows to evaluate and to save: averages for trials that have one, with the buffers as they are now."""
        if self.averages_T1 is None:
            return self.params_TP
        chosen_TP = torch.where(self.averages_T1, self.state["average_TP"], self.trained_TP)
        return torch.cat([chosen_TP, self.params_TP[:, self.layout.n_trained :]], 1)

    def epoch_tables(self) -> tuple[Tensor, dict[str, Tensor]]:
        """Learning rates (S, T) of the coming epoch, and the optimizer's tables (S, T, 1) for its steps."""
        done_T = torch.tensor(self.epochs_done, dtype=torch.float64) * self.steps_per_epoch
        step_ST = done_T + torch.arange(self.steps_per_epoch, dtype=torch.float64)[:, None]
        factor_ST = self.schedule.factors(step_ST, self.steps_per_epoch, self.epochs_T * self.steps_per_epoch)
        lr_ST = factor_ST * self.hyper["lr"]
        tables = self.optimizer.tables(lr_ST, step_ST + 1, self.hyper)
        placed = self.optimizer.placed(tables, self.params_TP)
        if self.averages_T1 is not None:
            trainers = [spec.trainer for spec in self.specs]
            placed["average"] = average_table(trainers, self.epochs_done, self.steps_per_epoch).to(self.params_TP)
        return lr_ST, placed

    def begin_epoch(self) -> list[tuple[int, int]]:
        """Begins an epoch; returns what each trial's order of samples follows from: its seed, and its epoch from 1."""
        done_T = torch.tensor(self.epochs_done, dtype=torch.int64, device=self.device)
        if self.dropout is not None:
            self.dropout.start_at(done_T * self.steps_per_epoch)
        if self.class_sampler is not None:
            self.class_sampler.step_T.copy_(done_T * self.steps_per_epoch)
        self.epochs_done = [epoch + 1 for epoch in self.epochs_done]
        return [(spec.order_seed, epoch) for spec, epoch in zip(self.specs, self.epochs_done, strict=True)]

    def step(
        self, x_TBD: Tensor, y_TB: Tensor, at: dict[str, Tensor], weights_TB: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Makes one update of every trial.

        Args:
            x_TBD: Features (T, B, D).
            y_TB: Class indices, int64, shape (T, B).
            at: The rows (T, 1) of the optimizer's tables for this step.
            weights_TB: The weight of each sample in its trial's mean loss, with the mean 1; None for 1 everywhere.

        Returns:
            The logits before the update, (T, B, C) or of the sampled classes (T, B, K), and the loss of each sample
            (T, B).
        """
        if self.low is None:
            logits_TBC, loss_TB = self._compute_gradients(x_TBD, y_TB, weights_TB)
        else:  # the network in bfloat16, the loss and the updated weights in float32
            self.low[0].copy_(self.trained_TP)
            logits_TBC, loss_TB = self._compute_gradients(x_TBD.bfloat16(), y_TB, weights_TB)
            self.grads_TP.copy_(self.low[1])
        applied_TP = self.grads_TP if self.like.trainer.zero_grad else self.state["sum_TP"].add_(self.grads_TP)
        if self.norm_T is not None:
            clip(applied_TP, self.norm_T)
        if applied_TP is not self.grads_TP:
            self.grads_TP.copy_(applied_TP)  # which the update may overwrite
        self.optimizer.update(self.trained_TP, self.grads_TP, self.state, at, self.columns)
        if self.averages_T1 is not None:
            self.state["average_TP"].lerp_(self.trained_TP, at["average"])
        if self.dropout is not None:
            self.dropout.advance()
        if self.class_sampler is not None:
            self.class_sampler.step_T.add_(1)
        return logits_TBC, loss_TB

    def _compute_gradients(
        self, x_TBD: Tensor, y_TB: Tensor, weights_TB: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        if self.class_sampler is None:
            logits_TBC, backward = self.model.vjp(self.tensors, x_TBD, self.dropout, self.depths)
            loss_TB, grad_TBC = self.loss.value_and_grad(logits_TBC.float(), y_TB)
        else:
            classes_TS = self.class_sampler()
            sampled = SampledClasses(y_TB, classes_TS)
            logits_TBC, backward = self.model.vjp(self.tensors, x_TBD, self.dropout, self.depths, sampled)
            loss_TB, grad_TBC = self.class_sampler.value_and_grad(logits_TBC.float(), y_TB, classes_TS)
            if (of_class_TB := self.loss.sample_weights(y_TB)) is not None:
                grad_TBC = grad_TBC * of_class_TB[..., None]
        if weights_TB is not None:
            grad_TBC = grad_TBC * weights_TB[..., None]
        backward(grad_TBC.to(logits_TBC.dtype), self.grads)
        return logits_TBC.float(), loss_TB
