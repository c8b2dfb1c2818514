"""What an option's field allows: bounds and choices, and their words in messages."""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

TOO_LARGE = 2**63  # for a whole number in a tensor, a file or a database


@dataclass(frozen=True)
class Constraint:
    """The values that a field allows: bounds, which hold for each item of a list, or choices."""

    stacked: bool = False
    gt: float | None = None
    ge: float | None = None
    lt: float | None = None
    le: float | None = None
    choices: tuple[str, ...] | None = None
    min_items: int = 0
    determines_numbers: bool = True  # False keeps the field out of the config digest
    neutral: bool = False  # the default stays out of the config digest, so that a field that is added changes no digest
    internal: bool = False  # no key of a configuration, but derived from the other fields
    advice: str = ""  # a valid value, shown in the error message
    any_text: bool = True  # whether a number is advised in quotes, as the text that it may be


def within(value: Any, constraint: Constraint) -> bool:
    """Whether a value of the right type is allowed."""
    if isinstance(value, tuple):
        return len(value) >= constraint.min_items and all(within(item, constraint) for item in value)
    if constraint.choices is not None:
        return value in constraint.choices
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return True
    if abs(value) >= TOO_LARGE if isinstance(value, int) else not math.isfinite(value):
        return False
    return (
        (constraint.gt is None or value > constraint.gt)
        and (constraint.ge is None or value >= constraint.ge)
        and (constraint.lt is None or value < constraint.lt)
        and (constraint.le is None or value <= constraint.le)
    )


def describe(kind: Any, constraint: Constraint) -> str:
    """The values that a field allows, in words: `a number in (0, 1]`.

    Args:
        kind: The field's type as resolved by `typing.get_type_hints`.
        constraint: The field's bounds or choices.
    """
    origin, arguments = typing.get_origin(kind) or kind, typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        parts = [describe(part, constraint) for part in arguments if part is not type(None)]
        return " or ".join([*parts, "null"] if type(None) in arguments else parts)
    if origin is tuple and arguments:
        item = describe(arguments[0], constraint)
        item = item.split(" ", 1)[1] if item.startswith(("a ", "an ")) else item
        least = f"at least {constraint.min_items} " if constraint.min_items else ""
        return f"a list of {least + item if least else item.replace('number', 'numbers', 1)}"
    if choices := constraint.choices or (arguments if origin is typing.Literal else None):
        return "one of " + ", ".join(map(str, choices))
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    names |= dict.fromkeys((dict, Mapping), "a mapping") | dict.fromkeys((list, Sequence), "a list")
    return names.get(origin, f"a value of type {getattr(kind, '__name__', kind)}") + _interval(constraint)


def _interval(constraint: Constraint) -> str:
    low = constraint.ge if constraint.gt is None else constraint.gt
    high = constraint.le if constraint.lt is None else constraint.lt
    if low is not None and high is not None:
        return f" in {'[' if constraint.gt is None else '('}{low:g}, {high:g}{']' if constraint.lt is None else ')'}"
    if low is not None:
        return f" {'of at least' if constraint.gt is None else 'above'} {low:g}"
    return "" if high is None else f" {'of at most' if constraint.lt is None else 'below'} {high:g}"
