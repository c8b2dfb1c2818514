"""The interface of a learning-rate schedule: a factor of `optimizer.lr` at every step.

Steps count minibatches from 0. Axes: T trials, S steps.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from phalanx.core.errors import Fault
from phalanx.core.specs import Spec, stacked

Hyper = dict[str, Tensor]  # each stacked field of the schedule, float64, shape (T,)


@dataclass(frozen=True, kw_only=True)
class ScheduleSpec(Spec):
    """Base of all schedules. To add one, write a file with a subclass that defines `shape`, and a YAML file."""

    config_group: ClassVar[str] = "schedule"
    stackable: ClassVar[bool] = True
    needs_total_steps: ClassVar[bool] = True  # whether the factor depends on the total number of steps
    warmup_epochs: float = stacked(0.0, ge=0, advice="1")  # epochs in which the rate first rises linearly

    def factors(self, step_ST: Tensor, steps_per_epoch: int, total_T: Tensor, hyper: Hyper) -> Tensor:
        """The factors (S, T) with the warm-up. All tensors are float64.

        Args:
            step_ST: The step, from 0, shape (S, T).
            steps_per_epoch: Steps per epoch.
            total_T: The number of steps of each trial's whole training, shape (T,).
            hyper: The schedule's fields.
        """
        warmup_T = (hyper["warmup_epochs"] * steps_per_epoch).round()
        climb_ST = (step_ST + 1) / warmup_T.clamp(min=1)
        after_ST = (step_ST - warmup_T).clamp(min=0)
        shape_ST = self.shape(after_ST, steps_per_epoch, (total_T - warmup_T).clamp(min=1), hyper)
        return torch.where(step_ST < warmup_T, climb_ST, shape_ST)

    def misfits(self, steps_per_epoch: int, epochs: int) -> list[Fault | str]:
        """Why a training of so many steps is too short for this schedule; empty if it is not."""
        if self.warmup_steps(steps_per_epoch) <= steps_per_epoch * epochs:
            return []
        allowed = f"at most trainer.epochs={epochs}, or the rate never reaches optimizer.lr"
        return [Fault("schedule.warmup_epochs", self.warmup_epochs, allowed, f"schedule.warmup_epochs={epochs / 5:g}")]

    def idle(self, steps_per_epoch: int, epochs: int) -> str:
        """Why this schedule changes nothing in a training of so many steps, and what to type; empty if it does."""
        return ""

    def warmup_steps(self, steps_per_epoch: int) -> int:
        """The steps of the warm-up."""
        return round(self.warmup_epochs * steps_per_epoch)

    def shape(self, step_ST: Tensor, steps_per_epoch: int, total_T: Tensor, hyper: Hyper) -> Tensor:
        """The factors (S, T) after the warm-up, which every subclass defines. All tensors are float64.

        Args:
            step_ST: The step, from 0 at the end of the warm-up, shape (S, T).
            steps_per_epoch: Steps per epoch.
            total_T: The number of steps of each trial after the warm-up, at least 1, shape (T,).
            hyper: The schedule's fields.
        """
        raise NotImplementedError
