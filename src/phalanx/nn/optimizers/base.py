"""The interface of an optimizer: functions over flat parameters, one row per trial.

`torch.optim` does not accept one learning rate per row, so the update rules are written here and tested against those
of `torch.optim`. Axes: T trials, P parameters of one trial, S steps of one epoch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from phalanx.core.specs import Spec, stacked
from phalanx.nn.models.layout import Layout

Hyper = dict[str, Tensor]  # each stacked field of the optimizer, float64 on the CPU, shape (T,)
Columns = dict[str, Tensor]  # the same as (T, 1) on the parameters' device, without those that are zero for all trials
State = dict[str, Tensor]  # tensors with a leading trial axis; params_TP, kept_TP, sum_TP and average_TP are taken
OWN_STATE = "optimizer_B"  # of a snapshot: the bytes of an optimizer that keeps its state itself


@dataclass(frozen=True, kw_only=True)
class OptimizerSpec(Spec):
    """Base of all optimizers. To add one, write a file with a subclass, and a YAML file."""

    config_group: ClassVar[str] = "optimizer"
    together: ClassVar[bool] = True  # whether it updates several trials at once; else each has one of its own
    pads: ClassVar[bool] = True  # whether a padded network makes the same steps as without padding, but for rounding
    lr: float = stacked(0.01, gt=0)

    @property
    def note(self) -> str:
        """Why trials do not train together, for logs and results; empty where they do."""
        return ""

    def bound(self, layout: Layout) -> OptimizerSpec:
        """This optimizer for rows of this layout. Most need to know nothing of it, and return themselves."""
        return self

    def columns(self, hyper: Hyper, like: Tensor) -> Columns:
        """The hyperparameters for `update`, in the dtype and on the device of `like`."""
        return {name: value_T.to(like)[:, None] for name, value_T in hyper.items() if bool((value_T != 0).any())}

    def init(self, params_TP: Tensor, columns: Columns) -> State:
        """The state before the first step, for trials with these initial parameters and hyperparameters."""
        raise NotImplementedError

    def tables(self, lr_ST: Tensor, step_ST: Tensor, hyper: Hyper) -> dict[str, Tensor]:
        """The numbers that depend on the step alone, for all steps of one epoch: tensors (S, T, 1) by name.

        Args:
            lr_ST: The scheduled learning rate, float64, shape (S, T).
            step_ST: The number of each update of each trial, from 1, float64, shape (S, T).
            hyper: The hyperparameters.
        """
        return {"lr": lr_ST[..., None]}

    def placed(self, tables: Mapping[str, Tensor], like: Tensor) -> dict[str, Tensor]:
        """The `tables` as `update` reads them: in the dtype and on the device of `like`."""
        return {name: table.to(like) for name, table in tables.items()}

    def update(
        self, params_TP: Tensor, grads_TP: Tensor, state: State, at: dict[str, Tensor], columns: Columns
    ) -> None:
        """Makes one step, in place.

        Args:
            params_TP: Parameters (T, P).
            grads_TP: Gradients (T, P), which it may overwrite.
            state: The state, to be changed in place.
            at: The rows (T, 1) of `tables` for this step.
            columns: The hyperparameters (T, 1).
        """
        raise NotImplementedError

    def own_state(self) -> dict[str, Tensor]:
        """What a snapshot keeps of the only trial beside its `State`; empty for an optimizer that trains several."""
        return {}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes what `own_state` returned, from among the tensors of a snapshot."""


def to_rows(tables: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    """`tables` as one dict per step."""
    columns = [table.unbind() for table in tables.values()]
    return [dict(zip(tables, values, strict=True)) for values in zip(*columns, strict=True)]


def add_decay(grads_TP: Tensor, params_TP: Tensor, decay_T1: Tensor | None) -> None:
    """Adds the gradient of an L2 penalty, in place.

    Args:
        grads_TP: Gradients (T, P), changed in place.
        params_TP: Parameters (T, P).
        decay_T1: Weight decay of each trial (T, 1); None where it is zero for all.
    """
    if decay_T1 is not None:
        grads_TP.addcmul_(params_TP, decay_T1)


def shrink(params_TP: Tensor, lr_T1: Tensor, decay_T1: Tensor | None) -> None:
    """Applies decoupled weight decay, in place.

    Args:
        params_TP: Parameters (T, P), changed in place.
        lr_T1: Learning rate of each trial (T, 1).
        decay_T1: Weight decay of each trial (T, 1); None where it is zero for all.
    """
    if decay_T1 is not None:
        params_TP.mul_(1 - lr_T1 * decay_T1)


def clip(grads_TP: Tensor, max_norm_T: Tensor) -> None:
    """Scales each trial's gradient to at most its own L2 norm, in place; an infinite norm leaves it unchanged."""
    is_clipped_T = max_norm_T.isfinite()
    # The squares of a finite gradient can overflow; to divide it by a power of two keeps its digits.
    overflows_T = torch.linalg.vector_norm(grads_TP, dim=1).isinf() & is_clipped_T
    unit_T = torch.where(overflows_T, 2.0**-96, 1.0)
    norm_T = torch.linalg.vector_norm(grads_TP.mul_(unit_T[:, None]), dim=1)
    factor_T = torch.minimum(max_norm_T / (norm_T + 1e-6 * unit_T), 1 / unit_T)
    grads_TP.mul_(torch.where(is_clipped_T, factor_T, 1.0)[:, None])
