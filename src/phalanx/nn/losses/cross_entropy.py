"""Cross-entropy, which applies a log-softmax to its input."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from phalanx.nn.losses.base import LogLikelihood
from phalanx.nn.losses.functional import log_softmax, negative_log, softmax


@dataclass(frozen=True, kw_only=True)
class CrossEntropy(LogLikelihood):
    """Log-softmax and negative log-likelihood in one. On `softmax` output the softmax is applied twice."""

    name: ClassVar[str] = "cross_entropy"
    plain: ClassVar[str] = "logits"

    def per_sample(self, output_TBC: Tensor, y_TB: Tensor, target_TBC: Tensor | None) -> Tensor:
        return negative_log(log_softmax(output_TBC), y_TB, target_TBC)

    def slope(self, output_TBC: Tensor, target_TBC: Tensor) -> Tensor:
        return softmax(output_TBC).sub_(target_TBC)
