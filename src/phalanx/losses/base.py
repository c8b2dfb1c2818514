"""What a loss is: an output layer and a number per sample. Axes: T trials, B batch, C classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from phalanx.errors import Fault
from phalanx.fields import Spec, stacked, static

OUTPUTS = {
    "logits": lambda logits_TBC: logits_TBC,
    "softmax": lambda logits_TBC: torch.softmax(logits_TBC, -1),
    "log_softmax": lambda logits_TBC: F.log_softmax(logits_TBC, -1),
}


@dataclass(frozen=True, kw_only=True)
class LossSpec(Spec):
    """A loss and the output it is applied to. Adding one is one file with one subclass, and one YAML."""

    group: ClassVar[str] = "loss"
    outputs: ClassVar[tuple[str, ...]] = tuple(OUTPUTS)  # outputs on which this loss means something
    why_not: ClassVar[str] = ""  # what to do instead of the others
    output: str = static("logits", choices=tuple(OUTPUTS))
    label_smoothing: float = stacked(0.0, low=0, high=1, high_open=True, advice="0.1")

    def conflicts(self) -> list[Fault | str]:
        if self.output in self.outputs:
            return []
        allowed = f"{' or '.join(self.outputs)} with loss={self.name} ({self.why_not})"
        return [Fault("loss.output", self.output, allowed, f"loss.output={self.outputs[0]}")]

    def __call__(self, logits_TBC: Tensor, y_TB: Tensor, smoothing_T: Tensor | None = None) -> Tensor:
        """The loss of every sample, shape (T, B). `smoothing_T` is None where no trial smooths its labels."""
        target_TBC = None
        if smoothing_T is not None:
            n_classes, smoothing_T11 = logits_TBC.shape[-1], smoothing_T[:, None, None]
            one_hot_TBC = F.one_hot(y_TB, n_classes).to(logits_TBC.dtype)
            target_TBC = one_hot_TBC * (1 - smoothing_T11) + smoothing_T11 / n_classes
        return self.per_sample(OUTPUTS[self.output](logits_TBC), y_TB, target_TBC)

    def per_sample(self, output_TBC: Tensor, y_TB: Tensor, target_TBC: Tensor | None) -> Tensor:
        """Shape (T, B), from the output that `self.output` names and the class indices.

        With label smoothing `target_TBC` holds (1 - s) · one-hot + s / C and has to be used in place of `y_TB`.
        """
        raise NotImplementedError


def negative_log(log_p_TBC: Tensor, y_TB: Tensor, target_TBC: Tensor | None) -> Tensor:
    """-log p of the true class, or its expectation under the smoothed target; shape (T, B)."""
    if target_TBC is None:
        return -log_p_TBC.gather(-1, y_TB[..., None]).squeeze(-1)
    return -(target_TBC * log_p_TBC).sum(-1)
