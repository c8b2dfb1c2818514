"""Metrics that follow from how often each class was predicted, missed and hit. Axes: T trials, N samples, C classes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


def count_classes(class_TN: Tensor, y_TN: Tensor, n_classes: int) -> Tensor:
    """How often each class was predicted, was missed and was hit, of all trials by one scatter: int64 (T, 3, C).

    Args:
        class_TN: The predicted classes, int64, shape (T, N).
        y_TN: The true classes, int64, shape (T, N).
        n_classes: C.
    """
    true_TN = n_classes * (1 + (class_TN == y_TN).long()) + y_TN
    cells_TM = torch.cat([class_TN, true_TN], 1)
    counts_TK = torch.zeros(len(class_TN), 3 * n_classes, dtype=torch.int64, device=class_TN.device)
    counts_TK.scatter_add_(1, cells_TM, torch.ones_like(cells_TM))
    return counts_TK.view(-1, 3, n_classes)


@dataclass(frozen=True)
class Counts:
    """Numbers of samples by class, float64 (C,): of those with the class, those predicted as it, and both."""

    true_C: np.ndarray
    predicted_C: np.ndarray
    hit_C: np.ndarray

    @classmethod
    def of(cls, counts_3C: np.ndarray) -> Counts:
        """The counts of one trial, from its part of `count_classes`."""
        predicted_C, missed_C, hit_C = counts_3C.astype(np.float64)
        return cls(missed_C + hit_C, predicted_C, hit_C)

    @property
    def seen_C(self) -> np.ndarray:
        """Whether a class is the true or the predicted one of any sample."""
        seen_C: np.ndarray = self.true_C + self.predicted_C > 0
        return seen_C


def balanced_accuracy(counts: Counts) -> float:
    """The mean recall of the classes that have a sample."""
    there_C = counts.true_C > 0
    return _mean(counts.hit_C[there_C] / counts.true_C[there_C])


def f1_macro(counts: Counts) -> float:
    """The mean of F1 = 2 · hits / (true + predicted) over the classes that are a true or a predicted one."""
    return _mean(_f1(counts)[counts.seen_C])


def f1_weighted(counts: Counts) -> float:
    """The mean of F1 weighted by the number of samples of each class."""
    return _ratio(float((_f1(counts) * counts.true_C).sum()), float(counts.true_C.sum()))


def precision_macro(counts: Counts) -> float:
    """The mean of hits / predicted over the classes that are a true or a predicted one; 0 for one never predicted."""
    return _mean(_shares(counts.hit_C, counts.predicted_C)[counts.seen_C])


def recall_macro(counts: Counts) -> float:
    """The mean of hits / true over the classes that are a true or a predicted one; 0 for one without a sample."""
    return _mean(_shares(counts.hit_C, counts.true_C)[counts.seen_C])


def matthews(counts: Counts) -> float:
    """Matthews' correlation for several classes (Gorodkin's R_K); 0 where all predictions, or all samples, are of one
    class."""
    n = float(counts.true_C.sum())
    together = float(counts.hit_C.sum()) * n - float((counts.true_C * counts.predicted_C).sum())
    true, predicted = (n * n - float((of_C * of_C).sum()) for of_C in (counts.true_C, counts.predicted_C))
    return together / (math.sqrt(true) * math.sqrt(predicted)) if true > 0 and predicted > 0 else 0.0


def _f1(counts: Counts) -> np.ndarray:
    return _shares(2 * counts.hit_C, counts.true_C + counts.predicted_C)


def _shares(part_C: np.ndarray, whole_C: np.ndarray) -> np.ndarray:
    shares_C: np.ndarray = part_C / np.maximum(whole_C, 1)
    return shares_C


def _mean(values: np.ndarray) -> float:
    return _ratio(float(values.sum()), len(values))


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


FROM_COUNTS: dict[str, Callable[[Counts], float]] = {
    function.__name__: function
    for function in (balanced_accuracy, f1_macro, f1_weighted, precision_macro, recall_macro, matthews)
}
