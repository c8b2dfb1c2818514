"""Loss, accuracy, likelihood and further metrics of T networks.

Axes: T trials, B batch, N samples, D features, C classes, P parameters of one trial.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from phalanx.data import Split
from phalanx.nn.losses.stacked import StackedLoss
from phalanx.nn.metrics.compute import Wanted
from phalanx.nn.metrics.from_counts import count_classes
from phalanx.nn.models import Layout, ModelSpec
from phalanx.nn.models.base import Depths

CHUNK_NUMBERS = 1 << 22  # activations held at once: 16 MB of float32 an operand, which caches well
ON_CUDA = 16  # times as many on CUDA, where a kernel of few numbers takes as long as its launch
CHUNK_ROWS = 1024  # samples held at once; independent of the number of trials, so that sums keep their last bit
KEPT_NUMBERS = 1 << 25  # probabilities of several trials that are held for metrics at once
NOTHING = Wanted()
Further = tuple[Mapping[str, float], np.ndarray | None]  # further metrics, and the counts that some are computed from


class Scores(NamedTuple):
    """Metrics of one trial over some samples; the likelihood is exp(mean log p of the true class)."""

    loss: float
    accuracy: float
    likelihood: float
    further: Mapping[str, float] = {}  # by name: the metrics that were asked for
    counts_3C: np.ndarray | None = None  # how often each class was predicted, missed and hit, where a metric needs it

    def flat(self) -> dict[str, float]:
        """All of them by name."""
        return {"loss": self.loss, "accuracy": self.accuracy, "likelihood": self.likelihood, **self.further}


class Tally:
    """Loss, predicted class and log p of each sample in one training epoch, averaged at its end.

    Args:
        y_TN: The classes in the order of the epoch, int64, shape (T, N), or (1, N) if all trials have the same order.
        loss: The trials' losses.
        n_trials: T.
        samples_classes: Whether steps compute the logits of some classes only, so that accuracy and likelihood of the
            epoch are unknown.
        wanted: Further metrics, computed from the same logits, those before each update.
        n_classes: C.
        real_T: How many samples of each trial count, the first ones, int64; None for all.
    """

    def __init__(
        self, y_TN: Tensor, loss: StackedLoss, n_trials: int, *, samples_classes: bool = False,
        wanted: Wanted = NOTHING, n_classes: int = 0, real_T: Tensor | None = None,
    ) -> None:  # fmt: skip
        self.y_TN, self.loss, self.samples_classes = y_TN, loss, samples_classes
        self.wanted, self.n_classes, self.real_T = wanted, n_classes, real_T
        self.loss_TN = torch.empty(n_trials, y_TN.shape[1], device=y_TN.device)
        self.class_TN = torch.empty_like(self.loss_TN, dtype=torch.int64)
        self.log_p_TN = None if loss.is_log_likelihood else torch.empty_like(self.loss_TN)
        keeps = wanted.probabilities and not samples_classes
        self.logits_TNC = self.loss_TN.new_empty(*self.loss_TN.shape, n_classes) if keeps else None

    def batches(self, size: int) -> list[TallyBatch]:
        """One part for each batch of `size` samples."""
        columns = [
            torch.split(values_TN, size, 1)
            for values_TN in (self.y_TN.expand_as(self.loss_TN), self.loss_TN, self.class_TN)
        ]
        empty = [None] * len(columns[0])
        log_p = empty if self.log_p_TN is None else torch.split(self.log_p_TN, size, 1)
        logits = empty if self.logits_TNC is None else torch.split(self.logits_TNC, size, 1)
        return [TallyBatch(self, *parts) for parts in zip(*columns, log_p, logits, strict=True)]

    def write(self, columns_B: Tensor, logits_TBC: Tensor, loss_TB: Tensor, y_TB: Tensor) -> None:
        """As `TallyBatch.write`, for columns that only the device knows.

        Args:
            columns_B: The batch's places in the order of the epoch, int64, shape (B,).
            logits_TBC: The logits before the update (T, B, C).
            loss_TB: The loss of each sample (T, B).
            y_TB: The classes (T, B).
        """
        self.loss_TN.index_copy_(1, columns_B, loss_TB)
        if self.samples_classes:
            return
        self.class_TN.index_copy_(1, columns_B, logits_TBC.argmax(-1))
        if self.log_p_TN is not None:
            self.log_p_TN.index_copy_(1, columns_B, self.loss.log_p(logits_TBC, y_TB))
        if self.logits_TNC is not None:
            self.logits_TNC.index_copy_(1, columns_B, logits_TBC)

    def means(self) -> list[Scores]:
        """The scores of each trial; all but the loss are NaN where the steps sampled classes."""
        loss_T = self._mean(self.loss_TN)
        if self.samples_classes:
            unknown_T = torch.full_like(loss_T, torch.nan)
            unknown: list[Further] = [(self.wanted.unknown(), None)] * len(loss_T)
            return _scores(torch.stack([loss_T, unknown_T, unknown_T]), unknown)
        log_p_T = -loss_T if self.log_p_TN is None else self.loss.log_p_T(self._mean(self.log_p_TN), loss_T)
        means_3T = torch.stack([loss_T, self._mean(self.class_TN == self.y_TN), log_p_T])
        log_p_TNC = None if self.logits_TNC is None else _log_probabilities(self.loss, self.logits_TNC)
        return _scores(means_3T, self._further(log_p_TNC))

    def _mean(self, values_TN: Tensor) -> Tensor:
        """The mean (T,) over the samples that count, in wide numbers."""
        dtype = _wide(values_TN.device)
        if self.real_T is None:
            return values_TN.to(dtype).mean(1) if values_TN.dtype is torch.bool else values_TN.mean(1, dtype=dtype)
        counts_TN = torch.arange(values_TN.shape[1], device=values_TN.device) < self.real_T[:, None]
        return torch.where(counts_TN, values_TN, 0).sum(1, dtype=dtype) / self.real_T

    def _further(self, log_p_TNC: Tensor | None) -> list[Further]:
        n_samples = self.class_TN.shape[1]
        reals = [n_samples] if self.real_T is None else self.real_T.tolist()
        if min(reals) == n_samples:
            return _further(self.wanted, self.class_TN, self.y_TN, log_p_TNC, self.n_classes)
        y_TN, found = self.y_TN.expand_as(self.class_TN), list[Further]()
        for i, n in enumerate(reals):
            log_p_1NC = None if log_p_TNC is None else log_p_TNC[i : i + 1, :n]
            found += _further(self.wanted, self.class_TN[i : i + 1, :n], y_TN[i : i + 1, :n], log_p_1NC, self.n_classes)
        return found


class TallyBatch(NamedTuple):
    """The columns of one batch, views (T, B)."""

    tally: Tally
    y_TB: Tensor
    loss_TB: Tensor
    class_TB: Tensor
    log_p_TB: Tensor | None
    logits_TBC: Tensor | None

    def write(self, logits_TBC: Tensor, loss_TB: Tensor) -> None:
        """Stores the logits' predictions and the losses of a step."""
        self.loss_TB.copy_(loss_TB)
        if self.tally.samples_classes:
            return
        torch.argmax(logits_TBC, -1, out=self.class_TB)
        if self.log_p_TB is not None:
            self.log_p_TB.copy_(self.tally.loss.log_p(logits_TBC, self.y_TB))
        if self.logits_TBC is not None:
            self.logits_TBC.copy_(logits_TBC)


def sizes_at_once(n_samples: int) -> set[int]:
    """How many samples of a split are evaluated at once: always as many, and the rest."""
    return {size for size in (min(n_samples, CHUNK_ROWS), n_samples % CHUNK_ROWS) if size}


def _wide(device: torch.device) -> torch.dtype:
    """float64, so that sums over 60,000 samples keep all digits; float32 on MPS, which lacks it."""
    return torch.float32 if device.type == "mps" else torch.float64


def _scores(means_3T: Tensor, further: Sequence[Further]) -> list[Scores]:
    loss_T, hits_T, log_p_T = means_3T.to("cpu", torch.float64).unbind()
    rows = zip(loss_T.tolist(), hits_T.tolist(), log_p_T.exp().tolist(), further, strict=True)
    return [Scores(loss, hits, p, *more) for loss, hits, p, more in rows]


def _log_probabilities(loss: StackedLoss, logits_TNC: Tensor) -> Tensor:
    """Log-probabilities (T, N, C), of as many samples at once as an evaluation computes."""
    parts = (part_TBC.contiguous() for part_TBC in torch.split(logits_TNC, CHUNK_ROWS, 1))
    return torch.cat([loss.log_probabilities(part_TBC) for part_TBC in parts], 1)


def _further(wanted: Wanted, class_TN: Tensor, y_TN: Tensor, log_p_TNC: Tensor | None, n_classes: int) -> list[Further]:
    """The further metrics of each trial, which are computed trial by trial on the CPU, and its counts of classes.

    Args:
        wanted: The metrics.
        class_TN: The predicted classes, int64, shape (T, N).
        y_TN: The true ones, int64, shape (T, N), or (1, N) for all trials.
        log_p_TNC: Log-probabilities (T, N, C); None where no metric needs them.
        n_classes: C.
    """
    if not wanted.names:
        return [({}, None)] * len(class_TN)
    every_y_TN = y_TN.expand_as(class_TN)
    counts_T3C = count_classes(class_TN, every_y_TN, n_classes).cpu().numpy() if wanted.counts else None
    held_TNC = None if log_p_TNC is None else log_p_TNC.cpu().numpy()
    held_y_TN = every_y_TN.cpu().numpy()
    each_3C = [None] * len(class_TN) if counts_T3C is None else list(counts_T3C)
    return [
        (wanted.compute(counts_3C, None if held_TNC is None else held_TNC[place], held_y_TN[place]), counts_3C)
        for place, counts_3C in enumerate(each_3C)
    ]


@dataclass(frozen=True)
class OwnSplits:
    """Splits of as many samples, one for each trial: features `x_TND` and classes `y_TN`."""

    x_TND: Tensor
    y_TN: Tensor

    @classmethod
    def of(cls, splits: Sequence[Split]) -> OwnSplits:
        """The split of each trial."""
        return cls(torch.stack([split.x_ND for split in splits]), torch.stack([split.y_N for split in splits]))

    def take(self, places: range) -> OwnSplits:
        """Those of the trials at these places."""
        return OwnSplits(self.x_TND[places.start : places.stop], self.y_TN[places.start : places.stop])

    def __len__(self) -> int:
        return self.y_TN.shape[1]

    def parts(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Features (T, B, D) and classes (T, B) of so many samples at a time, in order."""
        yield from zip(torch.split(self.x_TND, size, 1), torch.split(self.y_TN, size, 1), strict=True)


@torch.no_grad()
def logits(model: ModelSpec, layout: Layout, params_TP: Tensor, x_ND: Tensor, depths: Depths = None) -> Tensor:
    """Logits (T, N, C) of every trial.

    Args:
        model: The family, with its static options.
        layout: Its layout.
        params_TP: Parameters (T, P).
        x_ND: Features (N, D), or (T, N, D) of samples of its own for each trial.
        depths: See `ModelSpec.forward`.
    """
    x_TND = x_ND.expand(len(params_TP), *x_ND.shape[-2:])
    return model.forward(layout.views(params_TP), x_TND, depths=depths)


def evaluate(
    model: ModelSpec, layout: Layout, loss: StackedLoss, params_TP: Tensor, split: Split | OwnSplits,
    depths: Depths = None, wanted: Wanted = NOTHING,
) -> list[Scores]:  # fmt: skip
    """The scores of each trial on a whole split, computed in large batches.

    Args:
        model: The family, with its static options.
        layout: Its layout.
        loss: The trials' losses.
        params_TP: Parameters (T, P).
        split: The samples, of all trials or of each its own.
        depths: See `ModelSpec.forward`.
        wanted: Further metrics.
    """
    widest = max((length for shape in layout.shapes for length in shape), default=1)
    n_numbers = CHUNK_NUMBERS * (ON_CUDA if params_TP.is_cuda else 1)
    n_together = max(1, n_numbers // (CHUNK_ROWS * widest))
    if wanted.probabilities:
        n_together = max(1, min(n_together, KEPT_NUMBERS // (max(len(split), 1) * widest)))
    rows: list[Scores] = []
    for start in range(0, len(params_TP), n_together):
        places = range(start, min(start + n_together, len(params_TP)))
        own_depths = None if depths is None else [depths[place] for place in places]
        own = split.take(places) if isinstance(split, OwnSplits) else split
        rows += _evaluate(model, layout, loss.take(places), params_TP[start : places.stop], own, own_depths, wanted)
    return rows


@torch.no_grad()
def _evaluate(
    model: ModelSpec, layout: Layout, loss: StackedLoss, params_TP: Tensor, split: Split | OwnSplits,
    depths: Depths, wanted: Wanted,
) -> list[Scores]:  # fmt: skip
    totals_3T = torch.zeros(3, len(params_TP), dtype=_wide(params_TP.device), device=params_TP.device)
    classes, log_p, n_classes = list[Tensor](), list[Tensor](), 0
    for x_BD, y_B in split.parts(CHUNK_ROWS):
        y_TB = y_B.expand(len(params_TP), -1)
        logits_TBC = logits(model, layout, params_TP, x_BD, depths)
        loss_T = loss(logits_TBC, y_TB).sum(1)
        log_p_T = -loss_T if loss.is_log_likelihood else loss.log_p_T(loss.log_p(logits_TBC, y_TB).sum(1), loss_T)
        class_TB = logits_TBC.argmax(-1)
        hits_T = (class_TB == y_TB).sum(1)
        for total_T, part_T in zip(totals_3T, (loss_T, hits_T, log_p_T), strict=True):
            total_T += part_T
        if wanted.names:
            classes.append(class_TB)
            n_classes = logits_TBC.shape[-1]
        if wanted.probabilities:
            log_p.append(loss.log_probabilities(logits_TBC))
    means_3T = totals_3T / max(len(split), 1)
    if not classes:
        return _scores(means_3T, [(wanted.unknown(), None)] * len(params_TP))
    log_p_TNC = torch.cat(log_p, 1) if log_p else None
    y_TN = split.y_TN if isinstance(split, OwnSplits) else split.y_N[None]
    further = _further(wanted, torch.cat(classes, 1), y_TN, log_p_TNC, n_classes)
    return _scores(means_3T, further)
