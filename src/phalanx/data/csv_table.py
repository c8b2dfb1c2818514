"""A user's table in a text file."""

from __future__ import annotations

import codecs
from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

from phalanx.core.advice import argument
from phalanx.core.errors import Fault
from phalanx.core.specs import static
from phalanx.data.cell_values import MARKERS, THOUSANDS, Notation
from phalanx.data.scaling import SCALINGS
from phalanx.data.table_cells import Cells
from phalanx.data.table_layout import TAB_NAMES, WHITESPACE, Layout
from phalanx.data.table_reader import TableReader
from phalanx.data.table_source import TableSource


@dataclass(frozen=True, kw_only=True)
class Csv(TableSource):
    """Numbers are scaled and text is one-hot encoded, with statistics of the training split."""

    name: ClassVar[str] = "csv"
    path: str = static(determines_numbers=False, advice="FILE.csv")
    delimiter: str | None = static(None)
    encoding: str = static("utf-8")
    comment: str | None = static(None)
    skip_lines: int = static(0, ge=0)
    header: bool = static(True)
    decimal: str = static(".", choices=(".", ","))
    thousands: str | None = static(None, choices=THOUSANDS)

    def conflicts(self) -> list[Fault | str]:
        faults: list[Fault | str] = []
        given = self.delimiter
        if given is not None and given not in (*TAB_NAMES, WHITESPACE) and (len(given) != 1 or given in '"\r\n'):
            allowed = f"one character, tab, {WHITESPACE} or null"
            faults.append(Fault("data.delimiter", given, allowed, argument("data.delimiter", ";")))
        if not _is_encoding(self.encoding):
            advice = f"data.scaling={self.encoding}" if self.encoding in SCALINGS else "data.encoding=cp1252"
            faults.append(Fault("data.encoding", self.encoding, "an encoding that Python knows", advice))
        if self.comment is not None and not self.comment.strip():
            faults.append(Fault("data.comment", self.comment, "text or null", argument("data.comment", "#")))
        if self.decimal == self.thousands:
            other = "," if self.decimal == "." else "."
            faults.append(
                Fault(
                    "data.thousands",
                    self.thousands,
                    "another sign than data.decimal",
                    argument("data.thousands", other),
                )
            )
        return [*faults, *super().conflicts()]

    def _reader(self) -> TableReader:
        delimiter = "\t" if self.delimiter in TAB_NAMES else self.delimiter
        layout = Layout(delimiter, self.encoding, self.comment, self.skip_lines, self.header)
        return TableReader(layout, self._notation(), target=self.target)

    def _notation(self) -> Notation:
        markers = MARKERS if self.missing_markers is None else self.missing_markers
        return Notation(markers, self.decimal, self.thousands)

    def _file(self, reader: TableReader, path: str, key: str, needed: Collection[str]) -> Cells:
        return reader.read(path, key, needed, may_type=True)


def _is_encoding(name: str) -> bool:
    try:
        codecs.lookup(name)
        "".encode(name)  # raises for what encodes bytes, such as base64
    except (LookupError, ValueError, TypeError):
        return False
    return True
