"""Class weights: how much a training sample counts, by its class. Axes: T trials, C classes.

A training step minimises the mean over the batch of w[y] · loss, for every loss. The weights are scaled so that their
mean over the training rows is 1: a sample counts the same in each batch whatever its neighbours are, and multiplying
all weights by a number changes nothing. Over the whole training split it is `torch.nn.CrossEntropyLoss(weight=w)`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

NONE, BALANCED = "none", "balanced"
Wanted = str | Sequence[float]


def class_weights(wanted: Wanted, counts_C: Sequence[int]) -> np.ndarray:
    """The weight of each class, float64 (C,), whose mean over the training rows is 1.

    Args:
        wanted: `none` for 1; `balanced` for n / (C · n_c), as scikit-learn's `compute_class_weight`, where C counts the
            classes that have a training row; or a number for each class.
        counts_C: The number of training rows of each class.

    Raises:
        ValueError: `wanted` has another number of weights than there are classes, or is 0 for every training row.
    """
    rows_C = np.asarray(counts_C, np.float64)
    if isinstance(wanted, str):
        weights_C = np.ones(len(rows_C))
        if wanted == BALANCED:
            weights_C = np.divide(1, rows_C, out=np.zeros(len(rows_C)), where=rows_C > 0)
    elif len(wanted) != len(rows_C):
        raise ValueError(f"{len(wanted)} class weights for {len(rows_C)} classes")
    else:
        weights_C = np.asarray(wanted, np.float64)
    total = float((weights_C * rows_C).sum())
    if not total:
        raise ValueError("the class weights are 0 for every training row")
    scaled_C: np.ndarray = weights_C * (rows_C.sum() / total)
    return scaled_C


def stacked_class_weights(
    wanted: Sequence[Wanted], counts: Sequence[Sequence[int]], device: torch.device
) -> Tensor | None:
    """The class weights of each trial, float32 (T, C); None where no trial has any.

    Args:
        wanted: What each trial asks for, as `class_weights` takes it.
        counts: The number of training rows of each class, of each trial.
        device: Where the weights are needed.
    """
    if all(trial == NONE for trial in wanted):
        return None
    pairs = zip(wanted, counts, strict=True)
    rows = np.stack([np.ones(len(own_C)) if w == NONE else class_weights(w, own_C) for w, own_C in pairs])
    return torch.from_numpy(rows.astype(np.float32)).to(device)
