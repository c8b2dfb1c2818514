"""One input and two thresholds: a task whose solution can be plotted."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from phalanx.core.seeding import generator
from phalanx.core.specs import static
from phalanx.data.base import DataSpec, Raw
from phalanx.data.encoders import ArrayFeatures

_HIGH = 10.0
_THRESHOLDS = (3.0, 6.0)


@dataclass(frozen=True, kw_only=True)
class Thresholds(DataSpec):
    """x ~ U(0, 10); class 0 below 3, 1 below 6, else 2. `split_seed` is the seed of the points and their split."""

    name: ClassVar[str] = "thresholds"
    is_known: ClassVar[bool] = True
    feature_names: ClassVar[tuple[str, ...]] = ("x",)
    n_train: int = static(100, ge=1)
    n_val: int = static(100, ge=1)
    n_test: int = static(100, ge=1)
    normalize: str = static("none", choices=("global", "feature", "none"))

    def read(self) -> Raw:
        """`n_train + n_val + n_test` points, x of shape (N, 1)."""
        n_points = self.n_train + self.n_val + self.n_test
        x_N = torch.rand(n_points, generator=generator(self.split_seed, "thresholds")).numpy() * np.float32(_HIGH)
        return Raw(
            x=x_N[:, None],
            y=np.digitize(x_N, _THRESHOLDS).astype("int64"),
            classes=("below 3", "3 to 6", "6 and above"),
        )

    def features(self) -> ArrayFeatures:
        return ArrayFeatures(normalize=self.normalize)
