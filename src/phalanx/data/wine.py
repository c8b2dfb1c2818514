"""scikit-learn's embedded wine data: 178 wines, 13 chemical measurements, 3 cultivars. No download."""

from dataclasses import dataclass
from typing import ClassVar

from phalanx.core.errors import Fault
from phalanx.core.specs import static
from phalanx.data.base import DataSpec, Raw
from phalanx.data.encoders import Features, array_features
from phalanx.data.scaling import ARRAY_SCALINGS, scaling_faults
from phalanx.data.sklearn_tables import read_embedded


@dataclass(frozen=True, kw_only=True)
class Wine(DataSpec):
    """A small table; the scales of its features differ by a factor of a thousand."""

    name: ClassVar[str] = "wine"
    is_known: ClassVar[bool] = True
    feature_names: ClassVar[tuple[str, ...]] = (
        "alcohol", "malic acid", "ash", "alcalinity of ash", "magnesium", "total phenols", "flavanoids",
        "nonflavanoid phenols", "proanthocyanins", "colour intensity", "hue", "OD280/OD315", "proline",
    )  # fmt: skip
    n_val: int | None = static(28, ge=1)
    n_test: int | None = static(36, ge=1)
    normalize: str = static("feature", choices=("global", "feature", "none"))
    scaling: str = static("standard", choices=ARRAY_SCALINGS, neutral=True)

    def conflicts(self) -> list[Fault | str]:
        return [*super().conflicts(), *scaling_faults(self.scaling, self.normalize)]

    def read(self) -> Raw:
        x_ND, y_N = read_embedded("wine_data.csv", "load_wine", header=1)
        return Raw(x=x_ND, y=y_N.astype("int64"), classes=("class_0", "class_1", "class_2"))

    def features(self) -> Features:
        return array_features(self.normalize, self.scaling)
