"""What a diff has found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from phalanx.analysis.diff.rows import Row
from phalanx.analysis.diff.samples import SampleDiff
from phalanx.core.result import EpochMetrics


@dataclass(frozen=True)
class Diff:
    """What differs between A and B, and what has to be known about it."""

    folders: tuple[Path, Path]
    rows: tuple[Row, ...]
    n_keys: Mapping[str, int]  # how many keys each section compared
    curves: tuple[tuple[EpochMetrics, ...], tuple[EpochMetrics, ...]]  # of the runs, or of the best trials
    curve_names: tuple[str, str]
    notes: tuple[str, ...]
    samples: SampleDiff | None = None
    no_samples: str = ""  # why the samples were not compared
    n_damaged: int = 0  # results that could not be read

    def section(self, name: str) -> list[Row]:
        """The rows of one section."""
        return [row for row in self.rows if row.section == name]
