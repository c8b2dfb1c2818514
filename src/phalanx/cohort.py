"""Cohorts: trials equal in all static fields, held as rows of the same tensors.

Axes: T trials in the stack now, P parameters of one trial, S steps of one epoch, B batch, D features, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from phalanx.data import Dataset
from phalanx.errors import RequestError
from phalanx.models import Dropout
from phalanx.optimizers.base import clip, to_rows
from phalanx.seeding import dropout_keys, permutations
from phalanx.spec import TrialSpec, stack, static_key


def partition(specs: Sequence[TrialSpec]) -> list[list[int]]:
    """Positions in `specs` grouped into cohorts, in order of first appearance."""
    groups: dict[object, list[int]] = {}
    for position, spec in enumerate(specs):
        groups.setdefault(static_key(spec), []).append(position)
    return list(groups.values())


def check_static(specs: Sequence[TrialSpec]) -> None:
    """Raises `RequestError` naming the static fields in which `specs` differ."""
    first = dict(static_key(specs[0]))
    for spec in specs[1:]:
        other = dict(static_key(spec))
        differ = [k for k in first.keys() | other.keys() if first.get(k) != other.get(k)]
        if differ:
            lines = [f"{k}: {first.get(k)!r} and {other.get(k)!r}" for k in sorted(differ)]
            raise RequestError(
                "these trials cannot share a cohort, they differ in static fields: "
                + "; ".join(lines)
                + "; split them with phalanx.partition(specs) first"
            )


class Stack:
    """The trials that train now: one row each in every tensor. `rows` are their positions in the cohort.

    A trial may join or leave between epochs; each counts its own epochs. `like` says what is static.
    """

    def __init__(self, like: TrialSpec, dataset: Dataset, device: torch.device) -> None:
        self.like, self.device = like, device
        self.specs: list[TrialSpec] = []
        self.rows: list[int] = []
        self.epochs_done: list[int] = []
        self.model, self.loss, self.optimizer = like.model, like.loss, like.optimizer
        self.schedule, self.trainer = like.schedule, like.trainer
        self.layout = self.model.layout(dataset.n_features, dataset.n_classes)
        n_train = len(dataset.train)
        self.batch_size = min(self.trainer.batch_size or n_train, n_train)
        self.steps_per_epoch = (
            n_train // self.batch_size if self.trainer.drop_last else math.ceil(n_train / self.batch_size)
        )
        self.params_TP = torch.empty(0, self.layout.size, device=device)
        self.state: dict[str, Tensor] = {}

    def join(self, specs: Sequence[TrialSpec], rows: Sequence[int]) -> None:
        """Adds trials before their first epoch; `rows` are their positions in the cohort."""
        check_static([self.like, *specs])
        fresh_TP = self.model.init(self.layout, [spec.seed for spec in specs]).to(self.device)
        params_TP = torch.cat([self.params_TP.detach(), fresh_TP])
        self.specs, self.rows = [*self.specs, *specs], [*self.rows, *rows]
        self.epochs_done = [*self.epochs_done, *[0] * len(specs)]
        self._describe(params_TP)
        state = self.optimizer.init(params_TP, self.columns)
        for name, known in self.state.items():
            if name in state:
                state[name][: len(known)] = known
        self.state = state
        self._place(params_TP)

    def _describe(self, params_TP: Tensor) -> None:
        """The stacked values of all trials; None in place of what is zero for all of them."""
        specs = self.specs
        self.hyper = stack([spec.optimizer for spec in specs])
        self.schedule_hyper = stack([spec.schedule for spec in specs])
        self.epochs_T = torch.tensor([spec.trainer.epochs for spec in specs], dtype=torch.float64)
        self.columns = self.optimizer.columns(self.hyper, params_TP)
        smoothing_T, rate_T, norm_T = (
            torch.tensor(values, dtype=torch.float32, device=self.device)
            for values in (
                [spec.loss.label_smoothing for spec in specs],
                [getattr(spec.model, "dropout", 0.0) for spec in specs],
                [spec.trainer.clip_norm or math.inf for spec in specs],
            )
        )
        self.smoothing_T = smoothing_T if bool((smoothing_T > 0).any()) else None
        self.rate_T = rate_T if bool((rate_T > 0).any()) else None
        self.norm_T = norm_T if bool(norm_T.isfinite().any()) else None

    def _place(self, params_TP: Tensor) -> None:
        """Parameters and gradients as one flat buffer each; the layers are views into the parameters."""
        self.params_TP = params_TP.contiguous()
        self.grads_TP = torch.empty_like(self.params_TP)
        self.leaves = [view.requires_grad_() for view in self.layout.views(self.params_TP)]
        seeds = [spec.seed for spec in self.specs]
        self.dropout = None
        if self.rate_T is not None and seeds:
            n_layers = len(self.layout.names) // 2
            keys = [dropout_keys(seeds, layer).to(self.device) for layer in range(n_layers)]
            self.dropout = Dropout(self.rate_T, keys)

    def leave(self, keep: list[int]) -> None:
        """Drops every row but those at the places `keep`: a finished trial costs nothing any more."""
        index = torch.tensor(keep, dtype=torch.int64)
        there = index.to(self.device)
        self.specs, self.rows = [self.specs[i] for i in keep], [self.rows[i] for i in keep]
        self.epochs_done = [self.epochs_done[i] for i in keep]
        self.hyper = {k: v[index] for k, v in self.hyper.items()}
        self.schedule_hyper = {k: v[index] for k, v in self.schedule_hyper.items()}
        self.epochs_T = self.epochs_T[index]
        self.columns = {k: None if v is None else v[there] for k, v in self.columns.items()}
        self.state = {k: v[there] for k, v in self.state.items()}
        self.smoothing_T, self.rate_T, self.norm_T = (
            None if v is None else v[there] for v in (self.smoothing_T, self.rate_T, self.norm_T)
        )
        self._place(self.params_TP.detach()[there])

    @property
    def flops_per_step(self) -> float:
        """Arithmetic of one step: two operations a weight and sample forward, four backward."""
        return 6.0 * len(self.rows) * self.layout.size * self.batch_size

    def epoch_tables(self) -> tuple[Tensor, list[dict[str, Tensor]]]:
        """Learning rates (S, T) of the coming epoch and the optimizer's rows for each of its steps."""
        done_T = torch.tensor(self.epochs_done, dtype=torch.float64) * self.steps_per_epoch
        step_ST = done_T + torch.arange(self.steps_per_epoch, dtype=torch.float64)[:, None]
        factor_ST = self.schedule.factors(
            step_ST, self.steps_per_epoch, self.epochs_T * self.steps_per_epoch, self.schedule_hyper
        )
        lr_ST = factor_ST * self.hyper["lr"]
        return lr_ST, to_rows(self.optimizer.tables(lr_ST, step_ST + 1, self.hyper), self.params_TP)

    def begin_epoch(self, n_samples: int) -> Tensor:
        """Each trial's order of the training samples in its coming epoch, shape (T, N), which then counts as begun."""
        if self.dropout is not None:
            done_T = torch.tensor(self.epochs_done, dtype=torch.int64, device=self.device)
            self.dropout.step_T = done_T * self.steps_per_epoch
        self.epochs_done = [epoch + 1 for epoch in self.epochs_done]
        return permutations([spec.seed for spec in self.specs], self.epochs_done, n_samples).to(self.device)

    def step(self, x_TBD: Tensor, y_TB: Tensor, at: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """One update of every trial. Returns the logits (T, B, C) before it and the loss of each sample (T, B)."""
        logits_TBC = self.model.forward(self.leaves, x_TBD, self.dropout)
        loss_TB = self.loss(logits_TBC, y_TB, self.smoothing_T)
        # A mean per trial, then a sum: no trial's gradient depends on how many others there are.
        grads = torch.autograd.grad(loss_TB.mean(1).sum(), self.leaves)
        with torch.no_grad():
            torch.cat([grad.flatten(1) for grad in grads], 1, out=self.grads_TP)
            if self.norm_T is not None:
                clip(self.grads_TP, self.norm_T)
            self.optimizer.update(self.params_TP, self.grads_TP, self.state, at, self.columns)
        if self.dropout is not None:
            self.dropout.step_T = self.dropout.step_T + 1
        return logits_TBC.detach(), loss_TB.detach()
