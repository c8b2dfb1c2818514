"""Adam and AdamW, as `torch.optim.Adam` and `torch.optim.AdamW` (no AMSGrad).

Kingma and Ba, "Adam: a method for stochastic optimization", 2015; Loshchilov and Hutter, "Decoupled weight decay
regularization", 2019.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from phalanx.core.specs import stacked
from phalanx.nn.optimizers.base import Columns, Hyper, OptimizerSpec, State, add_decay, shrink


@dataclass(frozen=True, kw_only=True)
class Adam(OptimizerSpec):
    """m ← β1·m + (1-β1)·g;  v ← β2·v + (1-β2)·g²;  p ← p - lr·m̂ / (√v̂ + ε), with decay added to g."""

    name: ClassVar[str] = "adam"
    lr: float = stacked(0.0015, gt=0)
    beta1: float = stacked(0.9, ge=0, lt=1)
    beta2: float = stacked(0.999, ge=0, lt=1)
    eps: float = stacked(1e-08, gt=0, advice="1e-8")
    weight_decay: float = stacked(0.0, ge=0, advice="0.0001")

    def columns(self, hyper: Hyper, like: Tensor) -> Columns:
        # Computed in float64: 1 - 0.999 in float32 is wrong in the fifth digit.
        return super().columns(
            {**hyper, "one_minus_beta1": 1 - hyper["beta1"], "one_minus_beta2": 1 - hyper["beta2"]}, like
        )

    def init(self, params_TP: Tensor, columns: Columns) -> State:
        return {"mean_TP": torch.zeros_like(params_TP), "square_TP": torch.zeros_like(params_TP)}

    def tables(self, lr_ST: Tensor, step_ST: Tensor, hyper: Hyper) -> dict[str, Tensor]:
        correction1_ST = 1 - hyper["beta1"] ** step_ST
        correction2_ST = 1 - hyper["beta2"] ** step_ST
        return {
            "lr": lr_ST[..., None],
            "step_size": (lr_ST / correction1_ST)[..., None],
            "root_correction2": correction2_ST.sqrt()[..., None],
        }

    def update(
        self, params_TP: Tensor, grads_TP: Tensor, state: State, at: dict[str, Tensor], columns: Columns
    ) -> None:
        self.decay(params_TP, grads_TP, at, columns)
        mean_TP, square_TP = state["mean_TP"], state["square_TP"]
        mean_TP.lerp_(grads_TP, columns["one_minus_beta1"])
        square_TP.lerp_(grads_TP.square_(), columns["one_minus_beta2"])
        root_TP = torch.sqrt(square_TP, out=grads_TP).div_(at["root_correction2"]).add_(columns["eps"])
        params_TP.addcmul_(torch.div(mean_TP, root_TP, out=root_TP), at["step_size"], value=-1)

    def decay(self, params_TP: Tensor, grads_TP: Tensor, at: dict[str, Tensor], columns: Columns) -> None:
        """Applies the weight decay, here as an L2 penalty in the gradient. Arguments as in `update`."""
        add_decay(grads_TP, params_TP, columns.get("weight_decay"))


@dataclass(frozen=True, kw_only=True)
class AdamW(Adam):
    """Adam with decoupled decay: p ← p - lr·decay·p before the step."""

    name: ClassVar[str] = "adamw"
    weight_decay: float = stacked(0.01, ge=0, advice="0.01")

    def decay(self, params_TP: Tensor, grads_TP: Tensor, at: dict[str, Tensor], columns: Columns) -> None:
        shrink(params_TP, at["lr"], columns.get("weight_decay"))
