"""The metrics of class probabilities on a split, as those of a trained run, with intervals over the samples.

Axes: N samples, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from phalanx.analysis.bootstrap import Interval
from phalanx.analysis.ensemble.selection import metrics_of
from phalanx.analysis.sample_intervals import further_intervals, mean_intervals, wilson
from phalanx.core.device import threads
from phalanx.core.metrics import BASIC, FURTHER
from phalanx.core.result import ClassCounts
from phalanx.nn.metrics.from_counts import count_classes
from phalanx.nn.metrics.from_probabilities import Probabilities
from phalanx.training.metric_check import MOST_CLASSES


@dataclass(frozen=True)
class Measured:
    """Metrics of one split by name, `val_accuracy`, None where one is not defined; and the counts of the classes."""

    metrics: dict[str, float | None]
    classes: ClassCounts | None


def measured(split: str, p_NC: np.ndarray, y_N: np.ndarray, own: Sequence[str] = ()) -> Measured:
    """The metrics of a split.

    Args:
        split: `val` or `test`.
        p_NC: Class probabilities, float64.
        y_N: The true classes, int64.
        own: Metrics of the user's own, beside those of Phalanx.
    """
    names = dict.fromkeys([*(info.name for info in (*BASIC, *FURTHER)), *own])
    found = metrics_of(p_NC, y_N, list(names))
    metrics = {f"{split}_{name}": value if math.isfinite(value) else None for name, value in found.items()}
    if p_NC.shape[1] > MOST_CLASSES:
        return Measured(metrics, None)
    class_1N, y_1N = torch.from_numpy(p_NC.argmax(1))[None], torch.from_numpy(y_N)[None]
    predicted_C, missed_C, hit_C = count_classes(class_1N, y_1N, p_NC.shape[1])[0].numpy()
    counts = (tuple(of_C.tolist()) for of_C in (missed_C + hit_C, predicted_C, hit_C))
    return Measured(metrics, ClassCounts(split, *counts))


def test_intervals(p_NC: np.ndarray, y_N: np.ndarray, metrics: Mapping[str, float | None]) -> dict[str, Interval]:
    """The 95 % interval of each test metric over the test samples, as `sample_intervals` has them for a run.

    Args:
        p_NC: Class probabilities, float64.
        y_N: The true classes, int64.
        metrics: The test metrics.
    """
    with np.errstate(divide="ignore"):
        log_p_NC = np.log(p_NC)
    nll_N = -log_p_NC[np.arange(len(y_N)), y_N]
    if not np.isfinite(nll_N).all():
        return {}
    names = [name.removeprefix("test_") for name, value in metrics.items() if value is not None]
    names = [name for name in names if name not in {info.name for info in BASIC}]
    with threads(1):
        (of_loss,) = mean_intervals(nll_N[:, None])
        further = further_intervals(Probabilities(log_p_NC.astype(np.float32), y_N), metrics, names)
    n_right = int((p_NC.argmax(1) == y_N).sum())
    return {
        "test_loss": of_loss,
        "test_accuracy": wilson(n_right, len(y_N)),
        "test_likelihood": Interval(math.exp(-of_loss.high), math.exp(-of_loss.low)),
        **{f"test_{name}": interval for name, interval in further.items()},
    }
