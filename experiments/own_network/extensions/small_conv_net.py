"""A convolutional network with fewer parameters than one hidden layer of the smallest built-in network on MNIST."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor, nn

import phalanx


@phalanx.model
class SmallConvNet(nn.Module):
    """Two convolutions, each of which halves the image, and a linear layer."""

    def __init__(
        self, image_shape: tuple[int, int], n_classes: int, *, channels: Annotated[int, phalanx.Range(ge=1)] = 8
    ) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, channels, 5, stride=2, padding=2)
        self.second = nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1)
        height, width = (-(-size // 4) for size in image_shape)
        self.last = nn.Linear(2 * channels * height * width, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, C) of images (B, height, width)."""
        x = self.second(self.first(x[:, None]).relu()).relu()
        return self.last(x.flatten(1))
