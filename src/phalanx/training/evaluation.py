"""Metrics of stacked networks on one split. Axes: T trials, B batch, D features, C classes, P parameters."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from phalanx.data import Split
from phalanx.nn.losses.stacked import StackedLoss
from phalanx.nn.models import Layout, ModelSpec
from phalanx.nn.models.base import Depths

CHUNK_NUMBERS = 1 << 22  # activations held at once: 16 MB of float32 an operand, which caches well
CHUNK_ROWS = 1024  # samples held at once; the same for any number of trials, and so are the sums to the last bit


class Sums:
    """Loss, hits and log-likelihood summed over samples, each (T,); one transfer to the host a reading."""

    def __init__(self, n_trials: int, device: torch.device) -> None:
        self.totals_3T = torch.zeros(3, n_trials, dtype=_wide(device), device=device)
        self.n_samples = 0

    @torch.no_grad()
    def add(self, logits_TBC: Tensor, y_TB: Tensor, loss: StackedLoss) -> None:
        """Adds one batch."""
        hits_T = (logits_TBC.argmax(-1) == y_TB).sum(1)
        loss_T = loss(logits_TBC, y_TB).sum(1)
        log_p_T = -loss_T if loss.is_log_likelihood else loss.log_p_T(loss.log_p(logits_TBC, y_TB).sum(1), loss_T)
        for total_T, part_T in zip(self.totals_3T, (loss_T, hits_T, log_p_T), strict=True):
            total_T += part_T
        self.n_samples += y_TB.shape[1]

    def means(self) -> list[dict[str, float]]:
        """One dict a trial: mean loss, accuracy, and likelihood = exp(mean log p of the true class)."""
        return _rows(self.totals_3T / max(self.n_samples, 1))


class Tally:
    """What became of every sample in one epoch of training, (T, N) in the order of the epoch; summed at its end."""

    def __init__(self, y_TN: Tensor, loss: StackedLoss, n_trials: int) -> None:
        self.y_TN, self.loss, self.n_trials = y_TN, loss, n_trials
        like = {"size": (n_trials, y_TN.shape[1]), "device": y_TN.device}
        self.loss_TN, self.class_TN = torch.empty(**like), torch.empty(**like, dtype=torch.int64)
        self.log_p_TN = None if loss.is_log_likelihood else torch.empty(**like)

    def cut(self, size: int) -> list[TallyPart]:
        """One part for each batch of `size` samples."""
        log_p = [None] * -(-self.y_TN.shape[1] // size) if self.log_p_TN is None else self.log_p_TN.split(size, 1)
        y_TN = self.y_TN.expand(self.n_trials, -1)
        columns = (y_TN.split(size, 1), self.loss_TN.split(size, 1), self.class_TN.split(size, 1), log_p)
        return [TallyPart(self.loss, *part) for part in zip(*columns, strict=True)]

    def write(self, columns_B: Tensor, logits_TBC: Tensor, loss_TB: Tensor, y_TB: Tensor) -> None:
        """What `TallyPart.note` does, for columns that only the device knows."""
        self.loss_TN.index_copy_(1, columns_B, loss_TB)
        if self.loss.samples_classes:
            return
        self.class_TN.index_copy_(1, columns_B, logits_TBC.argmax(-1))
        if self.log_p_TN is not None:
            self.log_p_TN.index_copy_(1, columns_B, self.loss.log_p(logits_TBC, y_TB))

    def means(self) -> list[dict[str, float]]:
        """As `Sums.means`; accuracy and likelihood are NaN where the steps looked at some classes only."""
        dtype = _wide(self.loss_TN.device)
        loss_T = self.loss_TN.mean(1, dtype=dtype)
        if self.loss.samples_classes:
            unknown_T = torch.full_like(loss_T, torch.nan)
            return _rows(torch.stack([loss_T, unknown_T, unknown_T]))
        log_p_T = -loss_T if self.log_p_TN is None else self.loss.log_p_T(self.log_p_TN.mean(1, dtype=dtype), loss_T)
        return _rows(torch.stack([loss_T, (self.class_TN == self.y_TN).to(dtype).mean(1), log_p_T]))


class TallyPart(NamedTuple):
    """The columns of one batch, views (T, B)."""

    loss: StackedLoss
    y_TB: Tensor
    loss_TB: Tensor
    class_TB: Tensor
    log_p_TB: Tensor | None

    def note(self, logits_TBC: Tensor, loss_TB: Tensor) -> None:
        """Writes down what a step found."""
        self.loss_TB.copy_(loss_TB)
        if self.loss.samples_classes:
            return
        torch.argmax(logits_TBC, -1, out=self.class_TB)
        if self.log_p_TB is not None:
            self.log_p_TB.copy_(self.loss.log_p(logits_TBC, self.y_TB))


def _wide(device: torch.device) -> torch.dtype:
    """float64, so that sums over 60,000 samples keep all digits; MPS has none."""
    return torch.float32 if device.type == "mps" else torch.float64


def _rows(means_3T: Tensor) -> list[dict[str, float]]:
    loss_T, hits_T, log_p_T = means_3T.to("cpu", torch.float64).unbind()
    rows = zip(loss_T.tolist(), hits_T.tolist(), log_p_T.exp().tolist(), strict=True)
    return [{"loss": loss, "accuracy": hits, "likelihood": p} for loss, hits, p in rows]


@torch.no_grad()
def logits(model: ModelSpec, layout: Layout, params_TP: Tensor, x_ND: Tensor, depths: Depths = None) -> Tensor:
    """Logits (T, N, C) of every trial on the same rows."""
    x_TND = x_ND.expand(len(params_TP), *x_ND.shape)
    return model.forward(layout.views(params_TP), x_TND, depths=depths)


@torch.no_grad()
def evaluate(
    model: ModelSpec, layout: Layout, loss: StackedLoss, params_TP: Tensor, split: Split, depths: Depths = None
) -> list[dict[str, float]]:
    """Mean loss, accuracy and likelihood of each trial on `split`, in large batches."""
    widest = max(max(shape) for shape in layout.shapes)
    n_together = max(1, CHUNK_NUMBERS // (CHUNK_ROWS * widest))
    rows: list[dict[str, float]] = []
    for start in range(0, len(params_TP), n_together):
        places = range(start, min(start + n_together, len(params_TP)))
        some_TP, some = params_TP[start : places.stop], loss.take(places)
        some_depths = None if depths is None else [depths[place] for place in places]
        sums = Sums(len(places), params_TP.device)
        for x_BD, y_B in zip(split.x_ND.split(CHUNK_ROWS), split.y_N.split(CHUNK_ROWS), strict=True):
            y_TB = y_B.expand(len(places), -1)
            logits_TBC = logits(model, layout, some_TP, x_BD, some_depths)
            sums.add(logits_TBC, y_TB, some)
        rows += sums.means()
    return rows
