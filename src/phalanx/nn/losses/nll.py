"""Negative log-likelihood of the true class."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from phalanx.core.specs import static
from phalanx.nn.losses.base import LogLikelihood
from phalanx.nn.losses.functional import OUTPUTS, negative_log

FLOOR = 1e-7  # added to a probability before its logarithm


@dataclass(frozen=True, kw_only=True)
class NLL(LogLikelihood):
    """-log p(true class) on `log_softmax` output; on `softmax` output -log(1e-7 + p), as beginners write it."""

    name: ClassVar[str] = "nll"
    plain: ClassVar[str] = "log_softmax"
    outputs: ClassVar[tuple[str, ...]] = ("log_softmax", "softmax")
    output_advice: ClassVar[str] = "it needs probabilities or their logarithms; for logits take loss=cross_entropy"
    output: str = static("log_softmax", choices=tuple(OUTPUTS))

    def per_sample(self, output_TBC: Tensor, y_TB: Tensor, target_TBC: Tensor | None) -> Tensor:
        log_p_TBC = output_TBC if self.output == "log_softmax" else torch.log(output_TBC + FLOOR)
        return negative_log(log_p_TBC, y_TB, target_TBC)

    def slope(self, output_TBC: Tensor, target_TBC: Tensor) -> Tensor:
        return -target_TBC / (output_TBC + FLOOR)  # of softmax output; `LogLikelihood` has that of the other
