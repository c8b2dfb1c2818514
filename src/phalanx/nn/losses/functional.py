"""Formulas that several losses share."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

OUTPUTS = {
    "logits": lambda logits_TBC: logits_TBC,
    "softmax": lambda logits_TBC: torch.softmax(logits_TBC, -1),
    "log_softmax": lambda logits_TBC: F.log_softmax(logits_TBC, -1),
}


# What the softmax is taken of that makes probabilities of logits; of log-sigmoids: each sigmoid over their sum.
SCORES = {"softmax": lambda logits_TBC: logits_TBC, "sigmoid": F.logsigmoid}


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
