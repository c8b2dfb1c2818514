"""What the text of cells means: which are missing, which are numbers, and what kind of column they make."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from enum import StrEnum
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

# The texts that count as missing unless `data.missing_markers` says otherwise; empty cells always do.
MARKERS = (
    "#N/A",
    "#N/A N/A",
    "#NA",
    "-1.#IND",
    "-1.#QNAN",
    "1.#IND",
    "1.#QNAN",
    "<NA>",
    "N/A",
    "n/a",
    "NA",
    "NaN",
    "nan",
    "-NaN",
    "-nan",
    "NULL",
    "Null",
    "null",
    "None",
)
WORDS = ("N/A", "n/a", "NA", "NULL", "Null", "null", "None")  # those that may as well be the name of a class
TRUTH = {"True": True, "TRUE": True, "true": True, "False": False, "FALSE": False, "false": False}
THOUSANDS = (",", ".", " ", "'", "_")
TRUTH_CELLS = {**TRUTH, "1": True, "0": False}
TOO_LARGE = float(np.finfo(np.float32).max)
PLAIN_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*")
_SPACES = "\u00a0\u202f\u2009"  # written for a space between thousands
Texts = np.ndarray  # of text, object


class Kind(StrEnum):
    """What a column holds."""

    NUMBER = "number"
    TRUTH = "truth"  # True and False, which count as 1 and 0
    TEXT = "text"
    NUMBER_OR_TRUTH = "number or truth"  # in a model of an earlier version, which does not tell


@dataclass(frozen=True)
class Notation:
    """How cells are written: the texts that count as missing, the decimal sign and the sign between thousands."""

    missing_markers: tuple[str, ...] = MARKERS
    decimal: str = "."
    thousands: str | None = None

    def __post_init__(self) -> None:
        """Raises `ValueError` for signs that no number has."""
        if self.decimal not in (".", ",") or self.thousands not in (None, *THOUSANDS):
            raise ValueError(f"the signs in its numbers cannot be {self.decimal!r} and {self.thousands!r}")

    def missing(self, cells_N: Texts) -> np.ndarray:
        """A mask (N,) of the missing cells."""
        import pandas as pd

        found_N: np.ndarray = pd.Series(cells_N, dtype=object).isin({"", *self.missing_markers}).to_numpy()
        return found_N

    def numbers(self, cells_N: Texts) -> np.ndarray:
        """The numbers (N,): whole numbers if all are, else float64 with NaN for what is no number; inf is one."""
        import pandas as pd

        cells_N = np.asarray(cells_N, dtype=object)
        plain_N = cells_N if self.decimal == "." and self.thousands is None else self._plain(cells_N)
        values_N: np.ndarray = pd.to_numeric(pd.Series(plain_N, dtype=object), errors="coerce").to_numpy()
        if values_N.dtype.kind == "O":  # whole numbers of more than 64 bits
            return values_N.astype(np.float64)
        return values_N

    def _plain(self, cells_N: Texts) -> Texts:
        """The cells as English-speaking programs write numbers; empty where they are none."""
        decimal, grouped = re.escape(self.decimal), ""
        if self.thousands is not None:
            sign = f"[ {_SPACES}]" if self.thousands == " " else re.escape(self.thousands)
            grouped = rf"\d{{1,3}}(?:{sign}\d{{3}})+|"
        number = re.compile(rf"([+-]?)({grouped}\d*)(?:{decimal}(\d*))?([eE][+-]?\d+)?")
        plain = np.empty(len(cells_N), dtype=object)
        for place, cell in enumerate(cells_N):
            found = number.fullmatch(cell)
            if found is None:
                plain[place] = ""
                continue
            sign, whole, fraction, exponent = found.groups("")
            digits = re.sub(r"\D", "", whole)
            plain[place] = f"{sign}{digits}{'.' if found[3] is not None else ''}{fraction}{exponent}"
        return plain

    def no_numbers(self, cells_N: Texts) -> np.ndarray:
        """A mask (N,) of the cells that are no numbers."""
        values_N = self.numbers(cells_N)
        return np.isnan(values_N) if values_N.dtype.kind == "f" else np.zeros(len(cells_N), bool)


@dataclass(frozen=True)
class Decoded:
    """The values of a column as its encoder takes them, and the masks of those that it cannot take.

    Axes: N rows, U different cells; without `place_N` each row has its own.
    """

    value_U: np.ndarray  # float64 with NaN, or texts
    missing_U: np.ndarray
    no_number_U: np.ndarray
    too_large_U: np.ndarray
    place_N: np.ndarray | None = None  # of each row's cell among the different ones

    def __len__(self) -> int:
        """N."""
        return len(self.missing_U if self.place_N is None else self.place_N)

    def by_row(self, values_U: np.ndarray) -> np.ndarray:
        """Values (N, …) of the rows, given those of the different cells."""
        values_N: np.ndarray = values_U if self.place_N is None else values_U[self.place_N]
        return values_N

    @property
    def largest(self) -> float:
        """The largest magnitude of the numbers of all rows; NaN if there is none."""
        values = np.abs(self.by_row(self.value_U))
        return float(values.max(where=~np.isnan(values), initial=-np.inf)) if not np.isnan(values).all() else np.nan

    @property
    def bad_N(self) -> np.ndarray:
        """A mask of the rows with a value that is no finite float32."""
        return self.by_row(self.no_number_U | self.too_large_U)

    @property
    def missing_N(self) -> np.ndarray:
        """A mask of the rows without a value."""
        return self.by_row(self.missing_U)


def decode(series: pd.Series, kind: Kind, notation: Notation, known: Collection[str] = ()) -> Decoded:
    """Decodes the cells of a file, which are texts, or the values of a table from elsewhere.

    Args:
        series: Texts, values of any type, or categories of them.
        kind: What the column held in training.
        notation: How texts are written.
        known: The texts of the column in training, by which `text_of` decides.
    """
    import pandas as pd

    if isinstance(series.dtype, pd.CategoricalDtype):
        cells = pd.Series([*series.cat.categories, None], dtype=object)  # the last is that of the code -1
        return replace(decode(cells, kind, notation, known), place_N=series.cat.codes.to_numpy())
    if kind is not Kind.TEXT and pd.api.types.is_numeric_dtype(series):
        values_N: np.ndarray = series.to_numpy(np.float64, na_value=np.nan)
        none_N = np.zeros(len(values_N), bool)
        return Decoded(values_N, np.isnan(values_N), none_N, np.abs(values_N) > TOO_LARGE)
    given = series.to_numpy(dtype=object, na_value=None)
    is_text_N = np.fromiter((isinstance(value, str) for value in given), bool, len(given))
    cells_N = np.array(
        [value.strip() if text else "" for value, text in zip(given, is_text_N, strict=True)], dtype=object
    )
    missing_N = np.where(is_text_N, notation.missing(cells_N), series.isna().to_numpy())
    others_N = ~is_text_N & ~missing_N
    if kind is Kind.TEXT:
        nothing_N = np.zeros(len(given), bool)
        if others_N.any():
            texts = text_of(known)
            cells_N[others_N] = [texts(value) for value in given[others_N]]
        return Decoded(cells_N, missing_N, nothing_N, nothing_N)
    values_N = np.full(len(given), np.nan)
    if kind is Kind.NUMBER_OR_TRUTH:
        cells_N = np.array([str(int(TRUTH[cell])) if cell in TRUTH else cell for cell in cells_N], dtype=object)
    if kind is Kind.TRUTH:
        values_N[is_text_N] = [float(TRUTH_CELLS.get(cell, np.nan)) for cell in cells_N[is_text_N]]
    else:
        values_N[is_text_N] = notation.numbers(np.where(missing_N, "", cells_N)[is_text_N])
    values_N[others_N] = pd_numbers(given[others_N])
    no_number_N = np.isnan(values_N) & ~missing_N
    return Decoded(values_N, missing_N, no_number_N, np.abs(values_N) > TOO_LARGE)


def pd_numbers(values_N: np.ndarray) -> np.ndarray:
    """Float64 of values that are no texts; NaN where one is no number, infinite where one is too large for float64."""
    import pandas as pd

    limited = [(1 if value > 0 else -1) * np.inf if _is_huge(value) else value for value in values_N]
    found_N: np.ndarray = pd.to_numeric(pd.Series(limited, dtype=object), errors="coerce").to_numpy(np.float64)
    return found_N


def _is_huge(value: object) -> bool:
    return isinstance(value, int) and abs(value) > sys.float_info.max


def text_of(known: Collection[str]) -> Callable[[object], str]:
    """Finds the text that a file had where pandas or JSON made a number or a truth value of it.

    That is the known text that is written as this number, such as "07" for 7, 7.0 and "7" if no other known text is 7;
    else the number as it is written plainly.

    Args:
        known: The texts of the column in training.
    """
    written: dict[float, list[str]] = {}
    for text in known:
        if PLAIN_NUMBER.fullmatch(text):
            written.setdefault(float(text), []).append(text)

    def found(value: object) -> str:
        text = str(value).strip()
        if isinstance(value, (bool, np.bool_)):
            return next((form for form in (text, text.upper(), text.lower()) if form in known), text)
        if not isinstance(value, Real) or not math.isfinite(number := _float(value)):
            return text
        plain = str(math.trunc(value)) if number.is_integer() else text
        equal = written.get(number, [])
        return equal[0] if len(equal) == 1 and plain not in equal else plain

    return found


def _float(value: Real) -> float:
    """The number; infinity for a whole one that is larger than any."""
    try:
        return float(value)
    except OverflowError:
        return math.inf
