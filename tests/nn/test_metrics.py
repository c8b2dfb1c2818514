"""Every metric against scikit-learn, on random cases with absent classes, ties and saturated probabilities.

Axes: T trials, N samples, C classes.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import sklearn.metrics as oracle
import torch

from phalanx.core.metrics import FURTHER, METRICS
from phalanx.nn.losses import LOSSES
from phalanx.nn.metrics.compute import Wanted
from phalanx.nn.metrics.from_counts import FROM_COUNTS, count_classes
from phalanx.nn.metrics.from_probabilities import FROM_PROBABILITIES

NAMES = tuple(info.name for info in FURTHER)


def one_hot(y_N, n_classes):
    return np.eye(n_classes)[y_N]


def over_classes(score):
    """The mean of a binary metric of each class against the rest; NaN where a class or the rest is absent."""

    def macro(y_N, p_NC, class_N):
        owns = one_hot(y_N, p_NC.shape[1]).T
        if score is oracle.roc_auc_score and any(own.min() == own.max() for own in owns):
            return math.nan
        if any(own.max() == 0 for own in owns):
            return math.nan
        return np.mean([score(own, p_N) for own, p_N in zip(owns, p_NC.T, strict=True)])

    return macro


def top5(y_N, p_NC, class_N):
    """scikit-learn takes the last of equal classes, so it sees them in reverse."""
    n_classes = p_NC.shape[1]
    if n_classes <= 5:
        return 1.0
    return oracle.top_k_accuracy_score(n_classes - 1 - y_N, p_NC[:, ::-1], k=5, labels=range(n_classes))


def calibration_error(y_N, p_NC, class_N):
    """Bin by bin, as the definition says."""
    confidence_N, total = p_NC.max(1), 0.0
    for i in range(15):
        inside_N = (confidence_N > i / 15) & (confidence_N <= (i + 1) / 15)
        if inside_N.any():
            gap = abs((class_N == y_N)[inside_N].mean() - confidence_N[inside_N].mean())
            total += inside_N.mean() * gap
    return total


ORACLES = {
    "balanced_accuracy": lambda y, p, c: oracle.balanced_accuracy_score(y, c),
    "f1_macro": lambda y, p, c: oracle.f1_score(y, c, average="macro", zero_division=0),
    "f1_weighted": lambda y, p, c: oracle.f1_score(y, c, average="weighted", zero_division=0),
    "precision_macro": lambda y, p, c: oracle.precision_score(y, c, average="macro", zero_division=0),
    "recall_macro": lambda y, p, c: oracle.recall_score(y, c, average="macro", zero_division=0),
    "matthews": lambda y, p, c: oracle.matthews_corrcoef(y, c),
    "top5_accuracy": top5,
    "auroc": over_classes(oracle.roc_auc_score),
    "average_precision": over_classes(oracle.average_precision_score),
    "brier": lambda y, p, c: oracle.brier_score_loss(
        y, p[:, 1] if p.shape[1] == 2 else p, scale_by_half=False, labels=range(p.shape[1])
    ),
    "ece": calibration_error,
}


def case(kind, seed):
    """Log-probabilities float32 (N, C) and classes (N,)."""
    rng = np.random.default_rng(seed)
    n, n_classes = int(rng.integers(1, 90)), int(rng.integers(2, 12))
    scores_NC, y_N = rng.normal(size=(n, n_classes)), rng.integers(n_classes, size=n)
    scores_NC[np.arange(n), y_N] += rng.uniform(0, 3)
    if kind == "absent":
        y_N = y_N // 2
    elif kind == "one class":
        y_N[:] = rng.integers(n_classes)
    elif kind == "ties":
        scores_NC = np.round(scores_NC)
    elif kind == "one prediction":
        scores_NC[:, 0] += 50
    elif kind == "saturated":  # probabilities of exactly 0 and 1
        scores_NC *= 200
    elif kind == "all equal":
        scores_NC[:] = 0
    elif kind == "complete":
        y_N = np.concatenate([y_N, np.arange(n_classes)])
        scores_NC = np.concatenate([scores_NC, rng.normal(size=(n_classes, n_classes))])
    return torch.log_softmax(torch.tensor(scores_NC, dtype=torch.float32), 1).numpy(), y_N


def computed(log_p_NC, y_N, names=NAMES):
    class_1N, y_1N = (torch.from_numpy(np.asarray(values))[None] for values in (log_p_NC.argmax(1), y_N))
    counts_3C = count_classes(class_1N, y_1N, log_p_NC.shape[1])[0].numpy()
    return Wanted.of(names).compute(counts_3C, log_p_NC, y_N)


def test_every_metric_is_computed_and_has_an_oracle():
    assert set(NAMES) == set(FROM_COUNTS) | set(FROM_PROBABILITIES) == set(ORACLES)
    assert list(METRICS)[:3] == ["loss", "accuracy", "likelihood"]


@pytest.mark.parametrize(
    "kind", ["plain", "complete", "absent", "one class", "ties", "one prediction", "saturated", "all equal"]
)
def test_each_metric_is_that_of_scikit_learn(kind):
    for seed in range(5):
        log_p_NC, y_N = case(kind, seed)
        found, p_NC = computed(log_p_NC, y_N), np.exp(log_p_NC).astype(np.float64)
        for name, expected in ORACLES.items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                # what is ranked by log-probabilities is given to the oracle as such: they tie less often
                given = log_p_NC.astype(np.float64) if name == "top5_accuracy" else p_NC
                value = expected(y_N, given, log_p_NC.argmax(1))
            assert found[name] == pytest.approx(value, abs=1e-6, nan_ok=True), (name, kind, seed)
            info = METRICS[name]
            assert math.isnan(found[name]) or info.low - 1e-12 <= found[name] <= info.high + 1e-12


def test_an_absent_class_leaves_the_ranking_metrics_undefined_and_no_other():
    log_p_NC = torch.log_softmax(torch.randn(20, 3), 1).numpy()
    found = computed(log_p_NC, np.arange(20) % 2)
    assert {name for name, value in found.items() if math.isnan(value)} == {"auroc", "average_precision"}


def test_probabilities_that_are_no_numbers_have_no_metric():
    log_p_NC = torch.log_softmax(torch.randn(20, 3), 1).numpy()
    log_p_NC[3, 1] = np.nan
    found = computed(log_p_NC, np.arange(20) % 3, tuple(FROM_PROBABILITIES))
    assert all(map(math.isnan, found.values()))


def test_counts_are_those_of_the_confusion_matrix_for_all_trials_at_once():
    class_TN, y_1N = torch.randint(5, (4, 33)), torch.randint(5, (1, 33))
    counts_T3C = count_classes(class_TN, y_1N.expand(4, -1), 5)
    for class_N, counts_3C in zip(class_TN, counts_T3C, strict=True):
        matrix_CC = oracle.confusion_matrix(y_1N[0], class_N, labels=range(5))
        predicted_C, missed_C, hit_C = counts_3C.numpy()
        assert (predicted_C == matrix_CC.sum(0)).all()
        assert (missed_C + hit_C == matrix_CC.sum(1)).all()
        assert (hit_C == matrix_CC.diagonal()).all()


def test_probabilities_are_those_that_belong_to_each_loss():
    from phalanx.nn.losses.stacked import StackedLoss

    logits_TBC = torch.randn(3, 7, 4)
    loss = StackedLoss([LOSSES[name]() for name in ("one_vs_all", "mse", "sampled_softmax")], torch.device("cpu"))
    p_TBC = loss.log_probabilities(logits_TBC).exp()
    sigmoid_BC = logits_TBC[0].sigmoid()
    torch.testing.assert_close(p_TBC[0], sigmoid_BC / sigmoid_BC.sum(1, keepdim=True))
    torch.testing.assert_close(p_TBC[1:], logits_TBC[1:].softmax(2))
