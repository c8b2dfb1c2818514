"""scikit-learn's embedded digits: 1,797 images of 8 × 8 pixels with 17 grey levels, 10 classes. No download."""

from dataclasses import dataclass
from typing import ClassVar

from phalanx.core.specs import static
from phalanx.data.base import DataSpec, Raw
from phalanx.data.encoders import ArrayFeatures
from phalanx.data.sklearn_tables import read_embedded


@dataclass(frozen=True, kw_only=True)
class Digits(DataSpec):
    """The default data set."""

    name: ClassVar[str] = "digits"
    is_known: ClassVar[bool] = True
    max_pixel: ClassVar[float] = 16.0
    n_val: int | None = static(288, ge=1)
    n_test: int | None = static(360, ge=1)
    normalize: str = static("global", choices=("global", "feature", "none"))

    def read(self) -> Raw:
        x_ND, y_N = read_embedded("digits.csv.gz", "load_digits")
        return Raw(
            x=x_ND.astype("uint8"),
            y=y_N.astype("int64"),
            classes=tuple(str(c) for c in range(10)),
            image_shape=(8, 8),
        )

    def features(self) -> ArrayFeatures:
        return ArrayFeatures(normalize=self.normalize, scale=16.0)
