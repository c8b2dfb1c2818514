"""Sampled softmax: training computes the logits of each sample's true class and of some random classes only.

Axes: T trials, B batch, S sampled classes, K = 1 + S logits of a sample: its own class first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from phalanx.core.seeding import draw_keys, hashed_uniforms
from phalanx.core.specs import static
from phalanx.nn.losses.base import LogLikelihood
from phalanx.nn.losses.functional import softmax_nll


@dataclass(frozen=True, kw_only=True)
class SampledSoftmax(LogLikelihood):
    """Cross-entropy whose softmax denominator is estimated, in training, from `n_sampled` classes.

    The classes are divided into `n_sampled` strata of about equal size. Each step draws one class of each stratum, for
    all its samples, and weights it by the stratum's size, so the estimate is unbiased (Bengio and Senécal, 2008). A
    drawn class that is the sample's own is left out. With as many strata as classes it is the full softmax.
    """

    name: ClassVar[str] = "sampled_softmax"
    stackable: ClassVar[bool] = False  # its training steps compute other logits
    plain: ClassVar[str] = "logits"
    outputs: ClassVar[tuple[str, ...]] = ("logits",)
    output_advice: ClassVar[str] = "it applies its own softmax"
    unsmoothed: ClassVar[tuple[str, str]] = (", since a smoothed target needs all classes", "loss=cross_entropy")
    n_sampled: int = static(100, ge=1)

    def class_sampler(self, seeds: Sequence[int], n_classes: int, device: torch.device) -> StratifiedSampler:
        return StratifiedSampler(draw_keys(seeds).to(device), n_classes, min(self.n_sampled, n_classes))


class StratifiedSampler:
    """Draws one class of each stratum, for each trial and step."""

    def __init__(self, keys_T: Tensor, n_classes: int, n_sampled: int) -> None:
        self.keys_T = keys_T
        self.step_T = torch.zeros_like(keys_T)  # the number of updates of each trial before this one
        ends = torch.arange(n_sampled + 1, device=keys_T.device) * n_classes // n_sampled
        self.first_S, self.length_S = ends[:-1], ends.diff()

    def __call__(self) -> Tensor:
        """One class of each stratum: int64, shape (T, S)."""
        uniform_TS = hashed_uniforms(self.keys_T, self.step_T, 1, len(self.first_S))[:, 0]
        return self.first_S + (uniform_TS * self.length_S).long()

    def value_and_grad(self, logits_TBK: Tensor, y_TB: Tensor, classes_TS: Tensor) -> tuple[Tensor, Tensor]:
        """See `ClassSampler.value_and_grad`."""
        weighted_TBK = logits_TBK.clone()
        own_TBS = classes_TS[:, None] == y_TB[..., None]
        weighted_TBK[..., 1:].add_(self.length_S.log()).masked_fill_(own_TBS, -torch.inf)
        loss_TB1, exp_TBK, total_TB1 = softmax_nll(weighted_TBK, torch.zeros_like(y_TB), None)
        grad_TBK = exp_TBK.div_(total_TB1 * y_TB.shape[1])
        grad_TBK[..., 0] -= 1 / y_TB.shape[1]
        return loss_TB1.squeeze(-1), grad_TBK
