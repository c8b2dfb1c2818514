"""Muon for weight matrices, as `torch.optim.Muon`, with AdamW for all other parameters.

Jordan, "Muon: an optimizer for hidden layers in neural networks", 2024; steps that suit rates of AdamW: Liu
et al., "Muon is scalable for LLM training", 2025. The matrices are orthogonalised in float32, torch's in bfloat16.
Axes: T trials, P parameters, M numbers of the matrices, R all other numbers, H rows and D columns of a matrix.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from phalanx.core.specs import stacked, static
from phalanx.nn.models.layout import Layout
from phalanx.nn.optimizers.adam import AdamW
from phalanx.nn.optimizers.base import Columns, Hyper, State, shrink
from phalanx.nn.products import product

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of x, x³ and x⁵, which bring singular values from (0, 1] near to 1
SMALLEST_NORM = 1e-7


@dataclass(frozen=True, kw_only=True)
class Muon(AdamW):
    """m ← momentum·m + (1-momentum)·g;  p ← p - lr·decay·p;  p ← p - lr·size·orthogonalised(m), for each matrix.

    With Nesterov momentum, (1-momentum)·g + momentum·m is orthogonalised. The size follows from the matrix's shape.
    """

    name: ClassVar[str] = "muon"
    pads: ClassVar[bool] = False
    weight_decay: float = stacked(0.1, ge=0, advice="0.1")
    momentum: float = stacked(0.95, ge=0, lt=1, advice="0.95")
    nesterov: bool = static(True)
    n_iterations: int = static(5, ge=1, lt=100)
    step_size: str = static("match_adamw", choices=("match_adamw", "original"))
    last_layer: str = static("adamw", choices=("adamw", "muon"))
    adamw_factor: float = stacked(1.0, gt=0)
    layout: Layout | None = static(None, internal=True, determines_numbers=False)  # noqa: RUF009

    def bound(self, layout: Layout) -> Muon:
        """See `OptimizerSpec.bound`."""
        return replace(self, layout=layout)

    def columns(self, hyper: Hyper, like: Tensor) -> Columns:
        return super().columns({**hyper, "one_minus_momentum": 1 - hyper["momentum"]}, like)

    def init(self, params_TP: Tensor, columns: Columns) -> State:
        matrices, others = self._parts(params_TP)
        n_matrices = sum(matrix_THD[0].numel() for matrix_THD in matrices)
        return {"momentum_TM": params_TP.new_zeros(len(params_TP), n_matrices), **super().init(_flat(others), columns)}

    def tables(self, lr_ST: Tensor, step_ST: Tensor, hyper: Hyper) -> dict[str, Tensor]:
        return {**super().tables(lr_ST * hyper["adamw_factor"], step_ST, hyper), "muon_lr": lr_ST[..., None]}

    def update(
        self, params_TP: Tensor, grads_TP: Tensor, state: State, at: dict[str, Tensor], columns: Columns
    ) -> None:
        (matrices, others), (grads, other_grads) = self._parts(params_TP), self._parts(grads_TP)
        start = 0
        for matrix_THD, grad_THD in zip(matrices, grads, strict=True):
            end = start + matrix_THD[0].numel()
            mean_THD = state["momentum_TM"][:, start:end].view_as(matrix_THD)
            self._update_matrix(matrix_THD, grad_THD, mean_THD, at["muon_lr"], columns)
            start = end
        if not others:
            return
        others_TR = _flat(others)
        super().update(others_TR, _flat(other_grads), state, at, columns)
        widths = [other[0].numel() for other in others]
        for other, part_TR in zip(others, torch.split(others_TR, widths, 1), strict=True):
            other.copy_(part_TR.view_as(other))

    def _update_matrix(
        self, matrix_THD: Tensor, grad_THD: Tensor, mean_THD: Tensor, lr_T1: Tensor, columns: Columns
    ) -> None:
        n_rows, n_columns = matrix_THD.shape[1:]
        mean_THD.lerp_(grad_THD, columns["one_minus_momentum"][..., None])
        if self.nesterov:
            momentum_T1 = columns.get("momentum")
            mean_THD = grad_THD if momentum_T1 is None else grad_THD.lerp(mean_THD, momentum_T1[..., None])
        if self.step_size == "original":
            size = math.sqrt(max(1.0, n_rows / n_columns))
        else:
            size = 0.2 * math.sqrt(max(n_rows, n_columns))
        decay_T1 = columns.get("weight_decay")
        shrink(matrix_THD, lr_T1[..., None], None if decay_T1 is None else decay_T1[..., None])
        matrix_THD.addcmul_(orthogonalised(mean_THD, self.n_iterations), lr_T1[..., None], value=-size)

    def _parts(self, flat_TP: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Views of the matrices that Muon updates, and of all other tensors."""
        if self.layout is None:
            raise ValueError("optimizer=muon knows no matrices before `bound` tells it their shapes")
        views = self.layout.views(flat_TP)[: len(self.layout.shapes) - self.layout.n_buffers]
        places = [place for place, view in enumerate(views) if view.ndim == 3 and view.numel()]
        if self.last_layer == "adamw":
            places = places[:-1]
        return [views[place] for place in places], [view for place, view in enumerate(views) if place not in places]


def orthogonalised(matrix_THD: Tensor, n_iterations: int) -> Tensor:
    """About U·Vᵀ of the singular value decomposition U·S·Vᵀ of each matrix, by Newton-Schulz iterations.

    Args:
        matrix_THD: The matrices.
        n_iterations: How many iterations; after five, singular values lie between about 0.7 and 1.2.
    """
    first, third, fifth = COEFFICIENTS
    is_tall = matrix_THD.shape[1] > matrix_THD.shape[2]
    x_THD = matrix_THD.mT if is_tall else matrix_THD
    norm_T = torch.linalg.vector_norm(x_THD.flatten(1), dim=1).clamp(min=SMALLEST_NORM)
    x_THD = x_THD / norm_T[:, None, None]
    for _ in range(n_iterations):
        gram_THH = product(x_THD, x_THD.mT)
        factor_THH = product(gram_THH, gram_THH).mul_(fifth).add_(gram_THH, alpha=third)
        x_THD = product(factor_THH, x_THD).add_(x_THD, alpha=first)
    return x_THD.mT if is_tall else x_THD


def _flat(tensors: list[Tensor]) -> Tensor:
    """A copy of the tensors' numbers as rows (T, R)."""
    return torch.cat([tensor.flatten(1) for tensor in tensors], 1)
