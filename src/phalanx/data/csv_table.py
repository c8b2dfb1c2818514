"""A user's table: a text file with a header, one row per sample, and one column of classes."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from phalanx.core.errors import Fault
from phalanx.core.specs import static
from phalanx.data import table_encoder
from phalanx.data.base import DataSpec, Raw
from phalanx.data.read_table import TableFile, read_table

if TYPE_CHECKING:
    import pandas as pd

_TABS = ("\\t", "tab")  # also accepted for a tab


@dataclass(frozen=True, kw_only=True)
class Csv(DataSpec):
    """Numbers are standardized and text is one-hot encoded, with statistics of the training split."""

    name: ClassVar[str] = "csv"
    path: str = static(determines_numbers=False, advice="FILE.csv")
    target: str = static(advice="COLUMN")
    test_path: str | None = static(None, determines_numbers=False)
    delimiter: str | None = static(None)
    drop: tuple[str, ...] = static(())
    numeric: tuple[str, ...] = static(())
    missing: str = static("error", choices=("error", "impute", "drop_rows"))
    max_categories: int = static(50, ge=1)
    normalize: str = static("feature", choices=("feature", "none"))

    def conflicts(self) -> list[Fault | str]:
        faults: list[Fault | str] = []
        given = self.delimiter
        if given is not None and given not in _TABS and (len(given) != 1 or given in '"\r\n'):
            faults.append(Fault("data.delimiter", given, "one character, tab or null", "\"data.delimiter=';'\""))
        for option in ("drop", "numeric"):
            if self.target in getattr(self, option):
                faults.append(f"data.{option} names {self.target!r}, which is data.target; name it in one of them only")
        faults += [f"{n!r} is in data.drop and in data.numeric; name it in one" for n in self.drop if n in self.numeric]
        return faults

    def features(self) -> table_encoder.TableFeatures:
        return table_encoder.TableFeatures(normalize=self.normalize, missing=self.missing, numeric=self.numeric)

    def read(self) -> Raw:
        """The feature columns, and the classes, sorted as numbers or alphabetically."""
        file = read_table(self.path, "data.path", self._separator())
        file.refuse(self._name_faults(file.frame))
        names = [name for name in file.frame.columns if name not in (*self.drop, self.target)]
        numeric = [n for n in names if n in self.numeric or table_encoder.is_numeric(file.frame[n])]
        faults = self._value_faults(file, names, numeric)
        faults += self._category_faults(file.frame, [n for n in names if n not in numeric])
        faults += self._class_faults(file.frame)
        file.refuse(faults)
        x, target = self._complete(file, names)
        labels, classes = class_names(target), class_order(target)
        test_x = test_y = None
        if self.test_path is not None:
            test_x, test_y = self._read_test(file.frame, names, numeric, classes)
        return Raw(x=x, y=_positions(labels, classes), classes=classes, test_x=test_x, test_y=test_y)

    def _read_test(
        self, train: pd.DataFrame, names: list[str], numeric: list[str], classes: tuple[str, ...]
    ) -> tuple[pd.DataFrame, np.ndarray]:
        """The rows of `test_path` and their classes. Columns and classes must be those of the training file."""
        as_text = [n for n in names if n not in numeric]
        as_text += [] if table_encoder.is_numeric(train[self.target]) else [self.target]
        file = read_table(str(self.test_path), "data.test_path", self._separator(), as_text)
        needed = [*names, self.target]
        absent = [n for n in needed if n not in file.frame.columns]
        if absent:
            others = ", ".join(n for n in file.frame.columns if n not in needed) or "none"
            file.refuse([f"columns of data.path that are not here: {', '.join(absent)}; columns only here: {others}"])
        file.refuse(self._value_faults(file, names, numeric))
        x, target = self._complete(file, names)
        labels = class_names(target)
        unknown = sorted(set(labels) - set(classes))
        if unknown:
            known = ", ".join(classes)
            file.refuse(
                [f"data.target={self.target} has classes that data.path lacks: {', '.join(unknown)}; it has {known}"]
            )
        return x, _positions(labels, classes)

    def _separator(self) -> str | None:
        return "\t" if self.delimiter in _TABS else self.delimiter

    def _name_faults(self, frame: pd.DataFrame) -> list[str]:
        """Faults of the column names."""
        found = list(frame.columns)
        asked = {"target": (self.target,), "drop": self.drop, "numeric": self.numeric}
        faults = [
            f"data.{option}: there is no column {name!r}; {_suggest(name, found)}"
            for option, names in asked.items()
            for name in names
            if name not in found
        ]
        nameless = [n for n in found if n.startswith("Unnamed: ") and n not in self.drop]
        if nameless:
            advice = table_encoder.typed("drop", (*self.drop, *nameless))
            faults.append(
                f"{len(nameless)} column(s) have no name in the header; name them, or leave them out: {advice}"
            )
        if not faults and not set(found) - {*self.drop, self.target}:
            faults.append(f"no column is left as a feature beside data.target and data.drop; it has {', '.join(found)}")
        return faults

    def _value_faults(self, file: TableFile, names: list[str], numeric: Collection[str]) -> list[str]:
        """Text or inf in numeric columns, and missing values that `missing` does not allow."""
        faults = [f"{fault}, line {file.line(row)}" for fault, row in table_encoder.bad_numbers(file.frame, numeric)]
        allowed = {"error": [self.target, *names], "impute": [self.target], "drop_rows": []}[self.missing]
        gaps = table_encoder.missing_counts(file.frame, allowed)
        if gaps:
            counts = ", ".join(f"{name} {n}" for name, n in gaps.items())
            advice = (
                "data.missing=drop_rows" if self.target in gaps else "data.missing=impute or data.missing=drop_rows"
            )
            faults.append(
                f"missing values (empty, NA, NaN, null, None ...) in {len(file.frame)} rows: {counts}; type {advice}"
            )
        return faults

    def _category_faults(self, frame: pd.DataFrame, text: list[str]) -> list[str]:
        many = {name: n for name in text if (n := frame[name].nunique()) > self.max_categories}
        return [
            f"column {name!r} holds {n} different texts such as {str(frame[name].dropna().iloc[0])!r}, more than "
            f"data.max_categories={self.max_categories}: if it holds numbers, "
            f"{table_encoder.typed('numeric', (*self.numeric, name))}; to leave it out, "
            f"{table_encoder.typed('drop', (*self.drop, name))}; to keep it as it is, type data.max_categories={n}"
            for name, n in many.items()
        ]

    def _class_faults(self, frame: pd.DataFrame) -> list[str]:
        """Why the target column cannot be a column of classes."""
        target = frame[self.target].dropna()
        if not len(target):
            return [f"data.target={self.target} has no values"]
        distinct = class_order(target)
        others = ", ".join(n for n in frame.columns if n != self.target)
        if target.dtype.kind == "f" and (target % 1 != 0).any():
            example = target[target % 1 != 0].iloc[0]
            fault = f"{len(distinct)} different numbers such as {example}, which looks continuous"
        elif len(distinct) == 1:
            fault = f"one class only ({distinct[0]!r}); a classifier needs two or more"
        elif len(distinct) > len(target) / 2:
            fault = f"{len(distinct)} different values in {len(target)} rows, which looks like a name or a number"
        else:
            return []
        return [f"data.target={self.target} has {fault}; choose a column of a few classes among: {others}"]

    def _complete(self, file: TableFile, names: list[str]) -> tuple[pd.DataFrame, pd.Series]:
        """The feature columns and the target, without the rows that `missing=drop_rows` drops."""
        frame = file.frame[[*names, self.target]]
        if self.missing == "drop_rows":
            kept = frame.dropna()
            if not len(kept):
                counts = ", ".join(
                    f"{name} {n}" for name, n in table_encoder.missing_counts(frame, frame.columns).items()
                )
                file.refuse([f"data.missing=drop_rows leaves none of {len(frame)} rows; missing values: {counts}"])
            frame = kept
        return frame[names], frame[self.target]


def class_names(target: pd.Series) -> list[str]:
    """The class of each row as text; 1.0 is the class "1"."""
    if table_encoder.is_numeric(target) and target.dtype.kind == "f":
        return [str(int(value)) if float(value).is_integer() else str(value) for value in target]
    return [str(value).strip() for value in target]


def class_order(target: pd.Series) -> tuple[str, ...]:
    """The distinct classes, sorted as numbers or alphabetically."""
    numeric = table_encoder.is_numeric(target) and target.dtype.kind in "iuf"
    return tuple(sorted(set(class_names(target)), key=float if numeric else str))


def _positions(labels: list[str], classes: tuple[str, ...]) -> np.ndarray:
    place = {name: i for i, name in enumerate(classes)}
    return np.array([place[label] for label in labels], np.int64)


def _suggest(name: str, found: list[str]) -> str:
    near = difflib.get_close_matches(name, found, n=1)
    return f"did you mean {near[0]!r}?" if near else f"the columns are {', '.join(map(repr, found))}"
