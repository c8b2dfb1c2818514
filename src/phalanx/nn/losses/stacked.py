"""The losses of T trials in one cohort, which may be of several kinds. Axes: T trials, B batch, C classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from phalanx.nn.losses.base import LossSpec


class StackedLoss:
    """One loss a trial, evaluated kind by kind: what a trial gets does not depend on the others' kinds."""

    def __init__(self, specs: Sequence[LossSpec], device: torch.device) -> None:
        self.specs = list(specs)
        smoothing_T = torch.tensor([spec.label_smoothing for spec in specs], dtype=torch.float32, device=device)
        self.smoothing_T = smoothing_T if bool((smoothing_T > 0).any()) else None
        places: dict[LossSpec, list[int]] = {}
        for place, spec in enumerate(specs):
            places.setdefault(replace(spec, label_smoothing=0.0), []).append(place)
        same = [spec.is_log_likelihood and not spec.label_smoothing for spec in specs]
        self.same_T, self._all_same = torch.tensor(same, dtype=torch.bool, device=device), all(same)
        self.kinds = [(kind, torch.tensor(where, device=device)) for kind, where in places.items()]

    def take(self, places: Sequence[int]) -> StackedLoss:
        """The losses of the trials at these places, in their order."""
        if len(places) == len(self.specs):
            return self
        return StackedLoss([self.specs[place] for place in places], self.kinds[0][1].device)

    @property
    def is_log_likelihood(self) -> bool:
        """Whether every loss is -log p(true class) of the softmax."""
        return self._all_same

    def log_p_T(self, log_p_T: Tensor, loss_T: Tensor) -> Tensor:
        """Sums or means (T,) of log p, taken from the loss where it is the same, so that it rounds as it does alone."""
        return torch.where(self.same_T, -loss_T, log_p_T)

    @property
    def samples_classes(self) -> bool:
        """Whether a step knows the logits of some classes only, and so neither accuracy nor likelihood."""
        return any(not kind.stackable for kind, _ in self.kinds)

    def log_p(self, logits_TBC: Tensor, y_TB: Tensor) -> Tensor:
        """Log of the probability (T, B) that each trial's network gives to the true class."""
        if len(self.kinds) == 1:
            return _of_true(self.kinds[0][0].log_probabilities(logits_TBC), y_TB)
        log_p_TB = torch.empty(y_TB.shape, dtype=logits_TBC.dtype, device=logits_TBC.device)
        for kind, places in self.kinds:
            log_p_TB[places] = _of_true(kind.log_probabilities(logits_TBC[places]), y_TB[places])
        return log_p_TB

    def __call__(self, logits_TBC: Tensor, y_TB: Tensor) -> Tensor:
        """The loss of every sample, shape (T, B)."""
        if len(self.kinds) == 1:
            return self.kinds[0][0](logits_TBC, y_TB, self.smoothing_T)
        loss_TB = torch.empty(y_TB.shape, dtype=logits_TBC.dtype, device=logits_TBC.device)
        for kind, places in self.kinds:
            loss_TB[places] = kind(logits_TBC[places], y_TB[places], self._smoothing(places))
        return loss_TB

    def value_and_grad(self, logits_TBC: Tensor, y_TB: Tensor) -> tuple[Tensor, Tensor]:
        """As `LossSpec.value_and_grad`: the losses (T, B), and the gradients of the trials' means by the logits."""
        if len(self.kinds) == 1:
            return self.kinds[0][0].value_and_grad(logits_TBC, y_TB, self.smoothing_T)
        loss_TB = torch.empty(y_TB.shape, dtype=logits_TBC.dtype, device=logits_TBC.device)
        grad_TBC = torch.empty_like(logits_TBC)
        for kind, places in self.kinds:
            loss_TB[places], grad_TBC[places] = kind.value_and_grad(
                logits_TBC[places], y_TB[places], self._smoothing(places)
            )
        return loss_TB, grad_TBC

    def _smoothing(self, places: Tensor) -> Tensor | None:
        return None if self.smoothing_T is None else self.smoothing_T[places]


def _of_true(log_p_TBC: Tensor, y_TB: Tensor) -> Tensor:
    return log_p_TBC.gather(-1, y_TB[..., None]).squeeze(-1)
