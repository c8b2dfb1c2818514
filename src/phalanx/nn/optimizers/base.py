"""What an optimizer is: pure `init`, `tables` and `update` over flat rows, one row a trial.

`torch.optim` refuses a learning rate of more than one element, so the updates are written here and tested against
their `torch.optim` twins. Axes: T trials, P parameters of one trial, S steps of one epoch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from phalanx.core.specs import Spec, stacked

Hyper = dict[str, Tensor]  # every stacked field of the optimizer, float64 on the CPU, shape (T,)
Columns = dict[str, Tensor | None]  # the same as (T, 1) beside the parameters; None where all trials have zero
State = dict[str, Tensor]  # every tensor has a leading trial axis, so a leaving trial is a row dropped


@dataclass(frozen=True, kw_only=True)
class OptimizerSpec(Spec):
    """An update rule. Adding one is one file with one subclass, and one YAML."""

    group: ClassVar[str] = "optimizer"
    lr: float = stacked(0.01, gt=0)

    def columns(self, hyper: Hyper, like: Tensor) -> Columns:
        """The hyperparameters as `update` wants them, in the dtype and on the device of `like`."""
        return {name: _column(values_T, like) for name, values_T in hyper.items()}

    def init(self, params_TP: Tensor, columns: Columns) -> State:
        """The state before the first step. What is zero for all trials needs no buffer."""
        raise NotImplementedError

    def tables(self, lr_ST: Tensor, step_ST: Tensor, hyper: Hyper) -> dict[str, Tensor]:
        """All numbers that depend on the step alone, for the steps of one epoch: tensors (S, T, 1).

        `lr_ST` is the scheduled learning rate, `step_ST` counts each trial's updates from 1; both float64.
        """
        return {"lr": lr_ST[..., None]}

    def update(
        self, params_TP: Tensor, grads_TP: Tensor, state: State, at: dict[str, Tensor], columns: Columns
    ) -> None:
        """One step in place. `at` holds the rows (T, 1) of `tables` for this step; `grads_TP` may be overwritten."""
        raise NotImplementedError


def _column(values_T: Tensor, like: Tensor) -> Tensor | None:
    return values_T.to(like)[:, None] if bool((values_T != 0).any()) else None


def to_rows(tables: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    """`tables` cut into one dict a step."""
    columns = [table.unbind() for table in tables.values()]
    return [dict(zip(tables, values, strict=True)) for values in zip(*columns, strict=True)]


def add_decay(grads_TP: Tensor, params_TP: Tensor, decay_T1: Tensor | None) -> None:
    """L2 penalty: adds weight decay · parameters to the gradients, in place."""
    if decay_T1 is not None:
        grads_TP.addcmul_(params_TP, decay_T1)


def clip(grads_TP: Tensor, max_norm_T: Tensor) -> None:
    """Scales each trial's gradients to at most its own L2 norm, in place; an infinite limit leaves them alone."""
    norm_T = torch.linalg.vector_norm(grads_TP, dim=1)
    grads_TP.mul_((max_norm_T / (norm_T + 1e-6)).clamp(max=1.0)[:, None])
