"""How a table is read, as it was decided for the training file and is stored with the model.

The training file, the test file and the rows to predict are read by one `TableReader`, so that the same cell gives the
same feature.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from phalanx.core.errors import DataError
from phalanx.data.cell_values import Notation
from phalanx.data.parquet_cells import parquet_cells
from phalanx.data.table_arff import refuse_arff
from phalanx.data.table_cells import Cells, read_cells
from phalanx.data.table_error import TableError
from phalanx.data.table_layout import Layout, records
from phalanx.data.table_text import is_parquet, table_text


@dataclass(frozen=True)
class TableReader:
    """Reads a file as the training file was read."""

    layout: Layout = field(default_factory=Layout)
    notation: Notation = field(default_factory=Notation)
    names: tuple[str, ...] = ()  # of all columns of the training file
    target: str = ""
    dropped: tuple[str, ...] = ()

    def read(
        self, path: str, key: str, needed: Collection[str] = (), *, may_type: bool = False, may_lack: bool = False
    ) -> Cells:
        """Reads the cells of a file.

        Another delimiter, or no title lines, are accepted where the columns are found with them.

        Args:
            path: The file.
            key: What names it in messages, such as `data.path`.
            needed: The columns that the file must have.
            may_type: Whether messages may advise options of `data=csv`.
            may_lack: Whether some of the columns may be absent.

        Raises:
            DataError: The file cannot be read, or lacks columns.
        """
        source = f"{key}={path}"
        if not may_type and is_parquet(path):
            return self.with_needed(parquet_cells(path, source, needed), needed, may_lack=may_lack)
        text = table_text(path, source, self.layout.encoding, may_type=may_type)
        if self.layout.header:
            refuse_arff(text, source, self.target, may_type=may_type)
        else:
            return self._by_position(text, source)
        found: list[Cells] = []
        first: DataError | None = None
        for layout in self._layouts() if needed else [self.layout]:
            try:
                found.append(read_cells(text, layout, source))
            except TableError as error:
                first = first or (error.of_other_file() if needed else error)
            except DataError as error:
                first = first or error
        if not found:
            assert first is not None
            raise first
        best = max(found, key=lambda cells: len(set(needed) & set(cells.frame.columns)))  # the first of equals
        return self.with_needed(best, needed, may_lack=may_lack)

    def with_needed(self, cells: Cells, needed: Collection[str], *, may_lack: bool = False) -> Cells:
        """The cells, if they have the columns that are needed. Raises `DataError` if they lack some; see `read`."""
        absent = [name for name in needed if name not in cells.frame.columns]
        if absent and not (may_lack and len(absent) < len(needed)):
            others = ", ".join(name for name in cells.frame.columns if name not in needed) or "none"
            raise DataError(
                f"{cells.source} lacks the columns {', '.join(map(repr, absent))}, which the training file has; "
                f"columns only here: {others}"
            )
        return cells

    def _layouts(self) -> list[Layout]:
        """The layout of the training file, then those that may be tried where it does not find the columns."""
        detected = replace(self.layout, delimiter=None)
        others = [detected, replace(detected, skip_lines=0)] if self.layout.skip_lines else [detected]
        return [self.layout, *(layout for layout in others if layout != self.layout)]

    def _by_position(self, text: str, source: str) -> Cells:
        """The cells of a file without a header, with the names of the training file's columns."""
        if not self.names:
            return read_cells(text, self.layout, source)
        expected = {len(self.names): self.names, len(self.names) - 1: tuple(n for n in self.names if n != self.target)}
        found = [0]
        for layout in (self.layout, replace(self.layout, delimiter=None)):
            cells = read_cells(text, layout, source)
            found.append(len(cells.frame.columns))
            if (names := expected.get(found[-1])) is not None:
                cells.frame.columns = list(names)
                return self._with_skipped(text, cells)
        raise DataError(
            f"{source} has {max(found)} columns and no header, and the training file has {len(self.names)}: give "
            f"those, or those without {self.target}"
        )

    def _with_skipped(self, text: str, cells: Cells) -> Cells:
        """Refuses a file whose skipped lines are rows: unlike the training file it has nothing above its table."""
        n_skipped = self.layout.skip_lines
        above = next(records(text, replace(cells.layout, skip_lines=0), cells.source)) if n_skipped else None
        if above is None or above.line > n_skipped or len(above.cells) != len(cells.frame.columns):
            return cells
        first = cells.frame.iloc[0].to_numpy()
        texts, texts_above = (self.notation.no_numbers(np.array(row, dtype=object)) for row in (first, above.cells))
        if (texts == texts_above).all():
            raise DataError(
                f"{cells.source}: line {above.line} looks like a row of data, and data.skip_lines={n_skipped} of the "
                f"training file would leave it out; put {n_skipped} empty lines above it"
            )
        return cells

    def to_json(self) -> dict[str, Any]:
        """As it stands in the model file."""
        own = {**asdict(self.layout), **asdict(self.notation)}
        return {**own, "names": self.names, "target": self.target, "dropped": self.dropped}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> TableReader:
        """Raises `KeyError`, `TypeError` or `ValueError` for anything but the output of `to_json`."""
        layout = Layout(**{key: stored[key] for key in asdict(Layout())})
        notation = Notation(tuple(stored["missing_markers"]), stored["decimal"], stored["thousands"])
        names, dropped = tuple(stored["names"]), tuple(stored["dropped"])
        found = cls(layout, notation, names, stored["target"], dropped)
        if not all(isinstance(text, str) for text in (*names, *dropped, found.target, *notation.missing_markers)):
            raise ValueError("names and markers of its table must be text")
        return found
