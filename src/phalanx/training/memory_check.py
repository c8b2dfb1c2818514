"""Whether a network can fit into the memory of this machine at all."""

import psutil
import torch

from phalanx.core.errors import SpecError, pasted
from phalanx.nn.models.base import InputShape
from phalanx.training.spec import TrialSpec

COPIES = 3  # weights, gradients and the weights to save; optimizers and batches take more
BYTES = 4  # of a float32
GB = 1e9


def check_memory(
    spec: TrialSpec, n_features: int, n_classes: int, device: torch.device,
    image_shape: tuple[int, int] | None = None,
) -> None:  # fmt: skip
    """Raises `SpecError` for a network whose parameters alone exceed all memory that the device has.

    Args:
        spec: The trial.
        n_features: D of its data.
        n_classes: C of its data.
        device: Where it trains.
        image_shape: Height and width, where the data are images.
    """
    model = spec.model.bound(InputShape(n_features, n_classes, image_shape))
    n_parameters = model.layout(n_features, n_classes).size
    needed, there = COPIES * BYTES * n_parameters, _memory(device)
    if needed > there:
        advice = "model.hidden=[64,64]" if spec.model.hidden_widths else "model=mlp3"
        raise SpecError(
            [
                f"model={spec.model.name} has {n_parameters:,} parameters here, which need at least "
                f"{needed / GB:,.0f} GB, and this machine has {there / GB:,.0f} GB; try {pasted(advice)}"
            ]
        )


def _memory(device: torch.device) -> int:
    """The memory of a device in bytes, in use or not."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[1])
    return int(psutil.virtual_memory().total + psutil.swap_memory().total)
