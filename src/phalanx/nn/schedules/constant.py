"""A constant learning rate."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from phalanx.nn.schedules.base import Hyper, ScheduleSpec


@dataclass(frozen=True, kw_only=True)
class Constant(ScheduleSpec):
    """Factor 1 after the warm-up."""

    name: ClassVar[str] = "constant"
    needs_total_steps: ClassVar[bool] = False

    def shape(self, step_ST: Tensor, steps_per_epoch: int, total_T: Tensor, hyper: Hyper) -> Tensor:
        return torch.ones_like(step_ST)
