"""What a data source is, and what training gets from it.

Flow: `DataSpec.read` gives `Raw` rows → `splits` → `features` fitted on the training rows → `Dataset` of tensors.
Axes: N samples, D features.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from phalanx.core.specs import Spec, static
from phalanx.data.encoders import Features


@dataclass(frozen=True)
class Raw:
    """Rows as the source has them. `x` is an array (N, D) or a pandas table; `y` indexes `classes`.

    Where the source has an official test split, `test_x` and `test_y` hold it; else one is cut off.
    """

    x: Any
    y: np.ndarray
    classes: tuple[str, ...]
    test_x: Any = None
    test_y: np.ndarray | None = None
    image_shape: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class DataSpec(Spec):
    """Options that every data source shares. A source adds its own and says how to read itself."""

    group: ClassVar[str] = "data"
    max_pixel: ClassVar[float] = 255.0  # the grey level of white in the rows of an image source
    n_train: int | None = static(None, ge=1)  # training samples; null: all that the other splits leave
    n_val: int | None = static(None, ge=1)  # validation samples; null: a fifth of what is left after the test split
    n_test: int | None = static(None, ge=1)  # test samples; null: the official test split, or a fifth
    split_seed: int = static(0, ge=0)  # seeds the stratified split, apart from `seed`

    def read(self) -> Raw:
        """All rows of the source. Raises `DataError` with what to do about it."""
        raise NotImplementedError

    def features(self) -> Features:
        """An unfitted encoder from the source's rows to feature vectors."""
        raise NotImplementedError


@dataclass(frozen=True)
class Split:
    """One split in memory: features `x_ND` float32 and class indices `y_N` int64."""

    x_ND: Tensor
    y_N: Tensor

    def __len__(self) -> int:
        return len(self.y_N)

    def rows(self, index_TB: Tensor, n_trials: int) -> Tensor:
        """Features (T, B, D) of each trial's rows; an index of shape (1, B) serves all trials."""
        x_TBD = self.x_ND.index_select(0, index_TB.reshape(-1)).view(*index_TB.shape, -1)
        return x_TBD if len(x_TBD) == n_trials else x_TBD.expand(n_trials, -1, -1)

    def to(self, device: torch.device | str) -> Split:
        return Split(self.x_ND.to(device), self.y_N.to(device))


@dataclass(frozen=True)
class Dataset:
    """Three splits on one device, with what is needed to explain and to predict."""

    name: str
    train: Split
    val: Split
    test: Split
    classes: tuple[str, ...]
    features: Features
    digest: str  # of the rows, the split and the preparation
    image_shape: tuple[int, int] | None = None
    copies: dict[torch.device, Dataset] = field(default_factory=dict, repr=False, compare=False)  # by other device

    @property
    def n_features(self) -> int:
        return self.train.x_ND.shape[1]

    @property
    def n_classes(self) -> int:
        return len(self.classes)

    def to(self, device: torch.device | str) -> Dataset:
        """The same data on `device`, moved there once."""
        device = torch.device(device)
        if device == self.train.y_N.device:
            return self
        if device not in self.copies:
            parts = {name: getattr(self, name).to(device) for name in ("train", "val", "test")}
            self.copies[device] = replace(self, **parts, copies={})
        return self.copies[device]
