"""A rise to the full rate and a decay to nearly zero, as `torch.optim.lr_scheduler.OneCycleLR` (cosine, two phases)."""

import itertools
import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from phalanx.core.errors import Fault
from phalanx.core.specs import stacked, stacked_values
from phalanx.nn.schedules.base import Hyper, ScheduleSpec

PEAK = 0.9  # the part of optimizer.lr that counts as its peak, which lies between two steps
MANY_STEPS = 100


@dataclass(frozen=True, kw_only=True)
class OneCycle(ScheduleSpec):
    """Smith and Topin, "Super-convergence", 2018. `optimizer.lr` is the peak."""

    name: ClassVar[str] = "one_cycle"
    rise: float = stacked(0.3, gt=0, lt=1)  # the fraction of the steps before the peak
    start_divisor: float = stacked(25.0, ge=1)  # the first rate is the peak divided by this
    final_divisor: float = stacked(10000.0, ge=1)  # the last rate is the first divided by this

    def misfits(self, steps_per_epoch: int, epochs: int) -> list[Fault | str]:
        faults = super().misfits(steps_per_epoch, epochs)
        if faults or (largest := self._largest(steps_per_epoch, epochs)) >= PEAK:
            return faults
        enough = next(n for n in itertools.count(epochs + 1) if self._largest(steps_per_epoch, n) >= PEAK)
        allowed = (
            f"at least {enough} with schedule=one_cycle and {steps_per_epoch} step(s) per epoch: its rate reaches "
        )
        allowed += f"only {largest:.2g} of optimizer.lr"
        otherwise = ", a smaller trainer.batch_size, or schedule=constant"
        return [Fault("trainer.epochs", epochs, allowed, f"trainer.epochs={enough}", otherwise)]

    def _largest(self, steps_per_epoch: int, epochs: int) -> float:
        """The largest factor after the warm-up. With many steps, one of them is near the peak."""
        total = steps_per_epoch * epochs - self.warmup_steps(steps_per_epoch)
        if total > MANY_STEPS:
            return 1.0
        step_S1 = torch.arange(max(total, 1), dtype=torch.float64)[:, None]
        total_T = torch.tensor([max(total, 1)], dtype=torch.float64)
        return float(self.shape(step_S1, steps_per_epoch, total_T, stacked_values([self])).max())

    def shape(self, step_ST: Tensor, steps_per_epoch: int, total_T: Tensor, hyper: Hyper) -> Tensor:
        start_T = 1 / hyper["start_divisor"]
        end_T = start_T / hyper["final_divisor"]
        peak_T = (hyper["rise"] * total_T - 1).clamp(min=0)
        last_T = (total_T - 1).clamp(min=1)
        up_ST = _cosine(start_T, torch.ones_like(start_T), step_ST / peak_T.clamp(min=1e-9))
        down_ST = _cosine(torch.ones_like(start_T), end_T, (step_ST - peak_T) / (last_T - peak_T).clamp(min=1e-9))
        return torch.where(step_ST <= peak_T, up_ST, down_ST)


def _cosine(start_T: Tensor, end_T: Tensor, fraction_ST: Tensor) -> Tensor:
    """From `start_T` at fraction 0 to `end_T` at fraction 1 along half a cosine."""
    return end_T + (start_T - end_T) / 2 * (1 + torch.cos(math.pi * fraction_ST.clamp(0, 1)))
