"""One-vs-all: a yes or no to each class of its own, instead of one choice among all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from phalanx.nn.losses.base import LossSpec
from phalanx.nn.losses.functional import one_hot


@dataclass(frozen=True, kw_only=True)
class OneVsAll(LossSpec):
    """A sigmoid an output and the mean over classes of their binary cross-entropies, as `torch.nn.BCEWithLogitsLoss`.

    The class is that of the largest logit. The C answers are no distribution; for the likelihood and for predictions
    each is divided by their sum.
    """

    name: ClassVar[str] = "one_vs_all"
    outputs: ClassVar[tuple[str, ...]] = ("logits",)
    output_advice: ClassVar[str] = "it takes a sigmoid of each logit by itself"
    probabilities: ClassVar[str] = "sigmoid"

    def per_sample(self, output_TBC: Tensor, y_TB: Tensor, target_TBC: Tensor | None) -> Tensor:
        if target_TBC is None:
            target_TBC = one_hot(output_TBC, y_TB)
        # Not binary_cross_entropy_with_logits, which subtracts two numbers as large as a large logit.
        yes_TBC, no_TBC = F.logsigmoid(output_TBC), F.logsigmoid(-output_TBC)
        return -(target_TBC * yes_TBC + (1 - target_TBC) * no_TBC).mean(-1)
