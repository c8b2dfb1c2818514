"""Averages of the weights: how much of the current weights an average takes at each update.

Axes: S steps of one epoch, T trials.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from phalanx.training.spec import TrainerSpec


def average_table(trainers: Sequence[TrainerSpec], epochs_done: Sequence[int], n_steps: int) -> Tensor:
    """The part w of the current weights p in `average + w * (p - average)`, float64 (S, T, 1).

    An exponential average takes the first weights whole, then 1 - decay of those after each update. A stochastic weight
    average takes those at the end of an epoch: whole up to its first epoch, then as one of all epochs since.

    Args:
        trainers: The options of each trial.
        epochs_done: How many epochs each trial has trained before this one.
        n_steps: S.
    """
    weight_ST = torch.zeros(n_steps, len(trainers), dtype=torch.float64)
    for trial, (trainer, done) in enumerate(zip(trainers, epochs_done, strict=True)):
        if trainer.average == "ema":
            weight_ST[:, trial] = 1 - trainer.ema_decay
            if not done:
                weight_ST[0, trial] = 1
        elif trainer.average == "swa":
            weight_ST[-1, trial] = 1 / max(1, done + 2 - trainer.swa_start)
    return weight_ST[..., None]
