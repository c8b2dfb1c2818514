"""Option specs: frozen dataclasses whose fields carry a type and a constraint.

A field is *static* (equal for all trials of a cohort: shapes, kinds, data) or *stacked* (may differ inside a cohort:
seed, learning rate, dropout). The field says which; cohorts, validation, digests and YAML files read it from there.
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

from phalanx.core.advice import argument
from phalanx.core.constraints import TOO_LARGE, Constraint, describe, within
from phalanx.core.errors import Fault, SpecError

if TYPE_CHECKING:
    from torch import Tensor

S = TypeVar("S", bound="Spec")
REQUIRED = "???"  # OmegaConf's mark for a value that the user must give


def static(default: Any = MISSING, **constraint: Any) -> Any:
    """Declares a field that all trials of a cohort share. Keywords: see `Constraint`."""
    return dataclasses.field(default=default, metadata={"constraint": Constraint(**constraint)})


def stacked(default: Any = MISSING, **constraint: Any) -> Any:
    """Declares a field that may differ from trial to trial inside a cohort. Keywords: see `Constraint`."""
    return static(default, stacked=True, **constraint)


@dataclass(frozen=True)
class Spec:
    """Base of all specs. Construction checks every field and raises one `SpecError` with all faults."""

    config_group: ClassVar[str] = ""  # the config group, which prefixes keys in errors
    name: ClassVar[str] = ""  # the option inside the group
    stackable: ClassVar[bool] = False  # whether trials with different options of this group may share a cohort
    source: ClassVar[str] = ""  # file and digest of an option that a user wrote

    def __post_init__(self) -> None:
        faults: list[Fault | str] = []
        cls: Any = type(self)  # a dataclass type is hashable, which mypy denies
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, _checked(self, field, _hints(cls)[field.name], faults))
        known = {fault.key for fault in faults if isinstance(fault, Fault)}
        faults.extend(f for f in self._conflicts(bool(faults)) if not isinstance(f, Fault) or f.key not in known)
        if faults:
            raise SpecError(faults)

    def _conflicts(self, has_faults: bool) -> list[Fault | str]:
        """The result of `conflicts`; nothing if they do not bear a value of another type, which is a fault already."""
        try:
            return self.conflicts()
        except Exception:
            if has_faults:
                return []
            raise

    def conflicts(self) -> list[Fault | str]:
        """Faults between fields. Called even if one is wrong, to find all at once; what it raises then is ignored."""
        return []


def constraint_of(field: dataclasses.Field[Any]) -> Constraint:
    """The constraint that a field was declared with; a field declared otherwise is static and has no bounds."""
    return field.metadata.get("constraint") or Constraint()


def keys_of(spec: Spec | type[Spec]) -> list[dataclasses.Field[Any]]:
    """The fields that are keys of a configuration."""
    return [field for field in dataclasses.fields(spec) if not constraint_of(field).internal]


def key_of(spec: Spec | type[Spec], name: str) -> str:
    """The dotted config key of a field, e.g. `optimizer.lr`."""
    return f"{spec.config_group}.{name}" if spec.config_group else name


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
    if converted is not None and within(converted, constraint):
        if (lost := _lost_in_float32(converted, constraint)) is None:
            return converted
        allowed += f" in float32, where {lost!r} becomes {float32(lost):g}"
    elif isinstance(converted, int) and abs(converted) >= TOO_LARGE:
        allowed += " and less than 2**63"
    advice = constraint.advice or _default_advice(field, kind)
    as_text = _as_text(key, value, kind) if constraint.any_text and constraint.choices is None else ""
    faults.append(Fault(key, value, allowed, as_text or (f"{key}={advice}" if advice else "")))
    return converted


def _as_text(key: str, value: Any, kind: Any) -> str:
    """How to type a number as the text, or one item as the list, that a field takes; empty where it takes neither."""
    kinds = typing.get_args(kind) if typing.get_origin(kind) in (typing.Union, types.UnionType) else (kind,)
    plain = isinstance(value, (str, int, float)) and not isinstance(value, bool)
    if str in kinds:
        return argument(key, str(value)) if plain else ""
    if not any(typing.get_origin(part) is tuple and typing.get_args(part)[0] is str for part in kinds):
        return ""
    items = value if isinstance(value, (list, tuple)) else [value] if plain else None
    return argument(key, map(str, items)) if items and None not in items else ""


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
    return None if within(single, constraint) and (single != 0 or value == 0) else value


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


def _default_advice(field: dataclasses.Field[Any], kind: Any) -> str:
    default = field.default
    if default in (MISSING, None, ""):
        return "null" if default is None and type(None) in typing.get_args(kind) else ""
    return "[" + ",".join(map(str, default)) + "]" if isinstance(default, tuple) else str(default).lower()


def build(cls: type[S], values: Mapping[str, Any], faults: list[Fault | str]) -> S | None:
    """Builds a spec from plain values; returns None if there are faults.

    Args:
        cls: The spec's class.
        values: Field values by name. `???` counts as not given.
        faults: Takes everything that is wrong: unknown names, missing values, values out of bounds.
    """
    known = {f.name: f for f in keys_of(cls)}
    given = {}
    for name, value in values.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {cls.config_group}.{near[0]}?" if near else f"known: {', '.join(known) or 'none'}"
            faults.append(f"{cls.config_group}.{name} is not an option of {cls.config_group}={cls.name}; {hint}")
        elif value != REQUIRED:
            given[name] = value
    missing = [n for n, f in known.items() if f.default is f.default_factory is MISSING and n not in given]
    if missing:
        faults.extend(f"{cls.config_group}.{n} has to be given: type {cls.config_group}.{n}=…" for n in missing)
        return None
    try:
        return cls(**given)
    except SpecError as error:
        faults.extend(error.faults)
        return None


def walk(spec: Spec) -> Iterator[tuple[str, Constraint, Any]]:
    """Yields every field of a spec and of the specs inside it as (dotted key, constraint, value)."""
    cls: Any = type(spec)  # a dataclass type is hashable, which mypy denies
    for field, key, constraint, at_default in _walked(cls):
        value = getattr(spec, field.name)
        if isinstance(value, Spec):
            yield f"{field.name}.name", Constraint(), value.name
            yield from walk(value)
        else:
            yield key, at_default if constraint.neutral and value == field.default else constraint, value


@functools.cache  # a sweep walks through thousands of specs
def _walked(cls: type[Spec]) -> list[tuple[dataclasses.Field[Any], str, Constraint, Constraint]]:
    """Of each key its field, its dotted key, its constraint, and that of its default if that means "as before"."""
    return [
        (
            field,
            key_of(cls, field.name),
            found := constraint_of(field),
            dataclasses.replace(found, determines_numbers=False),
        )
        for field in keys_of(cls)
    ]


def stacked_values(specs: Sequence[Spec]) -> dict[str, Tensor]:
    """The stacked numbers of one option across trials: float64 tensors (T,); null becomes infinity."""
    import torch

    def number(spec: Spec, name: str) -> float:
        return math.inf if getattr(spec, name) is None else float(getattr(spec, name))

    stacked_fields = [field for field in dataclasses.fields(specs[0]) if constraint_of(field).stacked]
    names = [field.name for field in stacked_fields if not isinstance(getattr(specs[0], field.name), str)]
    return {name: torch.tensor([number(s, name) for s in specs], dtype=torch.float64) for name in names}


def without_stacked(spec: S) -> S:
    """`spec` with every stacked field at its default: equal for all specs that differ in stacked fields only."""
    stacked_fields = [f for f in dataclasses.fields(spec) if constraint_of(f).stacked and f.default is not MISSING]
    return dataclasses.replace(spec, **{f.name: f.default for f in stacked_fields})
