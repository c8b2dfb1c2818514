"""The error of a table that cannot be used as it was asked for: its faults, and options with which it may be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from phalanx.core.advice import override
from phalanx.core.errors import DataError


class TableError(DataError):
    """All faults that were found in a table, and one line of options to type.

    Args:
        source: What messages call the file.
        faults: At least one.
        options: The advised options of `data=csv` by key, such as `data.drop`.
        conditions: Under which the options are right.
        by_hand: What to do with a file that has to follow the options of another one.
    """

    def __init__(
        self, source: str, faults: Sequence[str], options: Mapping[str, object] | None = None,
        conditions: Sequence[str] = (), by_hand: str = "",
    ) -> None:  # fmt: skip
        self.source, self.faults, self.conditions = source, tuple(faults), tuple(conditions)
        self.options: dict[str, Any] = dict(options or {})
        self.by_hand = by_hand
        super().__init__(self._text())

    def _text(self) -> str:
        one, advice = len(self.faults) == 1, " ".join(override(key, value) for key, value in self.options.items())
        if advice:
            condition = f"if {' and '.join(self.conditions)}, " if self.conditions else ""
            advice = f"; {condition}type {advice}" if one else f"\n  To go on, {condition}type {advice}"
        if one:
            return f"{self.source}: {self.faults[0]}{advice}"
        return "\n  - ".join([f"{self.source} has {len(self.faults)} faults:", *self.faults]) + advice

    def of_other_file(self) -> DataError:
        """The same for a file that is read by the options of another one, which its faults must not change."""
        return DataError(f"{self.source}: {'; '.join((*self.faults, self.by_hand))}") if self.by_hand else self

    def and_then(self, further: TableError) -> TableError:
        """This error with the faults that were found when its options had been typed."""
        faults = dict.fromkeys((*self.faults, *further.faults))
        conditions = dict.fromkeys((*self.conditions, *further.conditions))
        return TableError(self.source, [*faults], {**self.options, **further.options}, [*conditions])

    def __reduce__(self) -> tuple[type[TableError], tuple[Any, ...]]:
        return type(self), (self.source, self.faults, self.options, self.conditions, self.by_hand)
