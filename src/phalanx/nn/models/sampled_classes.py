"""The last layer for a few of many classes: each sample's own and some that all samples of a step share.

Axes: T trials, B batch, D inputs of the layer, C classes, S shared classes, K = 1 + S logits: the own class first.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class SomeClasses:
    """Which logits a step needs. Rows of the other classes are neither multiplied nor read."""

    own_TB: Tensor
    shared_TS: Tensor

    def of(self, logits_TBC: Tensor) -> Tensor:
        """These logits (T, B, K) out of all, where they are there."""
        own_TB1 = logits_TBC.gather(-1, self.own_TB[..., None])
        shared_TBS = logits_TBC.gather(-1, self.shared_TS[:, None].expand(-1, logits_TBC.shape[1], -1))
        return torch.cat([own_TB1, shared_TBS], -1)

    def logits(self, x_TBD: Tensor, weight_TCD: Tensor, bias_TC: Tensor) -> Tensor:
        """These logits (T, B, K) of a linear layer."""
        own_TB = (x_TBD * _rows(weight_TCD, self.own_TB)).sum(-1) + bias_TC.gather(1, self.own_TB)
        bias_T1S = bias_TC.gather(1, self.shared_TS)[:, None]
        shared_TBS = torch.baddbmm(bias_T1S, x_TBD, _rows(weight_TCD, self.shared_TS).transpose(1, 2))
        return torch.cat([own_TB[..., None], shared_TBS], -1)

    def backward(self, grad_TBK: Tensor, x_TBD: Tensor, weight_TCD: Tensor, into: tuple[Tensor, Tensor]) -> Tensor:
        """Writes the gradients of weight and bias to `into`; returns that of the layer's input (T, B, D)."""
        own_TB1, shared_TBS = grad_TBK[..., :1], grad_TBK[..., 1:]
        for target, own, shared in (
            (into[0], own_TB1 * x_TBD, torch.bmm(shared_TBS.transpose(1, 2), x_TBD)),
            (into[1], own_TB1[..., 0], shared_TBS.sum(1)),
        ):
            target.zero_()
            target.scatter_add_(1, _as(self.own_TB, own), own)
            target.scatter_add_(1, _as(self.shared_TS, shared), shared)
        grad_TBD = torch.bmm(shared_TBS, _rows(weight_TCD, self.shared_TS))
        return grad_TBD.addcmul_(own_TB1, _rows(weight_TCD, self.own_TB))


def _rows(weight_TCD: Tensor, classes_TN: Tensor) -> Tensor:
    """The rows of these classes, (T, N, D)."""
    return weight_TCD.gather(1, classes_TN[..., None].expand(-1, -1, weight_TCD.shape[2]))


def _as(classes_TN: Tensor, values: Tensor) -> Tensor:
    return classes_TN if values.dim() == 2 else classes_TN[..., None].expand_as(values)
