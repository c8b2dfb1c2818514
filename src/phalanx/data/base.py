"""The interface of a data source, and the data set that training gets from it.

`DataSpec.read` returns `Raw` rows, which are split; the encoder of `DataSpec.features` is fitted on the training rows
and turns all rows into the tensors of a `Dataset`. Axes: N samples, D features.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from phalanx.core.errors import DataError, Fault
from phalanx.core.labels import label_of_data
from phalanx.core.specs import Spec, stacked, static
from phalanx.data.encoders import Features, Rows
from phalanx.data.images import ImageForm

RESAMPLING = ("holdout", "kfold", "repeated_kfold", "shuffle_split")
PLACES = ("path", "test_path", "root")  # the fields of data sources that name a file or a folder


@dataclass(frozen=True)
class Raw:
    """The rows of a source. `test_x` and `test_y` hold an official test split; without one, rows are held out."""

    x: Rows  # N rows
    y: np.ndarray  # indices into `classes`, shape (N,)
    classes: tuple[str, ...]
    test_x: Rows | None = None
    test_y: np.ndarray | None = None
    image_shape: tuple[int, int] | None = None
    features: Features | None = None  # what encodes these rows, if reading them decides it; else `DataSpec.features`
    notes: tuple[str, ...] = ()  # what looks odd and may be right
    about: tuple[str, ...] = ()  # what reading them decided: what was left out, what counts as missing
    image_form: ImageForm | None = None  # of image files
    group: np.ndarray | None = None  # of each row, whole numbers (N,): rows of one group stay on one side
    time: np.ndarray | None = None  # of each row, numbers (N,): what trains is before what validates and tests

    def __post_init__(self) -> None:
        for x, y in ((self.x, self.y), (self.test_x, self.test_y)):
            if (0 if x is None else len(x)) != (0 if y is None else len(y)):
                raise DataError("the rows and the classes that a data source returns must be as many")


@dataclass(frozen=True, kw_only=True)
class DataSpec(Spec):
    """Base of all data sources. To add one, write a file with a subclass that defines `read` and `features`, and a YAML
    file."""

    config_group: ClassVar[str] = "data"
    is_known: ClassVar[bool] = False  # whether these rows are known to be sound, so that no note doubts them
    max_pixel: ClassVar[float] = 255.0  # the largest pixel value of an image source
    feature_names: ClassVar[tuple[str, ...]] = ()  # of a source whose columns have names, unless its encoder has them
    n_train: int | None = static(None, ge=1)  # training samples; null: all rows outside the other splits
    n_val: int | None = static(None, ge=1)  # validation samples; null: a fifth of the rows outside the test split
    n_test: int | None = static(None, ge=1)  # test samples; null: the official test split, else a fifth of all rows
    at_most: bool = static(False, determines_numbers=False)  # the sizes are limits: of few rows less is taken
    split_seed: int = stacked(0, ge=0)  # seed of the stratified split, independent of `seed`
    resampling: str = static("holdout", choices=RESAMPLING, neutral=True)  # how rows outside the test split are divided
    folds: int = static(5, ge=2, neutral=True)  # parts of a cross-validation
    repeats: int = static(2, ge=1, neutral=True)  # cross-validations of repeated_kfold, draws of shuffle_split
    fold: int = stacked(0, ge=0, neutral=True)  # which fold or draw validates
    stratify: bool = static(True, neutral=True)  # whether each split gets its share of each class
    outer_folds: int | None = static(
        None, ge=2, neutral=True
    )  # the test split is one of so many parts of all rows, not n_test
    outer_fold: int = static(0, ge=0, neutral=True)  # which part

    @property
    def has_folds(self) -> bool:
        """Whether the validation split is one of several parts of the rows."""
        return self.resampling in ("kfold", "repeated_kfold")

    @property
    def n_folds(self) -> int:
        """How many different folds or draws there are."""
        parts = self.folds if self.has_folds else 1
        return parts * (self.repeats if self.resampling in ("repeated_kfold", "shuffle_split") else 1)

    def conflicts(self) -> list[Fault | str]:
        faults = self._outer_faults()
        if self.fold < self.n_folds:
            return faults
        allowed, advice = f"a number from 0 to {self.n_folds - 1}", f"data.fold={self.n_folds - 1}"
        if self.resampling == "holdout":
            allowed, advice = "0 with data.resampling=holdout", "data.resampling=kfold"
        return [*faults, Fault("data.fold", self.fold, allowed, advice)]

    def _outer_faults(self) -> list[Fault | str]:
        if self.outer_folds is None:
            fault = Fault("data.outer_fold", self.outer_fold, "0 with data.outer_folds=null", "data.outer_folds=5")
            return [fault] if self.outer_fold else []
        if self.outer_fold < self.outer_folds:
            return []
        last = self.outer_folds - 1
        return [Fault("data.outer_fold", self.outer_fold, f"a number from 0 to {last}", f"data.outer_fold={last}")]

    @property
    def is_drawn(self) -> bool:
        """Whether `split_seed` changes the splits, apart from an official test split."""
        return True

    def label(self) -> str:
        """See `label_of_data`, by the source's `title` and `path`, if it has these."""
        return label_of_data(getattr(self, "title", None), getattr(self, "path", None), self.name)

    def read(self) -> Raw:
        """All rows of the source. Raises `DataError` if they cannot be read."""
        raise NotImplementedError

    def features(self) -> Features:
        """An encoder, not fitted yet, from the source's rows to feature vectors."""
        raise NotImplementedError


@dataclass(frozen=True)
class Split:
    """One split in memory: features `x_ND` float32 and class indices `y_N` int64."""

    x_ND: Tensor
    y_N: Tensor

    def __len__(self) -> int:
        return len(self.y_N)

    @property
    def n_features(self) -> int:
        """D."""
        return self.x_ND.shape[1]

    @property
    def n_bytes(self) -> int:
        """Of its features, prepared."""
        return 4 * len(self) * self.n_features

    @property
    def held(self) -> tuple[Tensor, ...]:
        """The tensors that its features are held in, perhaps with other splits."""
        return (self.x_ND,)

    @property
    def table(self) -> object | None:
        """What splits have in common that hold their features in one table; None where each has its own."""
        return None

    def class_counts(self, n_classes: int) -> list[int]:
        """The number of samples of each class."""
        counts: list[int] = torch.bincount(self.y_N, minlength=n_classes).tolist()
        return counts

    def rows(self, index_TB: Tensor, n_trials: int) -> Tensor:
        """Features (T, B, D) of these rows of each trial; an index (1, B) holds for all trials."""
        x_TBD = self.x_ND.index_select(0, index_TB.reshape(-1)).view(*index_TB.shape, -1)
        return x_TBD if len(x_TBD) == n_trials else x_TBD.expand(n_trials, -1, -1)

    def parts(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Features (B, D) and classes (B,) of so many samples at a time, in order."""
        yield from zip(torch.split(self.x_ND, size), torch.split(self.y_N, size), strict=True)

    def to(self, device: torch.device | str) -> Split:
        return Split(self.x_ND.to(device), self.y_N.to(device))

    @classmethod
    def joined(cls, splits: Sequence[Split], of_trials: Sequence[Split]) -> Split:
        """Splits of the same kind, one behind the other, whose `rows` are asked for by each trial for itself.

        Args:
            splits: The splits.
            of_trials: That of each trial.
        """
        return Split(torch.cat([split.x_ND for split in splits]), torch.cat([split.y_N for split in splits]))


@dataclass(frozen=True)
class Dataset:
    """Three splits on one device, with the classes and the fitted encoder."""

    name: str
    train: Split
    val: Split
    test: Split
    classes: tuple[str, ...]
    features: Features
    digest: str  # of the rows, the split and the encoding
    image_shape: tuple[int, int] | None = None
    inputs: str = ""  # what the columns hold and what was left out, in one line; empty where there is nothing to decide
    notes: tuple[str, ...] = ()  # what looks odd, and what of the validation and test rows training never had
    largest_train: int | None = None  # training rows of the largest of its folds; None outside of a cross-validation
    official_test: bool = False  # whether the source has a test split of its own, which no `split_seed` changes
    feature_names: tuple[str, ...] = ()  # of the encoded features; empty where they have no names
    image_form: ImageForm | None = None  # of the files, if the rows are image files
    row_numbers: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False, compare=False)
    """By "val" and "test": the row of each sample in its source, from 0; empty where that is not known."""
    copies: dict[torch.device, Dataset] = field(default_factory=dict, repr=False, compare=False)

    @property
    def n_features(self) -> int:
        return self.train.n_features

    @property
    def n_classes(self) -> int:
        return len(self.classes)

    @property
    def sizes(self) -> tuple[int, int, tuple[int, int] | None]:
        """What a network is built for: D, C, and height and width where the rows are images."""
        return self.n_features, self.n_classes, self.image_shape

    def to(self, device: torch.device | str) -> Dataset:
        """The same data on `device`; each device gets one copy."""
        device = torch.device(device)
        if device == self.train.y_N.device:
            return self
        if device not in self.copies:
            parts = {name: getattr(self, name).to(device) for name in ("train", "val", "test")}
            self.copies[device] = replace(self, **parts, copies={})
        return self.copies[device]
