"""NAdam, as `torch.optim.NAdam`: Adam with Nesterov momentum, whose strength grows over the first steps.

Dozat, "Incorporating Nesterov momentum into Adam", 2016.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from phalanx.core.specs import stacked, static
from phalanx.nn.optimizers.adam import Adam
from phalanx.nn.optimizers.base import Columns, Hyper, State, add_decay, shrink


@dataclass(frozen=True, kw_only=True)
class NAdam(Adam):
    """Adam's step with μ(t+1)·m / (1 - Πμ·μ(t+1)) + (1 - μ(t))·g / (1 - Πμ) in place of m̂.

    μ(t) = β1·(1 - 0.96^(t·momentum_decay) / 2) is the momentum of step t, and Πμ the product up to it.
    """

    name: ClassVar[str] = "nadam"
    momentum_decay: float = stacked(0.004, ge=0, advice="0.004")
    decoupled: bool = static(False)

    def init(self, params_TP: Tensor, columns: Columns) -> State:
        return {**super().init(params_TP, columns), "product_T1": params_TP.new_ones(len(params_TP), 1)}

    def tables(self, lr_ST: Tensor, step_ST: Tensor, hyper: Hyper) -> dict[str, Tensor]:
        def momentum(step_ST: Tensor) -> Tensor:
            return hyper["beta1"] * (1 - 0.5 * 0.96 ** (step_ST * hyper["momentum_decay"]))

        now_ST, next_ST = momentum(step_ST), momentum(step_ST + 1)
        return {
            "lr": lr_ST[..., None],
            "momentum": now_ST[..., None],
            "next_momentum": next_ST[..., None],
            "gradient_size": (lr_ST * (1 - now_ST))[..., None],
            "mean_size": (lr_ST * next_ST)[..., None],
            "root_correction2": (1 - hyper["beta2"] ** step_ST).sqrt()[..., None],
        }

    def update(
        self, params_TP: Tensor, grads_TP: Tensor, state: State, at: dict[str, Tensor], columns: Columns
    ) -> None:
        self.decay(params_TP, grads_TP, at, columns)
        product_T1 = state["product_T1"].mul_(at["momentum"])
        mean_TP = state["mean_TP"].lerp_(grads_TP, columns["one_minus_beta1"])
        square_TP = state["square_TP"].lerp_(grads_TP.square(), columns["one_minus_beta2"])
        root_TP = square_TP.sqrt().div_(at["root_correction2"]).add_(columns["eps"])
        gradient_size_T1 = at["gradient_size"] / (1 - product_T1)
        mean_size_T1 = at["mean_size"] / (1 - product_T1 * at["next_momentum"])
        params_TP.addcmul_(grads_TP.div_(root_TP), gradient_size_T1, value=-1)
        params_TP.addcmul_(torch.div(mean_TP, root_TP, out=root_TP), mean_size_T1, value=-1)

    def decay(self, params_TP: Tensor, grads_TP: Tensor, at: dict[str, Tensor], columns: Columns) -> None:
        """See `Adam.decay`; decoupled, as in AdamW."""
        decay_T1 = columns.get("weight_decay")
        shrink(params_TP, at["lr"], decay_T1) if self.decoupled else add_decay(grads_TP, params_TP, decay_T1)
