"""Metrics of stacked networks on one split. Axes: T trials, B batch, D features, C classes, P parameters."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from phalanx.data import Split
from phalanx.losses import LossSpec
from phalanx.models import Layout, ModelSpec

CHUNK_NUMBERS = 1 << 22  # activations held at once: 16 MB of float32 an operand, which caches well


class Sums:
    """Loss, hits and log-likelihood summed over samples, each (T,); one transfer to the host a reading."""

    def __init__(self, n_trials: int, device: torch.device) -> None:
        # float32 on purpose on MPS, which has no float64; elsewhere sums over 60,000 samples keep all digits.
        dtype = torch.float32 if device.type == "mps" else torch.float64
        self.totals_3T = torch.zeros(3, n_trials, dtype=dtype, device=device)
        self.n_samples = 0

    @torch.no_grad()
    def add(self, logits_TBC: Tensor, y_TB: Tensor, loss_TB: Tensor) -> None:
        """Adds one batch."""
        hits_T = (logits_TBC.argmax(-1) == y_TB).sum(1)
        log_p_TB = F.log_softmax(logits_TBC, -1).gather(-1, y_TB[..., None]).squeeze(-1)
        for total_T, part_T in zip(self.totals_3T, (loss_TB.sum(1), hits_T, log_p_TB.sum(1)), strict=True):
            total_T += part_T
        self.n_samples += y_TB.shape[1]

    def means(self) -> list[dict[str, float]]:
        """One dict a trial: mean loss, accuracy, and likelihood = exp(mean log p of the true class)."""
        n = max(self.n_samples, 1)
        loss_T, hits_T, log_p_T = (self.totals_3T.to("cpu", torch.float64) / n).unbind()
        rows = zip(loss_T.tolist(), hits_T.tolist(), log_p_T.exp().tolist(), strict=True)
        return [{"loss": loss, "accuracy": hits, "likelihood": p} for loss, hits, p in rows]


@torch.no_grad()
def logits(model: ModelSpec, layout: Layout, params_TP: Tensor, x_ND: Tensor) -> Tensor:
    """Logits (T, N, C) of every trial on the same rows."""
    x_TND = x_ND.expand(len(params_TP), *x_ND.shape)
    return model.forward(layout.views(params_TP), x_TND)


@torch.no_grad()
def evaluate(
    model: ModelSpec, layout: Layout, loss: LossSpec, params_TP: Tensor, split: Split, smoothing_T: Tensor | None = None
) -> list[dict[str, float]]:
    """Mean loss, accuracy and likelihood of each trial on `split`, in large batches."""
    n_trials, sums = len(params_TP), Sums(len(params_TP), params_TP.device)
    widest = max(max(shape) for shape in layout.shapes)
    n_rows = max(1, CHUNK_NUMBERS // (n_trials * widest))
    for x_BD, y_B in zip(split.x_ND.split(n_rows), split.y_N.split(n_rows), strict=True):
        y_TB = y_B.expand(n_trials, -1)
        logits_TBC = logits(model, layout, params_TP, x_BD)
        sums.add(logits_TBC, y_TB, loss(logits_TBC, y_TB, smoothing_T))
    return sums.means()
