"""What a loss is: an output layer and a number per sample. Axes: T trials, B batch, C classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from phalanx.errors import Fault
from phalanx.fields import Spec, stacked, static

if TYPE_CHECKING:
    from phalanx.losses.sampled_softmax import Draws

OUTPUTS = {
    "logits": lambda logits_TBC: logits_TBC,
    "softmax": lambda logits_TBC: torch.softmax(logits_TBC, -1),
    "log_softmax": lambda logits_TBC: F.log_softmax(logits_TBC, -1),
}


# What the softmax is taken of that makes probabilities of logits; of log-sigmoids: each sigmoid over their sum.
SCORES = {"softmax": lambda logits_TBC: logits_TBC, "sigmoid": F.logsigmoid}


@dataclass(frozen=True, kw_only=True)
class LossSpec(Spec):
    """A loss and the output it is applied to. Adding one is one file with one subclass, and one YAML."""

    group: ClassVar[str] = "loss"
    mixes: ClassVar[bool] = True
    outputs: ClassVar[tuple[str, ...]] = tuple(OUTPUTS)  # outputs on which this loss means something
    why_not: ClassVar[str] = ""  # what to do instead of the others
    probabilities: ClassVar[str] = "softmax"  # what predictions and the likelihood make of the logits
    output: str = static("logits", choices=tuple(OUTPUTS))
    label_smoothing: float = stacked(0.0, low=0, high=1, high_open=True, advice="0.1")

    def conflicts(self) -> list[Fault | str]:
        if self.output in self.outputs:
            return []
        allowed = f"{' or '.join(self.outputs)} with loss={self.name} ({self.why_not})"
        return [Fault("loss.output", self.output, allowed, f"loss.output={self.outputs[0]}")]

    def __call__(self, logits_TBC: Tensor, y_TB: Tensor, smoothing_T: Tensor | None = None) -> Tensor:
        """The loss of every sample, shape (T, B). `smoothing_T` is None where no trial smooths its labels."""
        return self.per_sample(OUTPUTS[self.output](logits_TBC), y_TB, smoothed(logits_TBC, y_TB, smoothing_T))

    def tracked(self, logits_TBC: Tensor, y_TB: Tensor, smoothing_T: Tensor | None = None) -> tuple[Tensor, Tensor]:
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

    def draws(self, seeds: Sequence[int], n_classes: int, device: torch.device) -> Draws | None:
        """What draws the classes that a step looks at, where these are not all of them."""
        return None

    def per_sample(self, output_TBC: Tensor, y_TB: Tensor, target_TBC: Tensor | None) -> Tensor:
        """Shape (T, B), from the output that `self.output` names and the class indices.

        With label smoothing `target_TBC` holds (1 - s) · one-hot + s / C and has to be used in place of `y_TB`.
        """
        raise NotImplementedError


def negative_log(log_p_TBC: Tensor, y_TB: Tensor, target_TBC: Tensor | None) -> Tensor:
    """-log p of the true class, or its expectation under the smoothed target; shape (T, B)."""
    if target_TBC is None:
        return -log_p_TBC.gather(-1, y_TB[..., None]).squeeze(-1)
    return -(target_TBC * log_p_TBC).sum(-1)


def smoothed(logits_TBC: Tensor, y_TB: Tensor, smoothing_T: Tensor | None) -> Tensor | None:
    """The target (1 - s) · one-hot + s / C of each sample (T, B, C); None where no trial smooths its labels."""
    if smoothing_T is None:
        return None
    n_classes, smoothing_T11 = logits_TBC.shape[-1], smoothing_T[:, None, None]
    return one_hot(logits_TBC, y_TB) * (1 - smoothing_T11) + smoothing_T11 / n_classes


def one_hot(like_TBC: Tensor, y_TB: Tensor) -> Tensor:
    """1 at the true class, else 0. torch's own looks at the numbers of the classes, for which a device has to stop."""
    return torch.zeros_like(like_TBC).scatter_(-1, y_TB[..., None], 1.0)


def softmax_nll(logits_TBC: Tensor, y_TB: Tensor, target_TBC: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """-log softmax of the true class, or its expectation under the target (T, B, 1); exp(z - max z), and its sum.

    One exponential serves loss and gradient, where autograd's log-softmax takes three passes. Everything is relative
    to the largest logit, so that logits of any size keep their differences.
    """
    shifted_TBC = logits_TBC - logits_TBC.amax(-1, keepdim=True)
    if target_TBC is None:
        true_TB1 = shifted_TBC.gather(-1, y_TB[..., None])
    else:
        true_TB1 = (target_TBC * shifted_TBC).sum(-1, keepdim=True)
    exp_TBC = shifted_TBC.exp()
    total_TB1 = exp_TBC.sum(-1, keepdim=True)
    return total_TB1.log() - true_TB1, exp_TBC, total_TB1


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

    def tracked(self, logits_TBC: Tensor, y_TB: Tensor, smoothing_T: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The gradient is (softmax - target) / B."""
        if not self.is_log_likelihood:
            return super().tracked(logits_TBC, y_TB, smoothing_T)
        target_TBC, n_batch = smoothed(logits_TBC, y_TB, smoothing_T), y_TB.shape[1]
        loss_TB1, exp_TBC, total_TB1 = softmax_nll(logits_TBC, y_TB, target_TBC)
        grad_TBC = exp_TBC.div_(total_TB1 * n_batch)
        if target_TBC is None:
            grad_TBC.scatter_add_(-1, y_TB[..., None], grad_TBC.new_full((), -1 / n_batch).expand(*y_TB.shape, 1))
        else:
            grad_TBC.sub_(target_TBC, alpha=1 / n_batch)
        return loss_TB1.squeeze(-1), grad_TBC
