"""The columns of a table as inputs: a number is standardized or scaled otherwise, a text is one-hot encoded.

Axes: N rows, D outputs.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from phalanx.data.cell_values import Decoded, Kind
from phalanx.data.narrow import NARROW, narrow_statistics
from phalanx.data.scaling import n_outputs, scaled, scaling_points

if TYPE_CHECKING:
    import pandas as pd

MISSING = "missing"  # the category of a missing text
_NAMED = 5  # texts that a note names
_LONG = 60  # characters of a cell in a message


@dataclass(frozen=True)
class NumericColumn:
    """One output, (value - mean) / std; `fill` replaces a missing value, and every value if training had only one."""

    kind: ClassVar[str] = "numeric"
    name: str
    mean: float
    std: float
    fill: float
    constant: bool = False  # in training: weights that were never trained must not see other values
    truth: bool | None = False  # True and False; None: not known
    largest: float = 0.0  # magnitude in training; 0 in a model of an earlier version

    @property
    def outputs(self) -> tuple[str, ...]:
        return (self.name,)

    @property
    def cells(self) -> Kind:
        """What the cells hold."""
        return Kind.NUMBER_OR_TRUTH if self.truth is None else Kind.TRUTH if self.truth else Kind.NUMBER

    @classmethod
    def fit(cls, name: str, decoded: Decoded, normalize: str, *, truth: bool = False) -> NumericColumn:
        """The statistics of a column, which has a value; `normalize` is `feature` or `none`."""
        values = decoded.by_row(decoded.value_U)
        values = values[~np.isnan(values)]
        fill, constant, largest = float(values.mean()), not np.ptp(values), float(np.abs(values).max())
        if normalize == "none":
            return cls(name, 0.0, 1.0, float(values[0]) if constant else fill, constant, truth, largest)
        std = float(values.std())
        if std <= NARROW * largest:
            mean, std = narrow_statistics(values)
            constant = not std
            return cls(name, mean, std or max(largest, 1.0), mean, constant, truth, largest)
        return cls(name, fill, std, fill, constant, truth, largest)

    def encode(self, decoded: Decoded) -> np.ndarray:
        """Shape (N, 1)."""
        if self.constant:
            return np.full((len(decoded), 1), (self.fill - self.mean) / self.std)
        value_U = np.where(np.isnan(decoded.value_U), self.fill, decoded.value_U)
        return decoded.by_row(((value_U - self.mean) / self.std)[:, None])


@dataclass(frozen=True)
class ScaledColumn(NumericColumn):
    """A number that is scaled by `scaling` with its `points`; see `phalanx.data.scaling`."""

    kind: ClassVar[str] = "scaled"
    scaling: str = "robust"
    points: tuple[float, ...] = ()

    @property
    def outputs(self) -> tuple[str, ...]:
        n = n_outputs(self.scaling, self.points)
        return (self.name,) if n == 1 else tuple(f"{self.name}[{place}]" for place in range(1, n + 1))

    def encode(self, decoded: Decoded) -> np.ndarray:
        """Shape (N, number of outputs)."""
        value_U = np.where(np.isnan(decoded.value_U), self.fill, decoded.value_U)
        return decoded.by_row(scaled(self.scaling, self.points, value_U))


def fit_number(
    name: str, decoded: Decoded, normalize: str, scaling: str = "standard", *, truth: bool = False
) -> NumericColumn:
    """The statistics of a column of numbers or truth values, which has a value.

    A column with one or two different values, as of truth values, is standardized whatever `scaling` says.
    """
    column = NumericColumn.fit(name, decoded, normalize, truth=truth)
    if scaling == "standard" or column.constant:
        return column
    values = decoded.by_row(decoded.value_U)
    values = values[~np.isnan(values)]
    if ((values == values.min()) | (values == values.max())).all():
        return column
    return ScaledColumn(**vars(column), scaling=scaling, points=scaling_points(scaling, values))


@dataclass(frozen=True)
class TextColumn:
    """One output per category: 1 for a text of that category. All are 0 for a text that training never had, unless
    training had only one text: then its output is always 1."""

    kind: ClassVar[str] = "text"
    cells: ClassVar[Kind] = Kind.TEXT
    name: str
    categories: tuple[str, ...]

    @property
    def outputs(self) -> tuple[str, ...]:
        return tuple(f"{self.name}={category}" for category in self.categories)

    @property
    def constant(self) -> bool:
        """Whether training had only one text."""
        return len(self.categories) == 1

    @classmethod
    def fit(cls, name: str, decoded: Decoded) -> TextColumn:
        """The categories of a column."""
        text_U = _texts(decoded)
        found = text_U if decoded.place_N is None else text_U[np.unique(decoded.place_N)]
        return cls(name, tuple(sorted(set(found))))

    def encode(self, decoded: Decoded) -> np.ndarray:
        """Shape (N, number of categories)."""
        if self.constant:
            return np.ones((len(decoded), 1))
        place_N = self.places(decoded)
        is_category_ND: np.ndarray = place_N[:, None] == np.arange(len(self.categories))
        return is_category_ND

    def places(self, decoded: Decoded) -> np.ndarray:
        """The category's number (N,) of each cell; -1 for a text that training never had."""
        import pandas as pd

        return decoded.by_row(pd.Index(self.categories, dtype=object).get_indexer(_texts(decoded)))


def column_from_json(stored: dict[str, Any]) -> NumericColumn | TextColumn:
    """Rebuilds a column; those of earlier versions have no flags."""
    if stored["kind"] == TextColumn.kind:
        return TextColumn(stored["name"], tuple(stored["categories"]))
    constant, truth = stored.get("constant", False), stored.get("truth")
    of_all = (
        stored["name"],
        stored["mean"],
        stored["std"],
        stored["fill"],
        constant,
        truth,
        stored.get("largest", 0.0),
    )
    if stored["kind"] == ScaledColumn.kind:
        return ScaledColumn(*of_all, stored["scaling"], tuple(stored["points"]))
    return NumericColumn(*of_all)


def _texts(decoded: Decoded) -> np.ndarray:
    """The different texts (U,); `MISSING` for a missing one."""
    return np.where(decoded.missing_U, MISSING, decoded.value_U)


def bad_number(name: str, rows: pd.DataFrame, decoded: Decoded, place: Callable[[int], str]) -> list[str]:
    """The fault of a column with values that are no finite float32, which names the first; empty without one.

    Args:
        name: Of the column.
        rows: The rows.
        decoded: The column, decoded.
        place: Where a row (from 0) is, in words.
    """
    bad_N = decoded.bad_N
    if not bad_N.any():
        return []
    row = int(np.argmax(bad_N))
    what = "text" if decoded.by_row(decoded.no_number_U)[row] else "an infinite or too large number"
    text = str(rows[name].iloc[row])
    shown = text if len(text) <= _LONG else f"{text[: _LONG - 1]}…"
    return [f"column {name!r} must hold numbers, got {what} ({shown!r}), in {place(row)}"]


def unseen(column: TextColumn, decoded: Decoded) -> list[str]:
    """One note about the texts of a column that training never had; none if it had all."""
    unseen_N = column.places(decoded) < 0
    if not unseen_N.any():
        return []
    counts: dict[str, int] = {}
    for text in decoded.by_row(_texts(decoded))[unseen_N]:
        counts[text] = counts.get(text, 0) + 1
    known = {text.casefold(): text for text in reversed(column.categories)}
    shown = []
    for text, n in sorted(counts.items(), key=lambda item: -item[1])[:_NAMED]:
        near = difflib.get_close_matches(text.casefold(), known, n=1)
        nearest = f", nearest: {known[near[0]]!r}" if near else ""
        shown.append(f"{text!r} ({counted(n, 'row', 'rows')}{nearest})")
    more = f" and {len(counts) - _NAMED} more" if len(counts) > _NAMED else ""
    rows = counted(int(unseen_N.sum()), "row", "rows")
    return [f"column {column.name!r}: {rows} with a text that training never had count as none of its categories: "
            f"{', '.join(shown)}{more}"]  # fmt: skip


def counted(n: int, one: str, many: str) -> str:
    """A number with its noun: `2 rows`."""
    return f"{n:,} {one if n == 1 else many}"
