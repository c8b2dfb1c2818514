"""The rows of a table that are used, and the columns of these rows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from phalanx.data.cell_values import TOO_LARGE, TRUTH, TRUTH_CELLS, Kind, Notation, Texts
from phalanx.data.plain_table import categories
from phalanx.data.table_cells import SHOWN, Cells

if TYPE_CHECKING:
    import pandas as pd

_LIKE_NUMBER = re.compile(r"[$€£¥]?\s?[+-]?\d[\d.,' ]*\s?(%|[$€£¥]|[^\W\d_]{1,4}\.?)?")
_DATE = re.compile(r"\d{1,4}[-./]\d{1,2}[-./]\d{1,4}([ T]\d.*)?")
_FEW_CODES = 10  # different texts with a number in them, such as 1st, 2nd and 3rd, that may be categories


@dataclass(eq=False)
class Column:
    """One column: the text of each row of the file, and which rows are used. What a text means is found out once.

    Axes: N rows of the file, U different texts.
    """

    place_N: np.ndarray  # of the row's text in `text_U`
    text_U: Texts
    used_N: np.ndarray
    notation: Notation

    @classmethod
    def of(cls, cells: pd.Series, notation: Notation, used_N: np.ndarray | None = None) -> Column:
        """A column of `Cells.frame`, or some rows of it; all rows are used unless `used_N` says which."""
        used_N = np.ones(len(cells), bool) if used_N is None else used_N
        return cls(cells.cat.codes.to_numpy(), cells.cat.categories.to_numpy(), used_N, notation)

    def text(self, row: int) -> str:
        """The text of a row, from 0."""
        text: str = self.text_U[self.place_N[row]]
        return text

    @cached_property
    def missing_U(self) -> np.ndarray:
        """A mask of the texts that mean a missing value."""
        return self.notation.missing(self.text_U)

    @cached_property
    def missing_N(self) -> np.ndarray:
        """A mask of the rows whose cell is missing."""
        missing_N: np.ndarray = self.missing_U[self.place_N]
        return missing_N

    @cached_property
    def given_N(self) -> np.ndarray:
        """A mask of the cells that are used and not missing."""
        given_N: np.ndarray = self.used_N & ~self.missing_N
        return given_N

    @cached_property
    def n_given(self) -> int:
        """How many cells are used and not missing."""
        return int(self.given_N.sum())

    @cached_property
    def given_V(self) -> np.ndarray:
        """The places of the V different texts that are used and not missing, in the order of their first rows."""
        import pandas as pd

        given_V: np.ndarray = pd.unique(self.place_N[self.given_N])
        return given_V

    @property
    def texts_V(self) -> Texts:
        """The different texts that are used and not missing, in the order of their first rows."""
        texts_V: Texts = self.text_U[self.given_V]
        return texts_V

    @cached_property
    def n_rows_V(self) -> np.ndarray:
        """How many of the given cells have each of these texts."""
        n_rows_V: np.ndarray = np.bincount(self.place_N[self.given_N], minlength=len(self.text_U))[self.given_V]
        return n_rows_V

    @cached_property
    def number_U(self) -> np.ndarray:
        """The numbers of the texts, as pandas types them; NaN where missing or no number."""
        numbers_U: np.ndarray = self.notation.numbers(np.where(self.missing_U, "", self.text_U))
        return numbers_U

    @property
    def kind(self) -> Kind:
        """What the cells hold that are used and not missing. No cells count as numbers."""
        texts_V = self.texts_V
        if len(texts_V) and all(text in TRUTH for text in texts_V[: len(TRUTH) + 1]):
            return Kind.TRUTH
        return Kind.TEXT if self._bad_U(Kind.NUMBER)[self.given_V].any() else Kind.NUMBER

    def _bad_U(self, kind: Kind) -> np.ndarray:
        """A mask of the texts that are not of a kind."""
        if kind is Kind.NUMBER and self.number_U.dtype.kind == "f":
            bad_U: np.ndarray = np.isnan(self.number_U)
            return bad_U
        if kind is Kind.TRUTH:
            return np.array([text not in TRUTH_CELLS for text in self.text_U], bool)
        return np.zeros(len(self.text_U), bool)

    def bad_N(self, kind: Kind) -> np.ndarray:
        """A mask of the given cells that are not of a kind."""
        bad_N: np.ndarray = self._bad_U(kind)[self.place_N] & self.given_N
        return bad_N

    def too_large_N(self) -> np.ndarray:
        """A mask of the given numbers that float32 does not have."""
        too_large_U = np.abs(self.number_U.astype(np.float64)) > TOO_LARGE
        too_large_N: np.ndarray = too_large_U[self.place_N] & self.given_N
        return too_large_N

    def n_numbers(self, notation: Notation) -> int:
        """How many of the given cells are numbers in a notation."""
        if notation == self.notation:
            return self.n_given - int(self.bad_N(Kind.NUMBER).sum())
        return int(self.n_rows_V[~notation.no_numbers(self.texts_V)].sum())

    @property
    def n_like_numbers(self) -> int:
        """How many given texts are a number with a unit or other signs, or a date; 0 if few different ones are."""
        like_V = np.array([bool(_LIKE_NUMBER.fullmatch(t) or _DATE.fullmatch(t)) for t in self.texts_V], bool)
        return int(self.n_rows_V[like_V].sum()) if like_V.sum() > _FEW_CODES else 0

    def typed(self, kind: Kind) -> np.ndarray | pd.Categorical:
        """The values of the rows that are used.

        Args:
            kind: Of the column. In one of numbers, what is no number becomes NaN.

        Returns:
            Whole numbers, or float64 with NaN where missing; or truth values, with None where missing; or categories.
        """
        place_N = self.place_N[self.used_N]
        if kind is Kind.NUMBER:
            numbers_N: np.ndarray = self.number_U[place_N]
            return numbers_N
        if kind is Kind.TEXT:
            return categories(np.where(self.missing_U[place_N], -1, place_N), self.text_U)
        truth_U = np.array([TRUTH_CELLS.get(text) for text in self.text_U], dtype=object)
        truth_U[self.missing_U] = None
        truth_N: np.ndarray = truth_U[place_N]
        return truth_N if None in truth_N else truth_N.astype(bool)

    def gaps(self, among_N: np.ndarray | bool = True) -> str:
        """How many cells of some rows are missing, and which texts mean that: `5 ('?')`; empty if none is."""
        if not self.missing_U.any():
            return ""
        texts = Counter(self.text_U[self.place_N[self.missing_N & among_N]].tolist())
        kinds = ", ".join(repr(text) if text else "empty" for text in list(texts)[:SHOWN])
        return f"{texts.total()} ({kinds})" if texts else ""


@dataclass(frozen=True, eq=False)
class TableRows:
    """The columns of a file; rows without a class are not used and, if `drops_gaps`, no row with a missing value."""

    cells: Cells
    columns: dict[str, Column]  # the features
    target: Column
    used_N: np.ndarray
    drops_gaps: bool
    aside: dict[str, Column]  # the columns that divide the rows

    @classmethod
    def of(
        cls, cells: Cells, names: Iterable[str], target: str, notation: Notation, *, drops_gaps: bool,
        aside: Collection[str] = (),
    ) -> TableRows:  # fmt: skip
        """The rows of a file.

        Args:
            cells: Of the file.
            names: Of the feature columns.
            target: The name of the column of classes.
            notation: How cells are written.
            drops_gaps: Whether rows with a missing value are left out.
            aside: The names of the columns that divide the rows.
        """
        columns = {name: Column.of(cells.frame[name], notation) for name in (*names, target, *aside)}
        checked = list(columns) if drops_gaps else [target]
        used_N = ~np.logical_or.reduce([columns[name].missing_N for name in checked])
        columns = {name: replace(column, used_N=used_N) for name, column in columns.items()}
        own, apart = columns.pop(target), {name: columns.pop(name) for name in aside}
        return cls(cells, columns, own, used_N, drops_gaps, apart)

    def about(self, target: str) -> tuple[str, ...]:
        """What was left out, and which texts count as missing."""
        found = []
        if n_lost := int((~self.used_N).sum()):
            checked = {**({**self.columns, **self.aside} if self.drops_gaps else {}), target: self.target}
            found.append(f"{n_lost} of {len(self.used_N)} rows left out, with missing {self.gaps(checked)}")
        if imputed := self.gaps(self.columns, self.used_N):
            found.append(f"imputed: {imputed}")
        return tuple(found)

    def gaps(self, columns: dict[str, Column], among_N: np.ndarray | bool = True) -> str:
        """The columns with missing cells in some rows, how many, and which texts mean that."""
        return ", ".join(f"{name} {gaps}" for name, column in columns.items() if (gaps := column.gaps(among_N)))
