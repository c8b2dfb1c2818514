"""Formulas that several losses share. Axes: T trials, B batch, C classes."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def softmax(logits_TBC: Tensor) -> Tensor:
    """As `torch.softmax` over the last axis, and several times as fast for few classes on a CPU."""
    exp_TBC = (logits_TBC - _largest(logits_TBC)).exp()
    return exp_TBC / exp_TBC.sum(-1, keepdim=True)


def log_softmax(logits_TBC: Tensor) -> Tensor:
    """As `torch.log_softmax` over the last axis, and several times as fast for few classes on a CPU."""
    shifted_TBC = logits_TBC - _largest(logits_TBC)
    return shifted_TBC - shifted_TBC.exp().sum(-1, keepdim=True).log()


def _largest(logits_TBC: Tensor) -> Tensor:
    """The largest logit of each sample, without a gradient, since its own cancels out."""
    return logits_TBC.detach().amax(-1, keepdim=True)


# What a loss may be applied to, by the name used in `loss.output`.
OUTPUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "logits": lambda logits_TBC: logits_TBC,
    "softmax": softmax,
    "log_softmax": log_softmax,
}
# The gradient by the logits, from the output and from the gradient by the output, which may be overwritten.
THROUGH_OUTPUTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "logits": lambda _, grad_TBC: grad_TBC,
    "softmax": lambda p_TBC, grad_TBC: grad_TBC.sub_((grad_TBC * p_TBC).sum(-1, keepdim=True)).mul_(p_TBC),
    "log_softmax": lambda log_p_TBC, grad_TBC: grad_TBC - log_p_TBC.exp() * grad_TBC.sum(-1, keepdim=True),
}
# Functions of the logits whose softmax gives the class probabilities. The softmax of log-sigmoids is each sigmoid
# divided by their sum.
SCORES: dict[str, Callable[[Tensor], Tensor]] = {"softmax": lambda logits_TBC: logits_TBC, "sigmoid": F.logsigmoid}


def negative_log(log_p_TBC: Tensor, y_TB: Tensor, target_TBC: Tensor | None) -> Tensor:
    """Negative log-probability (T, B) of the true class, or its mean under a smoothed target.

    Args:
        log_p_TBC: Log-probabilities (T, B, C).
        y_TB: Class indices, int64, shape (T, B).
        target_TBC: Class weights (T, B, C) to use in place of `y_TB`, or None.
    """
    if target_TBC is None:
        return -log_p_TBC.gather(-1, y_TB[..., None]).squeeze(-1)
    return -(target_TBC * log_p_TBC).sum(-1)


def smoothed(logits_TBC: Tensor, y_TB: Tensor, smoothing_T: Tensor | None) -> Tensor | None:
    """The smoothed target (1 - s) · one-hot + s / C of each sample (T, B, C); None without smoothing.

    Args:
        logits_TBC: Logits (T, B, C), for shape, dtype and device.
        y_TB: Class indices, int64, shape (T, B).
        smoothing_T: s of each trial, from 0 to 1, shape (T,); None where no trial smooths its labels.
    """
    if smoothing_T is None:
        return None
    n_classes, smoothing_T11 = logits_TBC.shape[-1], smoothing_T[:, None, None]
    return one_hot(logits_TBC, y_TB) * (1 - smoothing_T11) + smoothing_T11 / n_classes


def one_hot(like_TBC: Tensor, y_TB: Tensor) -> Tensor:
    """1 at the true class, else 0, like `like_TBC`. torch's own reads the class indices, which stalls a GPU."""
    return torch.zeros_like(like_TBC).scatter_(-1, y_TB[..., None], 1.0)


def softmax_nll(logits_TBC: Tensor, y_TB: Tensor, target_TBC: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Cross-entropy of the softmax, with the terms of its gradient.

    One exponential serves the loss and its gradient, where autograd's log-softmax needs three passes. The largest logit
    is subtracted first, so that logits of any size keep their differences.

    Args:
        logits_TBC: Logits (T, B, C).
        y_TB: Class indices, int64, shape (T, B).
        target_TBC: Class weights (T, B, C) to use in place of `y_TB`, or None.

    Returns:
        The loss of each sample (T, B, 1), exp(z - max z) (T, B, C), and its sum over classes (T, B, 1).
    """
    shifted_TBC = logits_TBC - _largest(logits_TBC)
    if target_TBC is None:
        true_TB1 = shifted_TBC.gather(-1, y_TB.unsqueeze(-1))
    else:
        true_TB1 = (target_TBC * shifted_TBC).sum(-1, keepdim=True)
    exp_TBC = shifted_TBC.exp()
    total_TB1 = exp_TBC.sum(-1, keepdim=True)
    return total_TB1.log() - true_TB1, exp_TBC, total_TB1
