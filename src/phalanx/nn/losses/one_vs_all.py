"""One-vs-all: one binary classification per class."""

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from phalanx.nn.losses.base import LossSpec
from phalanx.nn.losses.functional import one_hot


@dataclass(frozen=True, kw_only=True)
class OneVsAll(LossSpec):
    """A sigmoid per class, and the mean over classes of the binary cross-entropies, as `torch.nn.BCEWithLogitsLoss`.

    The predicted class is that of the largest logit. For the likelihood and for predictions, each sigmoid is divided by
    the sum of all.
    """

    name: ClassVar[str] = "one_vs_all"
    outputs: ClassVar[tuple[str, ...]] = ("logits",)
    output_advice: ClassVar[str] = "it takes a sigmoid of each logit by itself"
    probabilities: ClassVar[str] = "sigmoid"

    def per_sample(self, output_TBC: Tensor, y_TB: Tensor, target_TBC: Tensor | None) -> Tensor:
        if target_TBC is None:
            target_TBC = one_hot(output_TBC, y_TB)
        # binary_cross_entropy_with_logits would lose digits at large logits.
        yes_TBC, no_TBC = F.logsigmoid(output_TBC), F.logsigmoid(-output_TBC)
        return -(target_TBC * yes_TBC + (1 - target_TBC) * no_TBC).mean(-1)

    def slope(self, output_TBC: Tensor, target_TBC: Tensor) -> Tensor:
        yes_TBC, no_TBC = F.logsigmoid(output_TBC).exp_(), F.logsigmoid(-output_TBC).exp_()
        return ((1 - target_TBC) * yes_TBC).sub_(target_TBC * no_TBC).div_(output_TBC.shape[-1])
