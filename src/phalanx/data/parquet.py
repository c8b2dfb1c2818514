"""A user's table in a Parquet file, whose columns have types."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

from phalanx.core.specs import static
from phalanx.data.cell_values import Notation
from phalanx.data.parquet_cells import parquet_cells
from phalanx.data.table_cells import Cells
from phalanx.data.table_reader import TableReader
from phalanx.data.table_source import TableSource


@dataclass(frozen=True, kw_only=True)
class Parquet(TableSource):
    """Columns of numbers are scaled, and texts, categories and dates one-hot encoded, by their types."""

    name: ClassVar[str] = "parquet"
    path: str = static(determines_numbers=False, advice="FILE.parquet")
    missing_markers: tuple[str, ...] = static(())

    def _reader(self) -> TableReader:
        return TableReader(notation=self._notation(), target=self.target)

    def _notation(self) -> Notation:
        return Notation(self.missing_markers)

    def _file(self, reader: TableReader, path: str, key: str, needed: Collection[str]) -> Cells:
        named = (self.target, *self.numeric, *self.categorical, *self._aside.values())
        cells = parquet_cells(path, f"{key}={path}", needed, named, self.drop)
        return reader.with_needed(cells, needed)
