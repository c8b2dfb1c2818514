"""Checks that values read from a file have the types that a dataclass declares."""

from __future__ import annotations

import functools
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

LARGEST = 2**63  # whole numbers of result files and of databases are smaller


def check_fields(record: Any) -> None:
    """Raises `ValueError` for the first field of a dataclass's instance that has not the declared type.

    Numbers must be finite.
    """
    check_items({f.name: getattr(record, f.name) for f in fields(record)}, _hints_of(record))


def check_items(values: Mapping[str, Any], kinds: Mapping[str, Any]) -> None:
    """Raises `ValueError` for the first value that is not of the type in `kinds`; other keys are not looked at."""
    for name, kind in kinds.items():
        if name in values and not _fits(values[name], kind):
            raise ValueError(f"{name} must be {_words(kind)}, got {_short(values[name])}")


@functools.cache  # get_type_hints is slow, and a sweep has thousands of records
def hints(cls: Any) -> dict[str, Any]:
    """The types of a class's fields."""
    return typing.get_type_hints(cls)


def _hints_of(record: Any) -> dict[str, Any]:
    cls: Any = type(record)  # hashable, which mypy denies of a dataclass's type
    return hints(cls)


def _fits(value: Any, kind: Any) -> bool:
    origin, arguments = typing.get_origin(kind) or kind, typing.get_args(kind)
    if kind is Any:
        return True
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, part) for part in arguments)
    if origin is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if origin is int:
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < LARGEST
    if not isinstance(value, origin):
        return False
    if is_dataclass(value):
        return all(_fits(getattr(value, name), kind) for name, kind in _hints_of(value).items())
    if isinstance(value, Mapping):
        return all(_fits(key, arguments[0]) and _fits(one, arguments[1]) for key, one in value.items())
    return not isinstance(value, tuple) or all(_fits(one, arguments[0]) for one in value)


def _words(kind: Any) -> str:
    names = {int: "a whole number", float: "a finite number", bool: "true or false", str: "text", type(None): "null"}
    parts = typing.get_args(kind) if typing.get_origin(kind) in (typing.Union, types.UnionType) else (kind,)
    return " or ".join(names.get(part, "values as this version writes them") for part in parts)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
