"""RMSprop, as `torch.optim.RMSprop`.

Hinton, "Neural networks for machine learning", lecture 6, 2012; centered: Graves, "Generating sequences with recurrent
neural networks", 2013.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from phalanx.core.specs import stacked, static
from phalanx.nn.optimizers.base import Columns, Hyper, OptimizerSpec, State, add_decay


@dataclass(frozen=True, kw_only=True)
class RMSprop(OptimizerSpec):
    """v ← α·v + (1-α)·g²;  b ← momentum·b + g / (√v + ε);  p ← p - lr·b, with decay added to g.

    Centered, v is reduced by the square of the mean gradient, m ← α·m + (1-α)·g.
    """

    name: ClassVar[str] = "rmsprop"
    lr: float = stacked(0.0015, gt=0)
    alpha: float = stacked(0.99, ge=0, lt=1, advice="0.99")
    eps: float = stacked(1e-08, gt=0, advice="1e-8")
    momentum: float = stacked(0.0, ge=0, lt=1, advice="0.9")
    centered: bool = static(False)
    weight_decay: float = stacked(0.0, ge=0, advice="0.0001")

    def columns(self, hyper: Hyper, like: Tensor) -> Columns:
        # Computed in float64: 1 - 0.99 in float32 is wrong in the sixth digit.
        return super().columns({**hyper, "one_minus_alpha": 1 - hyper["alpha"]}, like)

    def init(self, params_TP: Tensor, columns: Columns) -> State:
        state = {"square_TP": torch.zeros_like(params_TP)}
        if self.centered:
            state["mean_TP"] = torch.zeros_like(params_TP)
        if "momentum" in columns:
            state["momentum_TP"] = torch.zeros_like(params_TP)
        return state

    def update(
        self, params_TP: Tensor, grads_TP: Tensor, state: State, at: dict[str, Tensor], columns: Columns
    ) -> None:
        add_decay(grads_TP, params_TP, columns.get("weight_decay"))
        square_TP = state["square_TP"].lerp_(grads_TP.square(), columns["one_minus_alpha"])
        if self.centered:
            mean_TP = state["mean_TP"].lerp_(grads_TP, columns["one_minus_alpha"])
            # Not below zero by rounding, which would make the root NaN.
            square_TP = square_TP.addcmul(mean_TP, mean_TP, value=-1).clamp_(min=0)
        step_TP = grads_TP.div_(square_TP.sqrt().add_(columns["eps"]))
        if "momentum_TP" in state:
            step_TP = state["momentum_TP"].mul_(columns["momentum"]).add_(step_TP)
        params_TP.addcmul_(step_TP, at["lr"], value=-1)
