"""What a loss is: an output layer and a number per sample. Axes: T trials, B batch, C classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from phalanx.core.errors import Fault
from phalanx.core.specs import Spec, stacked, static
from phalanx.nn.losses.functional import OUTPUTS, SCORES, smoothed, softmax_nll


class ClassSampler(Protocol):
    """Draws the classes whose logits a training step computes, and computes the loss from those logits alone.

    Axes: S sampled classes, K = 1 + S logits of a sample, its own class first.
    """

    step_T: Tensor  # updates that each trial has made before this one

    def __call__(self) -> Tensor:
        """The sampled classes of each trial: int64, shape (T, S)."""

    def value_and_grad(self, logits_TBK: Tensor, y_TB: Tensor, classes_TS: Tensor) -> tuple[Tensor, Tensor]:
        """As `LossSpec.value_and_grad`, from the logits (T, B, K) of the sampled classes alone."""


@dataclass(frozen=True, kw_only=True)
class LossSpec(Spec):
    """A loss and the output it is applied to. Adding one is one file with one subclass, and one YAML."""

    group: ClassVar[str] = "loss"
    stackable: ClassVar[bool] = True
    outputs: ClassVar[tuple[str, ...]] = tuple(OUTPUTS)  # outputs on which this loss means something
    output_advice: ClassVar[str] = ""  # what to do instead of the others
    probabilities: ClassVar[str] = "softmax"  # what predictions and the likelihood make of the logits
    output: str = static("logits", choices=tuple(OUTPUTS))
    label_smoothing: float = stacked(0.0, ge=0, lt=1, advice="0.1")

    def conflicts(self) -> list[Fault | str]:
        if self.output in self.outputs:
            return []
        allowed = f"{' or '.join(self.outputs)} with loss={self.name} ({self.output_advice})"
        return [Fault("loss.output", self.output, allowed, f"loss.output={self.outputs[0]}")]

    def __call__(self, logits_TBC: Tensor, y_TB: Tensor, smoothing_T: Tensor | None = None) -> Tensor:
        """The loss of every sample, shape (T, B). `smoothing_T` is None where no trial smooths its labels."""
        return self.per_sample(OUTPUTS[self.output](logits_TBC), y_TB, smoothed(logits_TBC, y_TB, smoothing_T))

    def value_and_grad(
        self, logits_TBC: Tensor, y_TB: Tensor, smoothing_T: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The loss of every sample (T, B), and the gradient of each trial's mean by its logits (T, B, C).

        This form is autograd's and serves every loss.
        """
        leaf_TBC = logits_TBC.detach().requires_grad_()
        with torch.enable_grad():
            loss_TB = self(leaf_TBC, y_TB, smoothing_T)
            # A mean per trial, then a sum: no trial's gradient depends on how many others there are.
            (grad_TBC,) = torch.autograd.grad(loss_TB.mean(1).sum(), leaf_TBC)
        return loss_TB.detach(), grad_TBC

    @property
    def is_log_likelihood(self) -> bool:
        """Whether the loss is -log p(true class) of the softmax, as long as no label is smoothed."""
        return False

    def log_probabilities(self, logits_TBC: Tensor) -> Tensor:
        """Logarithms (T, B, C) of the class probabilities that a network trained with this loss stands for."""
        return F.log_softmax(SCORES[self.probabilities](logits_TBC), -1)

    def class_sampler(self, seeds: Sequence[int], n_classes: int, device: torch.device) -> ClassSampler | None:
        """What draws the classes that a step looks at, where these are not all of them."""
        return None

    def per_sample(self, output_TBC: Tensor, y_TB: Tensor, target_TBC: Tensor | None) -> Tensor:
        """Shape (T, B), from the output that `self.output` names and the class indices.

        With label smoothing `target_TBC` holds (1 - s) · one-hot + s / C and has to be used in place of `y_TB`.
        """
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class LogLikelihood(LossSpec):
    """A loss that is the negative log-likelihood of the softmax on the output `plain`, and there in closed form."""

    plain: ClassVar[str]

    @property
    def is_log_likelihood(self) -> bool:
        return self.output == self.plain

    def __call__(self, logits_TBC: Tensor, y_TB: Tensor, smoothing_T: Tensor | None = None) -> Tensor:
        if not self.is_log_likelihood:
            return super().__call__(logits_TBC, y_TB, smoothing_T)
        return softmax_nll(logits_TBC, y_TB, smoothed(logits_TBC, y_TB, smoothing_T))[0].squeeze(-1)

    def value_and_grad(
        self, logits_TBC: Tensor, y_TB: Tensor, smoothing_T: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The gradient is (softmax - target) / B."""
        if not self.is_log_likelihood:
            return super().value_and_grad(logits_TBC, y_TB, smoothing_T)
        target_TBC, n_batch = smoothed(logits_TBC, y_TB, smoothing_T), y_TB.shape[1]
        loss_TB1, exp_TBC, total_TB1 = softmax_nll(logits_TBC, y_TB, target_TBC)
        grad_TBC = exp_TBC.div_(total_TB1 * n_batch)
        if target_TBC is None:
            grad_TBC.scatter_add_(-1, y_TB[..., None], grad_TBC.new_full((), -1 / n_batch).expand(*y_TB.shape, 1))
        else:
            grad_TBC.sub_(target_TBC, alpha=1 / n_batch)
        return loss_TB1.squeeze(-1), grad_TBC
