"""Checks whether a run has learnt its training samples, and advises what to change: the result of `debug=overfit`."""

import statistics
from collections.abc import Sequence

from phalanx.core.quantities import number
from phalanx.core.result import EpochMetrics, TrialResult
from phalanx.nn.models.mlp import MLP
from phalanx.training.spec import TrialSpec

FALLING = 0.98  # of the tenth of the epochs before the last tenth: a loss below it was still falling
UNSTEADY = 1.5  # times its lowest value: a loss that ends above it went up again
LEARNT = 0.9  # of the first epoch's loss: one that ends above it has hardly moved


def passed(spec: TrialSpec, result: TrialResult) -> bool:
    """Whether the saved weights reach `trainer.expect_accuracy` on the training split; true without that option."""
    expected, reached = spec.trainer.expect_accuracy, result.metrics.train_accuracy
    return expected is None or (reached is not None and reached >= expected)


def sentence(spec: TrialSpec, result: TrialResult) -> str:
    """The result of the check, with advice if it did not pass."""
    reached, n_steps = result.metrics.train_accuracy or 0.0, f"{result.epochs:,} epochs"
    if passed(spec, result):
        return (
            f"check passed: training accuracy {number(reached)} after {n_steps}, so network, loss and optimizer step "
            "work together"
        )
    lines = [
        f"check not passed: training accuracy {number(reached)} after {n_steps}, "
        f"{spec.trainer.expect_accuracy:g} expected",
        *(f"  try {what}" for what in advice(spec, result.history)),
    ]
    return "\n".join(lines)


def advice(spec: TrialSpec, history: Sequence[EpochMetrics]) -> list[str]:
    """Possible causes of a failed check, each with the option to change, the most likely first."""
    losses, lr = [row.train_loss for row in history], spec.optimizer.lr
    tenth = max(1, len(losses) // 10)
    last, before = statistics.fmean(losses[-tenth:]), statistics.fmean(losses[-2 * tenth : -tenth] or losses)
    found = []
    if not spec.trainer.zero_grad:
        found.append("trainer.zero_grad=true: each step took the sum of all gradients so far")
    if spec.loss.name == "cross_entropy" and spec.loss.output == "softmax":
        found.append("loss.output=logits: softmax before cross-entropy, which takes its own, makes gradients small")
    if last > UNSTEADY * min(losses):
        found.append(f"optimizer.lr={lr / 10:g} or trainer.clip_norm=1: the loss went up again")
    elif last > LEARNT * losses[0]:
        found.append(f"optimizer.lr={lr * 10:g}: the loss hardly moved")
    elif last < FALLING * before:
        found.append(f"trainer.epochs={2 * len(losses)} or optimizer.lr={lr * 10:g}: the loss was still falling")
    if getattr(spec.data, "normalize", "") == "none":
        found.append("data.normalize=feature: inputs far from mean 0 and deviation 1 are learnt slowly")
    dropout = getattr(spec.model, "dropout", 0.0)
    if isinstance(dropout, float) and dropout > 0:
        found.append("model.dropout=0: what is dropped cannot be learnt by heart")
    if getattr(spec.optimizer, "weight_decay", 0.0) > 0.01:
        found.append("optimizer.weight_decay=0: it pulls the weights back")
    if isinstance(spec.model, MLP) and spec.model.activation == "identity":
        found.append("model.activation=relu: without an activation all layers are one")
    wider = "a wider network, e.g. model.width=256" if isinstance(spec.model, MLP) else "a larger network"
    return found or [f"{wider}; and look for equal samples of different classes"]
