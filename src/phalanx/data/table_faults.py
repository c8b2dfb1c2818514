"""Why a table cannot be used as it was asked for, and one line of options with which it can."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from phalanx.core.advice import override
from phalanx.data.cell_values import MARKERS, WORDS, Kind, Notation
from phalanx.data.table_cells import SHOWN, Cells
from phalanx.data.table_error import TableError
from phalanx.data.table_rows import Column

_NOTATIONS = ((".", ","), (",", None), (",", "."), (".", " "), (",", " "), (".", "'"))  # decimal and thousands sign
MANY = 20  # different texts that are too many to be marks of missing values
_HOLDS = {Kind.NUMBER: "numbers", Kind.TRUTH: "truth values", Kind.TEXT: "text"}
_FEW = 0.1  # of the rows, which may be dropped


@dataclass(frozen=True)
class Asked:
    """The options of a table."""

    target: str
    drop: tuple[str, ...]
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    missing: str
    markers: tuple[str, ...] | None
    max_categories: int
    notation: Notation
    aside: Mapping[str, str] = field(default_factory=dict)  # by option: the columns that divide the rows


@dataclass
class Refusal:
    """The faults of a table, and the options to type instead."""

    cells: Cells
    asked: Asked
    faults: list[str] = field(default_factory=list)
    options: dict[str, object] = field(default_factory=dict)
    conditions: list[str] = field(default_factory=list)  # under which the options are right
    named: set[str] = field(default_factory=set)  # columns whose texts a fault has named

    def drop(self, names: Iterable[str]) -> None:
        """Advises to leave out further columns."""
        there = tuple(name for name in self.asked.drop if name in self.cells.frame.columns)
        before = self.options.get("data.drop", there)
        assert isinstance(before, tuple)
        self.options["data.drop"] = (*before, *(name for name in names if name not in before))

    def raise_if_any(self) -> None:
        """Raises one `TableError` with all faults and what to type."""
        if self.faults:
            raise TableError(self.cells.source, self.faults, self.options, self.conditions)

    def check_numbers(self, columns: Mapping[str, Column], kinds: Mapping[str, Kind]) -> None:
        """Columns that must hold numbers, or mostly do, and have other text.

        Args:
            columns: The features.
            kinds: What each column holds.
        """
        numeric, categorical = self.asked.numeric, self.asked.categorical
        for name, column in columns.items():
            self.check_cells(name, kinds[name], column)
        forced = [name for name in columns if name in numeric]
        as_text = {
            name: column
            for name, column in columns.items()
            if (kinds[name] is Kind.TEXT and name not in categorical and name not in self.cells.kinds)
            or (name in forced and name not in self.cells.kinds and column.bad_N(Kind.NUMBER).any())
        }
        if not as_text:
            return
        best = self._best_notation(
            as_text, [column for name, column in columns.items() if kinds[name] is Kind.NUMBER and name not in as_text]
        )
        odd = {
            name: column
            for name, column in as_text.items()
            if name in forced or column.n_numbers(best) > column.n_given / 2
        }
        if odd:
            self._name_odd(odd, best, forced)

    def check_cells(self, name: str, kind: Kind, column: Column) -> None:
        """Cells that are not of the kind that a column must have.

        Args:
            name: Of the column.
            kind: What it must hold.
            column: Its cells.
        """
        bad_N, what = column.bad_N(kind), "text"
        if not bad_N.any() and kind is Kind.NUMBER:
            bad_N, what = column.too_large_N(), "an infinite or too large number"
        if bad_N.any():
            row = int(np.argmax(bad_N))
            self.faults.append(
                f"column {name!r} must hold {_HOLDS[kind]}, got {what} ({column.text(row)!r}), {self.cells.place(row)}"
            )

    def _best_notation(self, as_text: Mapping[str, Column], numbers: Iterable[Column]) -> Notation:
        """The notation in which most cells are numbers; the one that was asked for if it is as good."""
        asked = self.asked.notation
        best, most = asked, sum(column.n_numbers(asked) for column in as_text.values())
        for decimal, thousands in _NOTATIONS:
            other = replace(asked, decimal=decimal, thousands=thousands)
            n = sum(column.n_numbers(other) for column in as_text.values())
            if n > most and not any(other.no_numbers(column.texts_V).any() for column in numbers):
                best, most = other, n
        return best

    def _name_odd(self, odd: Mapping[str, Column], best: Notation, forced: list[str]) -> None:
        asked = self.asked.notation
        others = Counter[str]()
        named = []
        self.named |= odd.keys()
        for name, column in odd.items():
            odd_V = best.no_numbers(column.texts_V)
            others.update(dict(zip(column.texts_V[odd_V], column.n_rows_V[odd_V].tolist(), strict=True)))
            if name not in forced:
                row = int(np.argmax(column.bad_N(Kind.NUMBER)))
                named.append(
                    f"{name!r} ({column.n_numbers(asked)} numbers in {column.n_given} cells; the first other is "
                    f"{column.text(row)!r} in {self.cells.place(row)})"
                )
        if named:
            more = f" and {len(named) - SHOWN} more" if len(named) > SHOWN else ""
            what = "column" if len(named) == 1 else f"{len(named)} columns"
            self.faults.append(f"{what} of numbers and other text: {', '.join(named[:SHOWN])}{more}")
            self.faults[-1] += (
                f"; if it is meant as text, type {override('data.categorical', (*self.asked.categorical, *odd))}"
            )
        if best.decimal != asked.decimal:
            self.conditions.append(f"{best.decimal!r} is the decimal sign")
            self.options["data.decimal"] = best.decimal
        if best.thousands != asked.thousands:
            self.conditions.append(
                f"{best.thousands!r} stands between thousands"
                if best.thousands
                else "there is no sign between thousands"
            )
            self.options["data.thousands"] = best.thousands
        if len(others) > MANY:
            self.faults[-1] += f"; {len(others)} different texts are no numbers"
            self.drop(name for name, column in odd.items() if best.no_numbers(column.texts_V).any())
        elif others:
            self.conditions.append(
                f"{', '.join(map(repr, list(others)[:SHOWN]))}{' …' if len(others) > SHOWN else ''} mean missing values"
            )
            self.mark_missing(others, sum(others.values()) / len(self.cells.frame))

    def mark_missing(self, texts: Iterable[str], share: float) -> None:
        """Advises to count further texts as missing, of a share of the rows."""
        known = self.asked.markers
        if known is None:
            known = self._markers_that_occur()
        self.options["data.missing_markers"] = (*known, *(text for text in texts if text not in known))
        if self.asked.missing == "error":
            self.options.setdefault("data.missing", "drop_rows" if share < _FEW else "impute")

    def check_missing(self, columns: Mapping[str, Column]) -> None:
        """Missing values that `data.missing` does not allow, and a class that may be a missing value.

        Args:
            columns: All columns that are used, the target among them.
        """
        name, target = self.asked.target, columns[self.asked.target]
        if empty := [other for other, column in columns.items() if column.missing_N.all() and other != name]:
            self.faults.append(f"no value in column{'' if len(empty) == 1 else 's'} {', '.join(map(repr, empty))}")
            self.drop(empty)
        words = Counter(text for text in target.text_U[target.place_N[target.missing_N]].tolist() if text in WORDS)
        if words and self.asked.markers is None:
            self._name_words(words)
            return
        gaps = {other: column for other, column in columns.items() if column.missing_N.any() and other not in empty}
        if self.asked.missing != "error" or not gaps:
            return
        lost_N = np.logical_or.reduce([column.missing_N for column in gaps.values()])
        counts = ", ".join(f"{other} {column.gaps()}" for other, column in gaps.items())
        self.faults.append(
            f"missing values in {int(lost_N.sum())} of {len(lost_N)} rows: {counts}; the first is in "
            f"{self.cells.place(int(np.argmax(lost_N)))}; data.missing=drop_rows leaves out such rows, impute only "
            "those without a class"
        )
        self.options.setdefault(
            "data.missing", "drop_rows" if lost_N.mean() < _FEW or set(gaps) == {name} else "impute"
        )

    def _name_words(self, words: Mapping[str, int]) -> None:
        """Names classes that may be missing values."""
        texts = ", ".join(f"{text!r} in {n} rows" for text, n in words.items())
        keep = self._markers_that_occur(without=words)
        self.faults.append(
            f"data.target={self.asked.target} has {texts}: if that is a class, type "
            f"{override('data.missing_markers', keep)}"
        )
        self.conditions.append("these rows have no class")
        self.options["data.missing_markers"] = self._markers_that_occur()
        if self.asked.missing == "error":
            self.options.setdefault("data.missing", "drop_rows")

    def _markers_that_occur(self, without: Iterable[str] = ()) -> tuple[str, ...]:
        cells = set[str]().union(*(set(column.cat.categories) for _, column in self.cells.frame.items()))
        return tuple(marker for marker in MARKERS if marker in cells and marker not in without)

    def check_categories(self, texts: Mapping[str, Column]) -> None:
        """Columns of text with too many different ones."""
        most = self.asked.max_categories
        unnamed = [name for name in texts if name not in self.named and name not in self.asked.categorical]
        many = {name: len(texts[name].given_V) for name in unnamed}
        many = {name: n for name, n in many.items() if n > most}
        for name, n in many.items():
            self.faults.append(
                f"column {name!r} holds {n} different texts such as {texts[name].texts_V[0]!r}, more than "
                f"data.max_categories={most}"
            )
            if name in self.cells.kinds and not texts[name].bad_N(Kind.NUMBER).any():
                self.faults[-1] += f"; all are numbers: type {override('data.numeric', (*self.asked.numeric, name))}"
        if many:
            self.faults[-1] += (
                f"; to keep {'it' if len(many) == 1 else 'them'}, type data.max_categories={max(many.values())}"
            )
            self.drop(many)
