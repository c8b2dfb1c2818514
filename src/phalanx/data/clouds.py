"""Synthetic Gaussian clouds, one per class, with any number of classes."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from phalanx.core.errors import Fault
from phalanx.core.seeding import generator
from phalanx.core.specs import static
from phalanx.data.base import DataSpec, Raw
from phalanx.data.encoders import ArrayFeatures


@dataclass(frozen=True, kw_only=True)
class Clouds(DataSpec):
    """Class centres from N(0, 1) in `n_inputs` dimensions, and points around them with standard deviation `noise`.

    All classes are equally frequent. `split_seed` is the seed of centres, points and their stratified split.
    """

    name: ClassVar[str] = "clouds"
    is_known: ClassVar[bool] = True
    n_classes: int = static(10, ge=2)
    n_inputs: int = static(32, ge=1)
    noise: float = static(0.5, ge=0)
    n_train: int = static(1000, ge=1)
    n_val: int = static(500, ge=1)
    n_test: int = static(500, ge=1)
    normalize: str = static("none", choices=("global", "feature", "none"))

    def conflicts(self) -> list[Fault | str]:
        faults, numbers = super().conflicts(), (self.n_classes, self.n_train)
        if not all(isinstance(number, int) for number in numbers) or self.n_classes <= self.n_train:
            return faults
        allowed = f"at most data.n_train, {self.n_train}, since each class needs a training point"
        return [
            *faults,
            Fault("data.n_classes", self.n_classes, allowed, f"data.n_classes={max(2, self.n_train // 4)}"),
        ]

    def read(self) -> Raw:
        """`n_train + n_val + n_test` points, x of shape (N, n_inputs)."""
        n_points, stream = self.n_train + self.n_val + self.n_test, generator(self.split_seed, self.name)
        centres_CD = torch.randn(self.n_classes, self.n_inputs, generator=stream)
        y_N = torch.arange(n_points) % self.n_classes
        x_ND = centres_CD[y_N] + self.noise * torch.randn(n_points, self.n_inputs, generator=stream)
        return Raw(x=x_ND.numpy(), y=y_N.numpy().astype(np.int64), classes=tuple(map(str, range(self.n_classes))))

    def features(self) -> ArrayFeatures:
        return ArrayFeatures(normalize=self.normalize)
