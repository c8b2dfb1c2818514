"""How trials differ from the defaults and from the best trial: what was typed, and values of configurations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from phalanx.core.redaction import redact
from phalanx.runs.config_file import flat

NOTHING = "–"


@dataclass(frozen=True)
class Row:
    """One key, and its value in each of the configurations."""

    key: str
    values: tuple[str, ...]
    alike: tuple[bool, ...]  # whether each value is that of the first configuration


def differences(trials: Sequence[tuple[Mapping[str, Any], Mapping[str, str]]]) -> list[Row]:
    """The keys that were typed for a trial, and those in which the configurations differ besides.

    Args:
        trials: The resolved configuration and the overrides of each; the others are compared with the first one.
    """
    tables = [flat(config) for config, _ in trials]
    there = dict.fromkeys(key for table in tables for key in table)
    typed = dict.fromkeys(key for _, overrides in trials for key in overrides)
    rows = []
    for key in (key for key in typed if key not in there):  # the choice of a group, or a shorthand such as model.width
        texts = [overrides.get(key) for _, overrides in trials]
        rows.append(_row(key, texts))
    for key in there:
        row = _row(key, [table.get(key) for table in tables])
        if key in typed or not all(row.alike):
            rows.append(row)
    return rows


def _row(key: str, values: Sequence[Any]) -> Row:
    alike = tuple(value == values[0] and type(value) is type(values[0]) for value in values)
    return Row(key, tuple(NOTHING if value is None else redact(_text(value)) for value in values), alike)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
