"""A user's table, whatever its file: one row per sample, one column of classes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from phalanx.core.advice import override
from phalanx.core.errors import Fault, RequestError
from phalanx.core.patterns import pattern_of
from phalanx.core.specs import static
from phalanx.data.base import DataSpec, Raw
from phalanx.data.cell_values import Kind, Notation
from phalanx.data.dividing_columns import check_dividing, group_codes, times
from phalanx.data.scaling import SCALINGS, scaling_faults
from phalanx.data.several_files import read_files
from phalanx.data.table_cells import Cells
from phalanx.data.table_classes import class_faults, class_kind, class_names, class_order, class_positions
from phalanx.data.table_encoder import TableFeatures
from phalanx.data.table_error import TableError
from phalanx.data.table_faults import Asked, Refusal
from phalanx.data.table_header import check_names
from phalanx.data.table_reader import TableReader
from phalanx.data.table_rows import Column, TableRows

if TYPE_CHECKING:
    import pandas as pd

_MOST_ROUNDS = 4  # of a table's advice, each of which brings out further faults


@dataclass(frozen=True, kw_only=True)
class TableSource(DataSpec):
    """Numbers are scaled and text is one-hot encoded, with statistics of the training split."""

    path: str = static(determines_numbers=False, advice="FILE")
    target: str = static(advice="COLUMN")
    test_path: str | None = static(None, determines_numbers=False)
    title: str | None = static(None, determines_numbers=False)
    missing_markers: tuple[str, ...] | None = static(None)
    drop: tuple[str, ...] = static(())
    numeric: tuple[str, ...] = static(())
    categorical: tuple[str, ...] = static(())
    missing: str = static("error", choices=("error", "impute", "drop_rows"))
    max_categories: int = static(50, ge=1)
    normalize: str = static("feature", choices=("feature", "none"))
    scaling: str = static("standard", choices=SCALINGS, neutral=True)
    group: str | None = static(None, neutral=True, advice="COLUMN")
    time: str | None = static(None, neutral=True, advice="COLUMN")

    def conflicts(self) -> list[Fault | str]:
        faults = super().conflicts()
        for option in ("drop", "numeric"):
            if self.target in getattr(self, option):
                faults.append(f"data.{option} names {self.target!r}, which is data.target; name it in one of them only")
        pairs = (("drop", "numeric"), ("drop", "categorical"), ("numeric", "categorical"))
        faults += [
            f"{name!r} is in data.{first} and in data.{second}; name it in one"
            for first, second in pairs
            for name in getattr(self, first)
            if name in getattr(self, second)
        ]
        return [*faults, *scaling_faults(self.scaling, self.normalize), *self._faults_aside()]

    @property
    def is_drawn(self) -> bool:
        return self.time is None

    @property
    def _aside(self) -> dict[str, str]:
        """By option: the columns that divide the rows, and are no features."""
        return {option: name for option in ("group", "time") if (name := getattr(self, option)) is not None}

    def _faults_aside(self) -> list[Fault | str]:
        faults: list[Fault | str] = [
            f"{name!r} is data.{option}, which is no feature, and in data.{other}; name it in one"
            for option, name in self._aside.items()
            for other in ("drop", "numeric", "categorical")
            if name in getattr(self, other)
        ]
        faults += [
            f"data.{option} names {name!r}, which is data.target; name it in one of them only"
            for option, name in self._aside.items()
            if name == self.target
        ]
        if self.time is None:
            return faults
        if self.group is not None:
            faults.append(Fault("data.time", self.time, "null with data.group", "data.time=null"))
        if self.resampling not in ("holdout", "kfold"):
            allowed = "holdout or kfold with data.time, whose order leaves nothing to draw"
            faults.append(Fault("data.resampling", self.resampling, allowed, "data.resampling=kfold"))
        if self.split_seed:
            allowed = "0 with data.time, whose order leaves nothing to draw"
            faults.append(Fault("data.split_seed", self.split_seed, allowed, "data.split_seed=0"))
        if self.outer_folds is not None:
            allowed = "null with data.time: rows that test would be before those that train"
            faults.append(Fault("data.outer_folds", self.outer_folds, allowed, "data.outer_folds=null"))
        return faults

    def features(self) -> TableFeatures:
        return TableFeatures(self.normalize, self.missing, self.numeric, scaling=self.scaling)

    def read(self) -> Raw:
        """The feature columns, and the classes, sorted as numbers or alphabetically."""
        try:
            return self._read()
        except TableError as error:
            raise self._with_further_faults(error) from error

    def _with_further_faults(self, first: TableError) -> TableError:
        """The error with the faults that would come when what it advises has been typed, and so on."""
        asked, found, latest = self, first, first
        for _ in range(_MOST_ROUNDS):
            try:
                asked = replace(asked, **{key.removeprefix("data."): value for key, value in latest.options.items()})
                asked._read()
                break
            except TableError as error:
                if not error.options or set(error.faults) <= set(found.faults):
                    break
                found, latest = found.and_then(error), error
            except RequestError:
                break
        return found

    def _read(self) -> Raw:
        reader = self._reader()
        cells = self._cells(reader, self.path, "data.path")
        refusal = Refusal(cells, self._asked())
        check_names(refusal)
        refusal.raise_if_any()
        columns = list(cells.frame.columns)
        names = [name for name in columns if name not in (*self.drop, self.target, *self._aside.values())]
        reader = TableReader(cells.layout, reader.notation, tuple(columns), self.target, self.drop)
        rows = self._rows(cells, names, list(self._aside.values()))
        kinds = {name: self._kind(name, column, cells) for name, column in rows.columns.items()}
        self._refuse(rows, kinds)
        classes_are = class_kind(rows.target)
        labels = class_names(rows.target, classes_are)
        classes = class_order(labels, classes_are)
        test_x = test_y = None
        if self.test_path is not None:
            test_x, test_y = self._read_test(reader, kinds, classes_are, classes)
        features = replace(self.features(), reader=reader)
        y, about, notes = (
            class_positions(labels, classes),
            (*cells.about, *rows.about(self.target), *(f"divided by {o} {name!r}" for o, name in self._aside.items())),
            self._notes(rows, kinds),
        )
        group = None if self.group is None else group_codes(rows.aside[self.group])
        time = None if self.time is None else times(rows.aside[self.time])
        return Raw(
            _typed(rows, kinds), y, classes, test_x, test_y, features=features, about=about, notes=notes,
            group=group, time=time,
        )  # fmt: skip

    def _notes(self, rows: TableRows, kinds: dict[str, Kind]) -> tuple[str, ...]:
        """Columns of text that look like numbers with something else in each cell."""
        text = {name: rows.columns[name] for name in kinds if kinds[name] is Kind.TEXT and name not in self.categorical}
        return tuple(
            f"column {name!r}: {n} of {column.n_given} cells look like numbers or dates, such as "
            f"{column.texts_V[0]!r}, and are read as text; if that is right, "
            f"{override('data.categorical', (*self.categorical, name))} says so"
            for name, column in text.items()
            if (n := column.n_like_numbers) > column.n_given / 2
        )

    def _read_test(
        self, reader: TableReader, kinds: dict[str, Kind], classes_are: Kind, classes: tuple[str, ...]
    ) -> tuple[pd.DataFrame, np.ndarray]:
        """The rows of `test_path` and their classes. Columns and classes must be those of the training file."""
        cells = self._cells(reader, str(self.test_path), "data.test_path", (*kinds, self.target))
        rows = self._rows(cells, list(kinds))
        refusal = Refusal(cells, self._asked())
        refusal.check_missing({**rows.columns, self.target: rows.target})
        for name, kind in kinds.items():
            refusal.check_cells(name, kind, rows.columns[name])
        refusal.raise_if_any()
        labels = class_names(rows.target, classes_are)
        unknown = sorted(set(labels) - set(classes))
        if unknown:
            known = ", ".join(classes)
            cells.refuse(
                [f"data.target={self.target} has classes that data.path lacks: {', '.join(unknown)}; it has {known}"]
            )
        return _typed(rows, kinds), class_positions(labels, classes)

    def _rows(self, cells: Cells, names: list[str], aside: Collection[str] = ()) -> TableRows:
        drops_gaps = self.missing == "drop_rows"
        return TableRows.of(cells, names, self.target, self._notation(), drops_gaps=drops_gaps, aside=aside)

    def _refuse(self, rows: TableRows, kinds: dict[str, Kind]) -> None:
        """Raises `DataError` with everything that keeps the file from being used."""
        refusal, target = Refusal(rows.cells, self._asked()), rows.target
        everything = {**rows.columns, self.target: target}
        refusal.check_missing(everything)
        check_dividing(refusal, rows.aside)
        has_rows = rows.used_N.any() or target.missing_N.all()
        if not refusal.faults and not has_rows:
            gaps = rows.gaps(everything)
            refusal.faults.append(
                f"data.missing=drop_rows leaves none of {len(rows.used_N)} rows; missing values: {gaps}"
            )
            refusal.options["data.missing"] = "impute"
        refusal.check_numbers(rows.columns, kinds)
        refusal.check_categories({name: rows.columns[name] for name in kinds if kinds[name] is Kind.TEXT})
        if has_rows:
            refusal.faults += class_faults(self.target, target, list(rows.cells.frame.columns), self.categorical)
        refusal.raise_if_any()

    def _notation(self) -> Notation:
        """How cells are written."""
        raise NotImplementedError

    def _reader(self) -> TableReader:
        """What reads the training file."""
        raise NotImplementedError

    def _file(self, reader: TableReader, path: str, key: str, needed: Collection[str]) -> Cells:
        """The cells of one file.

        Args:
            reader: What reads it.
            path: The file.
            key: What names it in messages, such as `data.path`.
            needed: The columns that it must have.
        """
        raise NotImplementedError

    def _cells(self, reader: TableReader, path: str, key: str, needed: Collection[str] = ()) -> Cells:
        """The cells of one file, or of all that a pattern names; see `_file`."""
        if (pattern := pattern_of(path)) is None:
            return self._file(reader, path, key, needed)
        return read_files(pattern, f"{key}={path}", lambda file: self._file(reader, file, key, needed))

    def _asked(self) -> Asked:
        return Asked(
            self.target, self.drop, self.numeric, self.categorical, self.missing, self.missing_markers,
            self.max_categories, self._notation(), self._aside,
        )  # fmt: skip

    def _kind(self, name: str, column: Column, cells: Cells) -> Kind:
        if name in self.categorical:
            return Kind.TEXT
        return Kind.NUMBER if name in self.numeric else cells.kinds.get(name, column.kind)


def _typed(rows: TableRows, kinds: dict[str, Kind]) -> pd.DataFrame:
    """The feature columns of the rows that are used."""
    import pandas as pd

    values = {name: rows.columns[name].typed(kind) for name, kind in kinds.items()}
    return pd.DataFrame(values, index=np.flatnonzero(rows.used_N))
