"""Mean squared error against the one-hot target."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from phalanx.core.specs import static
from phalanx.nn.losses.base import LossSpec
from phalanx.nn.losses.functional import OUTPUTS, one_hot


@dataclass(frozen=True, kw_only=True)
class MSE(LossSpec):
    """Mean over classes of (output - one-hot)², as `torch.nn.MSELoss` computes it."""

    name: ClassVar[str] = "mse"
    outputs: ClassVar[tuple[str, ...]] = ("softmax", "logits")
    output_advice: ClassVar[str] = "a log-probability is never positive, so it cannot reach a one-hot target"
    output: str = static("softmax", choices=tuple(OUTPUTS))

    def per_sample(self, output_TBC: Tensor, y_TB: Tensor, target_TBC: Tensor | None) -> Tensor:
        if target_TBC is None:
            target_TBC = one_hot(output_TBC, y_TB)
        return (output_TBC - target_TBC).square().mean(-1)

    def slope(self, output_TBC: Tensor, target_TBC: Tensor) -> Tensor:
        return (output_TBC - target_TBC).mul_(2 / output_TBC.shape[-1])
