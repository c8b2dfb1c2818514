"""Cross-entropy, which takes its own log-softmax of whatever it is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from phalanx.nn.losses.base import LogLikelihood
from phalanx.nn.losses.functional import negative_log


@dataclass(frozen=True, kw_only=True)
class CrossEntropy(LogLikelihood):
    """log-softmax and negative log-likelihood in one. On `softmax` output it is the well-known doubled softmax."""

    name: ClassVar[str] = "cross_entropy"
    plain: ClassVar[str] = "logits"

    def per_sample(self, output_TBC: Tensor, y_TB: Tensor, target_TBC: Tensor | None) -> Tensor:
        return negative_log(F.log_softmax(output_TBC, -1), y_TB, target_TBC)
