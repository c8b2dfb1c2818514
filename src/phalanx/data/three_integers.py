"""Three integers: does one of the first two exceed the sum of the others?"""

from dataclasses import dataclass
from typing import ClassVar

import torch

from phalanx.core.seeding import generator
from phalanx.core.specs import static
from phalanx.data.base import DataSpec, Raw
from phalanx.data.encoders import ArrayFeatures


@dataclass(frozen=True, kw_only=True)
class ThreeIntegers(DataSpec):
    """a, b, c uniform in 0 to `largest`; class 0 if a > b + c, 1 if b > a + c, else 2.

    The classes hold a sixth, a sixth and two thirds of the points.
    """

    name: ClassVar[str] = "three_integers"
    is_known: ClassVar[bool] = True
    feature_names: ClassVar[tuple[str, ...]] = ("a", "b", "c")
    n_train: int = static(1000, ge=1)
    n_val: int = static(500, ge=1)
    n_test: int = static(1000, ge=1)
    largest: int = static(99, ge=1)
    normalize: str = static("feature", choices=("global", "feature", "none"))

    def read(self) -> Raw:
        """`n_train + n_val + n_test` points, x of shape (N, 3)."""
        n_points = self.n_train + self.n_val + self.n_test
        x_N3 = torch.randint(self.largest + 1, (n_points, 3), generator=generator(self.split_seed, self.name)).numpy()
        excess_N2 = 2 * x_N3[:, :2] - x_N3.sum(1, keepdims=True)
        y_N = (excess_N2 <= 0).all(1) * 2 + (excess_N2[:, 1] > 0)
        return Raw(x=x_N3, y=y_N.astype("int64"), classes=("a > b + c", "b > a + c", "neither"))

    def features(self) -> ArrayFeatures:
        return ArrayFeatures(normalize=self.normalize)
