"""Stochastic gradient descent with momentum, as `torch.optim.SGD` (no dampening)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from phalanx.core.errors import Fault
from phalanx.core.specs import stacked, static
from phalanx.nn.optimizers.base import Columns, OptimizerSpec, State, add_decay


@dataclass(frozen=True, kw_only=True)
class SGD(OptimizerSpec):
    """g ← g + decay·p;  b ← momentum·b + g;  p ← p - lr·b, with Nesterov p ← p - lr·(g + momentum·b)."""

    name: ClassVar[str] = "sgd"
    lr: float = stacked(0.05, gt=0)
    momentum: float = stacked(0.9, ge=0, lt=1, advice="0.9")
    nesterov: bool = static(False)
    weight_decay: float = stacked(0.0, ge=0, advice="0.0001")

    def conflicts(self) -> list[Fault | str]:
        if self.nesterov and self.momentum == 0:
            return [Fault("optimizer.nesterov", True, "false without momentum", "optimizer.momentum=0.9")]
        return []

    def init(self, params_TP: Tensor, columns: Columns) -> State:
        return {"momentum_TP": torch.zeros_like(params_TP)} if "momentum" in columns else {}

    def update(
        self, params_TP: Tensor, grads_TP: Tensor, state: State, at: dict[str, Tensor], columns: Columns
    ) -> None:
        add_decay(grads_TP, params_TP, columns.get("weight_decay"))
        step_TP = grads_TP
        if "momentum_TP" in state:
            step_TP = state["momentum_TP"].mul_(columns["momentum"]).add_(grads_TP)
            if self.nesterov:
                step_TP = grads_TP.addcmul_(step_TP, columns["momentum"])
        params_TP.addcmul_(step_TP, at["lr"], value=-1)
