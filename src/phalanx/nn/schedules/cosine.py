"""Cosine decay to a minimum, as `torch.optim.lr_scheduler.CosineAnnealingLR`, stepped every minibatch."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from phalanx.core.specs import stacked
from phalanx.nn.schedules.base import Hyper, ScheduleSpec


@dataclass(frozen=True, kw_only=True)
class Cosine(ScheduleSpec):
    """Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017, without restarts."""

    name: ClassVar[str] = "cosine"
    min_factor: float = stacked(0.0, ge=0, le=1)  # the final rate as a fraction of optimizer.lr

    def idle(self, steps_per_epoch: int, epochs: int) -> str:
        n_steps = steps_per_epoch * epochs - self.warmup_steps(steps_per_epoch)
        if n_steps > 1:
            return ""
        return (
            f"schedule=cosine has {n_steps} step(s) after the warm-up (trainer.epochs={epochs}, {steps_per_epoch} per "
            "epoch) and never lowers the rate; train for more epochs or type schedule=constant"
        )

    def shape(self, step_ST: Tensor, steps_per_epoch: int, total_T: Tensor, hyper: Hyper) -> Tensor:
        wave_ST = 0.5 * (1 + torch.cos(math.pi * step_ST / total_T))
        return hyper["min_factor"] + (1 - hyper["min_factor"]) * wave_ST
