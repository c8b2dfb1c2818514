"""The losses of T trials in one cohort, which may be of several kinds. Axes: T trials, B batch, C classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from phalanx.nn.losses.base import LossSpec
from phalanx.nn.losses.class_weights import stacked_class_weights


class StackedLoss:
    """One loss per trial, computed kind by kind, so that a trial's value does not depend on the other kinds.

    Class weights scale the gradients of training alone: the loss of a sample is always that without its weight.

    Args:
        specs: The loss of each trial.
        device: Where the logits will be.
        counts: The number of training rows of each class, of each trial, which class weights need; None where nothing
            is trained.
    """

    def __init__(
        self, specs: Sequence[LossSpec], device: torch.device, counts: Sequence[Sequence[int]] | None = None
    ) -> None:  # fmt: skip
        self.specs = list(specs)
        wanted = [spec.class_weights for spec in specs]
        self.weights_TC = None if counts is None else stacked_class_weights(wanted, counts, device)
        smoothing_T = torch.tensor([spec.label_smoothing for spec in specs], dtype=torch.float32)
        self.smoothing_T = smoothing_T.to(device) if bool((smoothing_T > 0).any()) else None
        places: dict[LossSpec, list[int]] = {}
        for place, spec in enumerate(specs):
            places.setdefault(replace(spec, label_smoothing=0.0, class_weights="none"), []).append(place)
        same = [spec.is_log_likelihood and not spec.label_smoothing for spec in specs]
        self.same_T, self.is_log_likelihood = torch.tensor(same, dtype=torch.bool, device=device), all(same)
        self.kinds = [(kind, torch.tensor(where, device=device)) for kind, where in places.items()]

    def take(self, places: Sequence[int]) -> StackedLoss:
        """The losses of the trials at these places, in their order."""
        if len(places) == len(self.specs):
            return self
        return StackedLoss([self.specs[place] for place in places], self.kinds[0][1].device)

    def log_p_T(self, log_p_T: Tensor, loss_T: Tensor) -> Tensor:
        """Sums or means (T,) of log p, replaced by -loss where both are the same, so that they round as alone."""
        return torch.where(self.same_T, -loss_T, log_p_T)

    def log_p(self, logits_TBC: Tensor, y_TB: Tensor) -> Tensor:
        """Log-probability (T, B) of the true class."""
        return self._by_kind(logits_TBC, y_TB, lambda kind, z_TBC, y_TB, _: _log_p(kind, z_TBC, y_TB))

    def log_probabilities(self, logits_TBC: Tensor) -> Tensor:
        """Log-probabilities (T, B, C) of all classes."""
        if len(self.kinds) == 1:
            return self.kinds[0][0].log_probabilities(logits_TBC)
        found_TBC = torch.empty_like(logits_TBC)
        for kind, places in self.kinds:
            found_TBC[places] = kind.log_probabilities(logits_TBC[places])
        return found_TBC

    def __call__(self, logits_TBC: Tensor, y_TB: Tensor) -> Tensor:
        """The loss of each sample, shape (T, B)."""
        return self._by_kind(logits_TBC, y_TB, lambda kind, *batch: kind(*batch))

    def _by_kind(self, logits_TBC: Tensor, y_TB: Tensor, compute: Callable[..., Tensor]) -> Tensor:
        if len(self.kinds) == 1:
            return compute(self.kinds[0][0], logits_TBC, y_TB, self.smoothing_T)
        found_TB = logits_TBC.new_empty(y_TB.shape)
        for kind, places in self.kinds:
            found_TB[places] = compute(kind, logits_TBC[places], y_TB[places], self._smoothing(places))
        return found_TB

    def value_and_grad(self, logits_TBC: Tensor, y_TB: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of each sample (T, B), and the gradient (T, B, C) of each trial's mean of weight · loss."""
        weight_TB = self.sample_weights(y_TB)
        if len(self.kinds) == 1:
            return _value_and_grad(self.kinds[0][0], logits_TBC, y_TB, self.smoothing_T, weight_TB)
        loss_TB, grad_TBC = logits_TBC.new_empty(y_TB.shape), torch.empty_like(logits_TBC)
        for kind, places in self.kinds:
            weights = None if weight_TB is None else weight_TB[places]
            loss_TB[places], grad_TBC[places] = _value_and_grad(
                kind, logits_TBC[places], y_TB[places], self._smoothing(places), weights
            )
        return loss_TB, grad_TBC

    def sample_weights(self, y_TB: Tensor) -> Tensor | None:
        """The weight of each sample, (T, B), by its class; None where no trial has class weights."""
        return None if self.weights_TC is None else self.weights_TC.gather(1, y_TB)

    def _smoothing(self, places: Tensor) -> Tensor | None:
        return None if self.smoothing_T is None else self.smoothing_T[places]


def _value_and_grad(
    loss: LossSpec, logits_TBC: Tensor, y_TB: Tensor, smoothing_T: Tensor | None, weight_TB: Tensor | None
) -> tuple[Tensor, Tensor]:
    if weight_TB is None:
        return loss.value_and_grad(logits_TBC, y_TB, smoothing_T)
    return loss.weighted_value_and_grad(logits_TBC, y_TB, smoothing_T, weight_TB)


def _log_p(loss: LossSpec, logits_TBC: Tensor, y_TB: Tensor) -> Tensor:
    return loss.log_probabilities(logits_TBC).gather(-1, y_TB[..., None]).squeeze(-1)
