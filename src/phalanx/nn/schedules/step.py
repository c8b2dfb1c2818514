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

    def idle(self, steps_per_epoch: int, epochs: int) -> str:
        n_steps = steps_per_epoch * epochs - self.warmup_steps(steps_per_epoch)
        if n_steps > self.every_epochs * steps_per_epoch:
            return ""
        warmup = f" with schedule.warmup_epochs={self.warmup_epochs:g}" if self.warmup_epochs else ""
        fewer = max(n_steps // steps_per_epoch // 3, 1)
        advice = f"schedule.every_epochs={fewer} or " if fewer * steps_per_epoch < n_steps else ""
        return (
            f"schedule.every_epochs={self.every_epochs} never lowers the rate in trainer.epochs={epochs}{warmup}; "
            f"type {advice}schedule=constant"
        )

    def shape(self, step_ST: Tensor, steps_per_epoch: int, total_T: Tensor, hyper: Hyper) -> Tensor:
        return hyper["gamma"] ** (step_ST // (hyper["every_epochs"] * steps_per_epoch))
