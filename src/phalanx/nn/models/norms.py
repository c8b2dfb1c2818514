"""Layer norm and batch norm of a hidden layer, with the backward pass written by hand.

Both subtract a mean and divide by a standard deviation: over the units of each sample, or over the batch for each unit.
Axes: T trials, B batch, H units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from phalanx.nn.products import sum_of_batch

AXES = {"layer": 2, "batch": 1}  # over which the numbers (T, B, H) get mean 0 and variance 1
EPS = 1e-5  # added to a variance, as torch's default
MOMENTUM = 0.1  # the part of a batch in the running statistics, as torch's default


@dataclass(frozen=True)
class Norm:
    """The norm of one hidden layer of T trials.

    Attributes:
        axis: 1 for batch norm, 2 for layer norm.
        scale_TH: Factors behind the division, (T, H).
        shift_TH: What is added last, (T, H).
        running: Mean and variance of training, (T, H) each, of a batch norm; else empty.
    """

    axis: int
    scale_TH: Tensor
    shift_TH: Tensor
    running: Sequence[Tensor] = ()

    def evaluate(self, z_TBH: Tensor) -> Tensor:
        """The output (T, B, H) of a network that is evaluated: a batch norm takes the running statistics."""
        if not self.running:
            return self.train(z_TBH)[0]
        mean_TH, variance_TH = self.running
        scale_TH = self.scale_TH / (variance_TH + EPS).sqrt()
        return z_TBH * scale_TH[:, None] + (self.shift_TH - mean_TH * scale_TH)[:, None]

    def train(self, z_TBH: Tensor) -> tuple[Tensor, NormState]:
        """The output (T, B, H) in training, and what `backward` needs. Updates the running statistics."""
        centred_TBH = z_TBH.float()
        mean = _mean(centred_TBH, self.axis)
        centred_TBH = centred_TBH - mean
        variance = _mean(centred_TBH * centred_TBH, self.axis)
        if self.running:
            n_batch = z_TBH.shape[1]
            self._track(mean[:, 0], variance[:, 0] * (n_batch / (n_batch - 1)))
        inverse = 1 / (variance + EPS).sqrt()
        unit_TBH = centred_TBH * inverse
        out_TBH = unit_TBH * self.scale_TH[:, None].float() + self.shift_TH[:, None].float()
        return out_TBH.to(z_TBH.dtype), NormState(unit_TBH, inverse)

    def _track(self, mean_TH: Tensor, variance_TH: Tensor) -> None:
        """Moves the running statistics towards those of a batch, with its unbiased variance."""
        for running_TH, found_TH in zip(self.running, (mean_TH, variance_TH), strict=True):
            running_TH.mul_(1 - MOMENTUM).add_(found_TH * MOMENTUM)

    def backward(self, grad_TBH: Tensor, state: NormState, out: Sequence[Tensor]) -> Tensor:
        """The gradient (T, B, H) by the input.

        Args:
            grad_TBH: That by the output.
            state: What `train` returned.
            out: Takes the gradients by scale and shift, (T, H) each.
        """
        grad_TBH, dtype = grad_TBH.float(), grad_TBH.dtype
        for target_TH, values_TBH in zip(out, (grad_TBH * state.unit_TBH, grad_TBH), strict=True):
            target_TH.copy_(_sum_of_batch(values_TBH))
        grad_TBH = grad_TBH * self.scale_TH[:, None].float()
        straight_TBH = grad_TBH - _mean(grad_TBH, self.axis)
        along_TBH = state.unit_TBH * _mean(grad_TBH * state.unit_TBH, self.axis)
        return ((straight_TBH - along_TBH) * state.inverse).to(dtype)


@dataclass(frozen=True)
class NormState:
    """What the backward pass of a norm needs: its output before scale and shift, and one over the deviations."""

    unit_TBH: Tensor
    inverse: Tensor


def norm_of(kind: str, tensors: Sequence[Tensor], layer: int, n_layers: int) -> Norm | None:
    """The norm behind a hidden layer.

    Args:
        kind: `none`, `layer` or `batch`.
        tensors: Scale and shift of each layer, then the running statistics of each layer.
        layer: The layer, from 0.
        n_layers: The number of hidden layers.
    """
    if kind == "none":
        return None
    running = tensors[2 * (n_layers + layer) :][:2]
    return Norm(AXES[kind], tensors[2 * layer], tensors[2 * layer + 1], running)


def norm_tensors(kind: str, widths: Sequence[int]) -> tuple[dict[str, tuple[int, ...]], int]:
    """Names and shapes of the tensors that `norm_of` takes, and how many of them, the last ones, are not trained.

    Args:
        kind: As in `norm_of`.
        widths: H of each layer.
    """
    parts = {"none": (), "layer": (("weight", "bias"),), "batch": (("weight", "bias"), ("running_mean", "running_var"))}
    shapes: dict[str, tuple[int, ...]] = {
        f"norms.{layer}.{name}": (width,)
        for names in parts[kind]
        for layer, width in enumerate(widths)
        for name in names
    }
    return shapes, 2 * len(widths) if kind == "batch" else 0


def _mean(values_TBH: Tensor, axis: int) -> Tensor:
    """The mean over the batch (T, 1, H) or over the units (T, B, 1)."""
    if axis == AXES["layer"]:
        return values_TBH.mean(2, keepdim=True)
    return (_sum_of_batch(values_TBH) / values_TBH.shape[1])[:, None]


def _sum_of_batch(values_TBH: Tensor) -> Tensor:
    return sum_of_batch(values_TBH, torch.empty_like(values_TBH[:, 0]))
