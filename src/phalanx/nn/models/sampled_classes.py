"""The last layer for a few of many classes: each sample's own class and some that all samples of a step share.

Axes: T trials, B batch, D inputs of the layer, C classes, S shared classes, K = 1 + S logits, the own class first.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from phalanx.nn.products import product


@dataclass(frozen=True)
class SampledClasses:
    """The classes whose logits a step needs. The weights of other classes are not read."""

    own_TB: Tensor  # int64
    shared_TS: Tensor  # int64

    def select(self, logits_TBC: Tensor) -> Tensor:
        """The logits (T, B, K) of these classes, from those of all classes."""
        own_TB1 = logits_TBC.gather(-1, self.own_TB[..., None])
        shared_TBS = logits_TBC.gather(-1, self.shared_TS[:, None].expand(-1, logits_TBC.shape[1], -1))
        return torch.cat([own_TB1, shared_TBS], -1)

    def logits(self, x_TBD: Tensor, weight_TCD: Tensor, bias_TC: Tensor) -> Tensor:
        """The logits (T, B, K) of these classes, computed by a linear layer.

        Args:
            x_TBD: The layer's input (T, B, D).
            weight_TCD: Its weights (T, C, D).
            bias_TC: Its biases (T, C).
        """
        own_TB = (x_TBD * _rows(weight_TCD, self.own_TB)).sum(-1) + bias_TC.gather(1, self.own_TB)
        bias_T1S = bias_TC.gather(1, self.shared_TS)[:, None]
        shared_TBS = product(x_TBD, _rows(weight_TCD, self.shared_TS).transpose(1, 2), bias_T1S)
        return torch.cat([own_TB[..., None], shared_TBS], -1)

    def backward(self, grad_TBK: Tensor, x_TBD: Tensor, weight_TCD: Tensor, out: Sequence[Tensor]) -> Tensor:
        """The backward pass of `logits`; returns the gradient by the layer's input (T, B, D).

        Args:
            grad_TBK: Gradient by the logits (T, B, K).
            x_TBD: The layer's input (T, B, D).
            weight_TCD: Its weights (T, C, D).
            out: Takes the gradients by the weights (T, C, D) and by the biases (T, C).
        """
        own_TB1, shared_TBS = grad_TBK[..., :1], grad_TBK[..., 1:]
        for target, own, shared in (
            (out[0], own_TB1 * x_TBD, product(shared_TBS.transpose(1, 2), x_TBD)),
            (out[1], own_TB1[..., 0], shared_TBS.sum(1)),
        ):
            target.zero_()
            target.scatter_add_(1, _expanded(self.own_TB, own), own)
            target.scatter_add_(1, _expanded(self.shared_TS, shared), shared)
        grad_TBD = product(shared_TBS, _rows(weight_TCD, self.shared_TS))
        return grad_TBD.addcmul_(own_TB1, _rows(weight_TCD, self.own_TB))


def _rows(weight_TCD: Tensor, classes_TN: Tensor) -> Tensor:
    """The weights (T, N, D) of these classes."""
    return weight_TCD.gather(1, classes_TN[..., None].expand(-1, -1, weight_TCD.shape[2]))


def _expanded(classes_TN: Tensor, values: Tensor) -> Tensor:
    return classes_TN if values.dim() == 2 else classes_TN[..., None].expand_as(values)
