"""Option specs: frozen dataclasses whose fields carry a type and a constraint.

A field is *static* (equal for all trials of a cohort: shapes, kinds, data) or *stacked* (may differ from trial to
trial inside a cohort: seed, learning rate, dropout). The field itself says which; partitioning into cohorts,
validation, digests and the YAML files all read it from there.
"""

from __future__ import annotations

import ctypes
import dataclasses
import difflib
import functools
import math
import numbers
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from phalanx.core.errors import Fault, SpecError

if TYPE_CHECKING:
    from torch import Tensor

S = TypeVar("S", bound="Spec")
REQUIRED = "???"  # OmegaConf's mark for a value that the user must give


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
    advice: str = ""  # a valid value, shown in the error message


def static(default: Any = MISSING, **constraint: Any) -> Any:
    """Declares a field that all trials of a cohort share. Keywords: see `Constraint`."""
    return dataclasses.field(default=default, metadata={"constraint": Constraint(**constraint)})


def stacked(default: Any = MISSING, **constraint: Any) -> Any:
    """Declares a numeric field that may differ from trial to trial inside a cohort. Keywords: see `Constraint`."""
    return static(default, stacked=True, **constraint)


@dataclass(frozen=True)
class Spec:
    """Base of all specs. Construction checks every field and raises one `SpecError` with all faults."""

    group: ClassVar[str] = ""  # the config group, which prefixes keys in errors
    name: ClassVar[str] = ""  # the option inside the group
    stackable: ClassVar[bool] = False  # whether trials with different options of this group may share a cohort

    def __post_init__(self) -> None:
        faults: list[Fault | str] = []
        cls: Any = type(self)  # a dataclass type is hashable, which mypy denies
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, _checked(self, field, _hints(cls)[field.name], faults))
        known = {fault.key for fault in faults if isinstance(fault, Fault)}
        faults.extend(f for f in self.conflicts() if not isinstance(f, Fault) or f.key not in known)
        if faults:
            raise SpecError(faults)

    def conflicts(self) -> list[Fault | str]:
        """Faults between fields. Called even if a single field is wrong, so it must tolerate invalid values."""
        return []


def constraint_of(field: dataclasses.Field[Any]) -> Constraint:
    """The constraint that a field was declared with; a field declared otherwise is static and has no bounds."""
    return field.metadata.get("constraint") or Constraint()


def key_of(spec: Spec, name: str) -> str:
    """The dotted config key of a field, e.g. `optimizer.lr`."""
    return f"{spec.group}.{name}" if spec.group else name


@functools.cache  # get_type_hints is slow, and a sweep builds thousands of specs
def _hints(cls: type[Spec]) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _checked(spec: Spec, field: dataclasses.Field[Any], kind: Any, faults: list[Fault | str]) -> Any:
    """The field's value converted to its declared type; adds a fault where it does not fit."""
    constraint, key, value = constraint_of(field), key_of(spec, field.name), getattr(spec, field.name)
    if value is None and (kind is Any or type(None) in typing.get_args(kind)):
        return None
    converted = _convert(value, kind)
    allowed = describe(kind, constraint)
    if converted is not None and _within(converted, constraint):
        if (lost := _lost_in_float32(converted, constraint)) is None:
            return converted
        allowed += f" in float32, where {lost!r} becomes {float32(lost):g}"
    advice = constraint.advice or _default_advice(field)
    faults.append(Fault(key, value, allowed, f"{key}={advice}" if advice else ""))
    return converted


def float32(value: float) -> float:
    """What a number becomes in a tensor."""
    return ctypes.c_float(value).value


def _lost_in_float32(value: Any, constraint: Constraint) -> float | None:
    """The first number in `value` that float32 turns into 0, into infinity, or into a bound that it may not reach."""
    if isinstance(value, tuple):
        return next((lost for item in value if (lost := _lost_in_float32(item, constraint)) is not None), None)
    if not isinstance(value, float):
        return None
    single = float32(value)
    return None if _within(single, constraint) and (single != 0 or value == 0) else value


def _convert(value: Any, kind: Any) -> Any:
    """`value` as `kind`, or None where that would change its meaning."""
    if type(value) is kind:
        return value
    origin, arguments = typing.get_origin(kind) or kind, typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return next((found for part in arguments if (found := _convert(value, part)) is not None), None)
    if origin is Any or (origin is typing.Literal and value in arguments):
        return value
    if origin is tuple and arguments:
        if not isinstance(value, (list, tuple)):
            return None
        items = [_convert(item, arguments[0]) for item in value]
        return None if any(item is None for item in items) else tuple(items)
    if isinstance(value, bool) or kind is bool:
        return value if isinstance(value, bool) and kind is bool else None
    if kind in (int, float) and isinstance(value, numbers.Real):  # also NumPy's
        return _number(value, kind)
    return value if isinstance(origin, type) and isinstance(value, origin) else None


def _number(value: numbers.Real, kind: Any) -> int | float | None:
    if kind is int and isinstance(value, numbers.Integral):
        return int(value)
    try:
        number = float(value)
    except OverflowError:  # a whole number that no float holds
        return None
    return number if kind is float else int(number) if number.is_integer() else None


def _within(value: Any, constraint: Constraint) -> bool:
    if isinstance(value, tuple):
        return len(value) >= constraint.min_items and all(_within(item, constraint) for item in value)
    if constraint.choices is not None:
        return value in constraint.choices
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return True
    if not math.isfinite(value):
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
        return f"a list of {f'at least {constraint.min_items} ' if constraint.min_items else ''}{item}"
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


def _default_advice(field: dataclasses.Field[Any]) -> str:
    default = field.default
    if default in (MISSING, None, ""):
        return ""
    return "[" + ",".join(map(str, default)) + "]" if isinstance(default, tuple) else str(default).lower()


def build(cls: type[S], values: Mapping[str, Any], faults: list[Fault | str]) -> S | None:
    """Builds a spec from plain values; returns None if there are faults.

    Args:
        cls: The spec's class.
        values: Field values by name. `???` counts as not given.
        faults: Takes everything that is wrong: unknown names, missing values, values out of bounds.
    """
    known = {f.name: f for f in dataclasses.fields(cls)}
    given = {}
    for name, value in values.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {cls.group}.{near[0]}?" if near else f"known: {', '.join(known) or 'none'}"
            faults.append(f"{cls.group}.{name} is not an option of {cls.group}={cls.name}; {hint}")
        elif value != REQUIRED:
            given[name] = value
    missing = [n for n, f in known.items() if f.default is f.default_factory is MISSING and n not in given]
    faults.extend(f"{cls.group}.{n} has to be given: type {cls.group}.{n}=…" for n in missing)
    if missing:
        return None
    try:
        return cls(**given)
    except SpecError as error:
        faults.extend(error.faults)
        return None


def walk(spec: Spec) -> Iterator[tuple[str, Constraint, Any]]:
    """Yields every field of a spec and of the specs inside it as (dotted key, constraint, value)."""
    for field in dataclasses.fields(spec):
        value = getattr(spec, field.name)
        if isinstance(value, Spec):
            yield f"{field.name}.name", Constraint(), value.name
            yield from walk(value)
        else:
            yield key_of(spec, field.name), constraint_of(field), value


def stacked_values(specs: Sequence[Spec]) -> dict[str, Tensor]:
    """The stacked fields of one option across trials: float64 tensors (T,); null becomes infinity."""
    import torch

    def number(spec: Spec, name: str) -> float:
        return math.inf if getattr(spec, name) is None else float(getattr(spec, name))

    names = [field.name for field in dataclasses.fields(specs[0]) if constraint_of(field).stacked]
    return {name: torch.tensor([number(s, name) for s in specs], dtype=torch.float64) for name in names}


def without_stacked(spec: S) -> S:
    """`spec` with every stacked field at its default: equal for all specs that differ in stacked fields only."""
    stacked_fields = [f for f in dataclasses.fields(spec) if constraint_of(f).stacked and f.default is not MISSING]
    return dataclasses.replace(spec, **{f.name: f.default for f in stacked_fields})
