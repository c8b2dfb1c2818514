"""A decay by a constant factor every few epochs, as `torch.optim.lr_scheduler.StepLR`."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from phalanx.core.specs import stacked
from phalanx.nn.schedules.base import Hyper, ScheduleSpec


@dataclass(frozen=True, kw_only=True)
class Step(ScheduleSpec):
    """The factor is gamma ** (number of completed periods of `every_epochs`)."""

    name: ClassVar[str] = "step"
    needs_total_steps: ClassVar[bool] = False
    every_epochs: int = stacked(10, ge=1)
    gamma: float = stacked(0.1, gt=0, le=1)

    def shape(self, step_ST: Tensor, steps_per_epoch: int, total_T: Tensor, hyper: Hyper) -> Tensor:
        return hyper["gamma"] ** (step_ST // (hyper["every_epochs"] * steps_per_epoch))
