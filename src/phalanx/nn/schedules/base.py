"""What a schedule is: the learning rate at every step, as a factor of `optimizer.lr`.

Steps count minibatches from 0 and the rate changes at each of them. Axes: T trials, S steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from phalanx.core.specs import Spec, stacked

Hyper = dict[str, Tensor]  # every stacked field of the schedule, float64, shape (T,)


@dataclass(frozen=True, kw_only=True)
class ScheduleSpec(Spec):
    """A course of the learning rate. Adding one is one file with one subclass, and one YAML."""

    group: ClassVar[str] = "schedule"
    stackable: ClassVar[bool] = True
    needs_total_steps: ClassVar[bool] = True  # whether the rate at a step depends on how many will follow
    warmup_epochs: float = stacked(0.0, ge=0, advice="1")  # the rate first climbs linearly for so many epochs

    def factors(self, step_ST: Tensor, steps_per_epoch: int, total_T: Tensor, hyper: Hyper) -> Tensor:
        """Factors (S, T) at the steps `step_ST` of runs that are `total_T` steps long; all float64."""
        warmup_T = (hyper["warmup_epochs"] * steps_per_epoch).round()
        climb_ST = (step_ST + 1) / warmup_T.clamp(min=1)
        after_ST = (step_ST - warmup_T).clamp(min=0)
        shape_ST = self.shape(after_ST, steps_per_epoch, (total_T - warmup_T).clamp(min=1), hyper)
        return torch.where(step_ST < warmup_T, climb_ST, shape_ST)

    def shape(self, step_ST: Tensor, steps_per_epoch: int, total_T: Tensor, hyper: Hyper) -> Tensor:
        """Factors (S, T) after the warm-up, `step_ST` counted from its end."""
        raise NotImplementedError
