"""Splits of large data that hold the rows once: each split is row numbers and the statistics of its own encoder.

A prepared split has float32 features. Of five folds of MNIST these are 1 GB, and their pixels 47 MB. So a large split
of a cross-validation or of images keeps the values as they were before its encoder scaled them, in a table that all
splits share, and scales the rows that are asked for, by the encoder's own operations in their order, so that the bits
are the encoder's. That is possible where each output follows from one value by `(value - mean) / std`.

Axes: T trials, N samples, B batch, D outputs of the encoder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch import Tensor

from phalanx.data.base import Split
from phalanx.data.encoders import IN_FLOAT32, ArrayFeatures, Features, Rows
from phalanx.data.table_columns import ScaledColumn, TextColumn
from phalanx.data.table_encoder import TableFeatures

LARGEST_BYTES = 32 << 20  # of the features of a training split, above which it is not held once more in a stack
_ROWS = 4096  # that are scaled at once
_TYPES = (np.uint8, np.int16, np.float32, np.float64)  # of a table, the first one that has all of its values exactly


@dataclass(frozen=True, eq=False)
class Table:
    """Values that are not scaled yet, on one device, which several splits share."""

    values_ND: Tensor  # whole numbers, or with NaN for what is missing
    copies: dict[torch.device, Table] = field(default_factory=dict, repr=False)

    @property
    def is_float(self) -> bool:
        return self.values_ND.is_floating_point()

    def to(self, device: torch.device) -> Table:
        """The same table on `device`; each device gets one copy."""
        if device == self.values_ND.device:
            return self
        if device not in self.copies:
            self.copies[device] = Table(self.values_ND.to(device))
        return self.copies[device]


@dataclass(frozen=True, eq=False)
class Scaling:
    """`(value - mean) / std`, computed in the type of `mean`; of one encoder (D,) or (1,), or of T trials (T, 1, D).

    Attributes:
        mean: What is subtracted.
        std: What it is divided by.
        fill: What replaces a missing value, which is NaN; None where no encoder of the kind replaces any.
        constant: Where `fill` replaces every value, since training had only one; None as `fill`.
        replaces: Whether there is a value to replace.
    """

    mean: Tensor
    std: Tensor
    fill: Tensor | None = None
    constant: Tensor | None = None
    replaces: bool = False

    def __call__(self, values: Tensor) -> Tensor:
        """Float32 features of values (…, D), whose memory it may use."""
        x = values.to(self.mean.dtype)
        if self.replaces and self.fill is not None and self.constant is not None:
            x = torch.where(x.isnan() | self.constant, self.fill, x)
        return x.sub_(self.mean).div_(self.std).float()

    def to(self, device: torch.device) -> Scaling:
        """The same on `device`."""
        return self._changed(lambda part: part.to(device))

    def _changed(self, change: Callable[[Tensor], Tensor]) -> Scaling:
        fill, constant = (part if part is None else change(part) for part in (self.fill, self.constant))
        return Scaling(change(self.mean), change(self.std), fill, constant, self.replaces)

    @staticmethod
    def stacked(each: Sequence[Scaling]) -> Scaling:
        """Those of T trials as one. They are of encoders of one kind."""

        def stack(name: str) -> Tensor:
            return torch.stack([getattr(scaling, name) for scaling in each])[:, None]

        mean, std, replaces = stack("mean"), stack("std"), any(scaling.replaces for scaling in each)
        if each[0].fill is None:
            return Scaling(mean, std)
        return Scaling(mean, std, stack("fill"), stack("constant"), replaces)


class TableSplit(Split):
    """A split that holds its row numbers in a `Table` and how they are scaled, instead of its features."""

    def __init__(self, table: Table, index_N: Tensor, scaling: Scaling, y_N: Tensor) -> None:
        """`index_N` are the rows of the table, int64, and `y_N` their classes."""
        self.__dict__.update(y_N=y_N, index_N=index_N, scaling=scaling, shared=table)

    index_N: Tensor
    scaling: Scaling
    shared: Table

    @property
    def x_ND(self) -> Tensor:
        """All features, which are computed anew whenever they are asked for."""
        found_ND = torch.empty(len(self), self.n_features, device=self.y_N.device)
        for start, (x_BD, _) in zip(range(0, len(self), _ROWS), self.parts(_ROWS), strict=True):
            found_ND[start : start + len(x_BD)] = x_BD
        return found_ND

    @property
    def n_features(self) -> int:
        return self.table.values_ND.shape[1]

    @property
    def held(self) -> tuple[Tensor, ...]:
        return self.table.values_ND, self.index_N

    @property
    def table(self) -> Table:
        return self.shared

    def rows(self, index_TB: Tensor, n_trials: int) -> Tensor:
        at = self.index_N.index_select(0, index_TB.reshape(-1))
        x_TBD = self.scaling(self.table.values_ND.index_select(0, at).view(*index_TB.shape, -1))
        return x_TBD if len(x_TBD) == n_trials else x_TBD.expand(n_trials, -1, -1)

    def parts(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        for at, y_B in zip(torch.split(self.index_N, size), torch.split(self.y_N, size), strict=True):
            yield self.scaling(self.table.values_ND.index_select(0, at)), y_B

    def to(self, device: torch.device | str) -> Split:
        device = torch.device(device)
        if device.type == "mps":  # which lacks float64
            return Split(self.x_ND.to(device), self.y_N.to(device))
        table, index_N = self.table.to(device), self.index_N.to(device)
        return TableSplit(table, index_N, self.scaling.to(device), self.y_N.to(device))

    @classmethod
    def joined(cls, splits: Sequence[Split], of_trials: Sequence[Split]) -> Split:
        own = [split for split in splits if isinstance(split, TableSplit)]
        index_N, y_N = torch.cat([split.index_N for split in own]), torch.cat([split.y_N for split in own])
        each = [split.scaling for split in of_trials if isinstance(split, TableSplit)]
        return TableSplit(own[0].table, index_N, Scaling.stacked(each), y_N)


_tables: WeakValueDictionary[tuple[object, ...], Table] = WeakValueDictionary()  # by their content


def pays(resampling: str, rows: Rows, train: Split) -> bool:
    """Whether a source's splits are to share their values: large ones of a cross-validation, and all large images.

    The pixels of these are a quarter of their features.

    Args:
        resampling: That of the source.
        rows: Its rows.
        train: The training split, prepared.
    """
    is_bytes = isinstance(rows, np.ndarray) and rows.dtype == np.uint8
    return train.n_bytes > LARGEST_BYTES and (resampling != "holdout" or is_bytes)


def shared_splits(encoder: Features, held: Sequence[tuple[Rows, np.ndarray]], prepared: list[Split]) -> list[Split]:
    """Splits that share their values with others of the same rows.

    Args:
        encoder: The fitted encoder.
        held: Of each split all rows of its source, and the numbers of its own.
        prepared: The splits with their features, which are returned where the encoder does more than to scale each
            value by itself.
    """
    scaling = _scaling(encoder)
    if scaling is None:
        return prepared
    tables = {id(rows): _table(encoder, rows) for rows, _ in held}
    has_missing = any(bool(table.values_ND.isnan().any()) for table in tables.values() if table.is_float)
    is_constant = scaling.constant is not None and bool(scaling.constant.any())
    scaling = replace(scaling, replaces=has_missing or is_constant)
    return [
        TableSplit(tables[id(rows)], torch.from_numpy(np.ascontiguousarray(index_N, np.int64)), scaling, split.y_N)
        for (rows, index_N), split in zip(held, prepared, strict=True)
    ]


def _table(encoder: Features, rows: Rows) -> Table:
    """The table of these rows; that of another split if it has the same values."""
    values_ND = np.ascontiguousarray(_values(encoder, rows))
    key = hashlib.sha256(values_ND.data).digest(), values_ND.shape, values_ND.dtype
    return _tables.setdefault(key, Table(torch.from_numpy(values_ND)))


def _scaling(encoder: Features) -> Scaling | None:
    if isinstance(encoder, ArrayFeatures):
        mean, std = np.asarray(encoder.mean), np.asarray(encoder.std)
        if (np.abs(mean) > IN_FLOAT32 * std).any():
            return None
        mean, std = (values.astype(np.float32) * np.float32(encoder.scale) for values in (mean, std))
        return Scaling(torch.from_numpy(mean), torch.from_numpy(std))
    if not isinstance(encoder, TableFeatures) or any(isinstance(column, ScaledColumn) for column in encoder.columns):
        return None
    rows = [
        (0.0, 1.0, 1.0, column.constant) if isinstance(column, TextColumn)
        else (column.mean, column.std, column.fill, column.constant)
        for column in encoder.columns
        for _ in column.outputs
    ]  # fmt: skip
    *numbers, constant_D = zip(*rows, strict=True)
    mean_D, std_D, fill_D = (torch.tensor(part, dtype=torch.float64) for part in numbers)
    return Scaling(mean_D, std_D, fill_D, torch.tensor(constant_D))


def _values(encoder: Features, rows: Rows) -> np.ndarray:
    """What the encoder scales (N, D), in a type that has all of it exactly."""
    if isinstance(encoder, ArrayFeatures):
        flat_ND = np.asarray(rows).reshape(len(rows), -1)
        return flat_ND.astype(np.uint8 if flat_ND.dtype in (np.uint8, np.bool_) else np.float32)
    assert isinstance(encoder, TableFeatures)
    decoded = encoder.decode(rows).columns
    parts = [
        column.encode(decoded[column.name]) if isinstance(column, TextColumn)
        else decoded[column.name].by_row(decoded[column.name].value_U)[:, None]
        for column in encoder.columns
    ]  # fmt: skip
    dtype = _TYPES[max(_type_of(part) for part in parts)]
    return np.concatenate([part.astype(dtype) for part in parts], axis=1)


def _type_of(values: np.ndarray) -> int:
    """The place in `_TYPES` of the first type that has these values exactly, -0.0 and NaN among them."""
    if values.dtype == np.bool_:
        return 0
    with np.errstate(invalid="ignore", over="ignore"):
        for place, dtype in enumerate(_TYPES[:-1]):
            cast = values.astype(dtype).astype(values.dtype)
            if np.array_equal(cast, values, equal_nan=True) and np.array_equal(np.signbit(cast), np.signbit(values)):
                return place
    return len(_TYPES) - 1
