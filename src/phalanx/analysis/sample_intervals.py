"""95 % intervals of the test metrics of one network over its test samples. They say how much other samples of the same
kind would have given, and nothing about other seeds. Axes: N samples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from phalanx.analysis.bootstrap import Interval, resampled
from phalanx.analysis.metric_intervals import bootstrap_intervals
from phalanx.core.device import threads
from phalanx.core.metrics import METRICS
from phalanx.core.result import TrialResult
from phalanx.data import Dataset
from phalanx.nn.losses.stacked import StackedLoss
from phalanx.nn.metrics.from_probabilities import Probabilities, sample_brier
from phalanx.nn.models.base import InputShape
from phalanx.runs.model_file import saved_logits
from phalanx.training.spec import TrialSpec

Z = 1.959963984540054  # the 97.5 % quantile of the standard normal distribution
MANY = 2000  # samples above which the interval of a mean is the normal one, which is far cheaper and all but the same


def wilson(n_right: int, n_samples: int) -> Interval:
    """Wilson's 95 % interval of a share: where the score test of the share does not reject (Wilson 1927).

    Args:
        n_right: How many samples are right.
        n_samples: Of so many, at least one.
    """
    share, spread = n_right / n_samples, Z**2 / n_samples
    middle = (share + spread / 2) / (1 + spread)
    half = Z / (1 + spread) * math.sqrt(share * (1 - share) / n_samples + spread / (4 * n_samples))
    return Interval(0.0 if n_right == 0 else middle - half, 1.0 if n_right == n_samples else middle + half)


def mean_intervals(values_NK: np.ndarray) -> list[Interval]:
    """The intervals of the means of K quantities over samples."""
    if len(values_NK) <= MANY:
        return [Interval.of(draws_R) for draws_R in resampled(values_NK).T]
    half_K = Z * values_NK.std(0) / math.sqrt(len(values_NK))
    means_K = values_NK.mean(0)
    return [Interval(*ends) for ends in zip((means_K - half_K).tolist(), (means_K + half_K).tolist(), strict=True)]


def sample_intervals(
    spec: TrialSpec, dataset: Dataset, result: TrialResult, further: Sequence[str] = ()
) -> dict[str, Interval]:
    """The interval of each test metric: Wilson's for shares of samples, by the bootstrap for all others.

    Args:
        spec: What was trained.
        dataset: Its data.
        result: Its result; one without weights, without test metrics or with infinite ones has no intervals.
        further: Metrics, without their split, beside loss, accuracy and likelihood; those without a value have none.

    Returns:
        Lower and upper ends by the name of the metric.
    """
    metrics, split = result.metrics, dataset.test
    values = metrics.test_loss, metrics.test_accuracy, metrics.test_likelihood
    if result.weights is None or any(value is None or not math.isfinite(value) for value in values):
        return {}
    model, cpu = spec.model.bound(InputShape(*dataset.sizes)), torch.device("cpu")
    loss, y_1N = StackedLoss([spec.loss], cpu), split.y_N.to(cpu)[None]
    with threads(1):  # several would wait for each other at so small a split
        logits_1NC = saved_logits(model, result.weights, split.x_ND.to(cpu), dataset.n_classes)[None]
        loss_N, log_p_N = (find(logits_1NC, y_1N)[0].double().numpy() for find in (loss, loss.log_p))
        if not np.isfinite([loss_N, log_p_N]).all():
            return {}
        of_loss, of_log_p = mean_intervals(np.stack([loss_N, log_p_N], 1))
        names = [name for name in dict.fromkeys(further) if metrics.flat().get(f"test_{name}") is not None]
        given = Probabilities(loss.log_probabilities(logits_1NC)[0].float().numpy(), y_1N[0].numpy()) if names else None
        of_further = further_intervals(given, metrics.flat(), names) if given else {}
    assert metrics.test_accuracy is not None
    return {
        "test_loss": of_loss,
        "test_accuracy": wilson(round(metrics.test_accuracy * len(split)), len(split)),
        "test_likelihood": Interval(*np.exp(of_log_p).tolist()),
        **{f"test_{name}": of_further[name] for name in names if name in of_further},
    }  # fmt: skip


def further_intervals(
    given: Probabilities, metrics: Mapping[str, float | None], names: Sequence[str]
) -> dict[str, Interval]:
    """The intervals of metrics beside loss, accuracy and likelihood.

    Args:
        given: The probabilities and the classes of the test samples.
        metrics: The test metrics by name, `test_f1_macro`.
        names: The metrics, without their split, each of which has a value.
    """
    found, n_samples = dict[str, Interval](), len(given.y_N)
    for name in names:
        info, value = METRICS.get(name), metrics[f"test_{name}"]
        if name == "brier":
            (found[name],) = mean_intervals(sample_brier(given.p_NC, given.y_N)[:, None])
        elif info is not None and info.counts_samples and value is not None:
            found[name] = wilson(round(value * n_samples), n_samples)
    return found | bootstrap_intervals(given, [name for name in names if name not in found])
