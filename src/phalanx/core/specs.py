"""Typed, range-checked, frozen specs: the vocabulary in which every part declares its options.

A field is *static* (equal for all trials of a cohort: shapes, kinds, data) or *stacked* (may differ from
trial to trial inside a cohort: seed, learning rate, dropout). The mark stands at the field, and partitioning,
validation, digests and the Python and YAML interfaces all read it from there.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from phalanx.core.errors import Fault, SpecError

if TYPE_CHECKING:
    from torch import Tensor

S = TypeVar("S", bound="Spec")
REQUIRED = "???"  # OmegaConf's mark for a value that has to be given


@dataclass(frozen=True)
class Constraint:
    """What a field allows: bounds, which hold for each item of a list, or choices."""

    stacked: bool = False
    gt: float | None = None
    ge: float | None = None
    lt: float | None = None
    le: float | None = None
    choices: tuple[str, ...] | None = None
    min_items: int = 0
    determines_numbers: bool = True  # False keeps the field out of the config digest
    advice: str = ""  # a value that works, shown in the error


def static(default: Any = MISSING, **constraint: Any) -> Any:
    """A field that all trials of a cohort share. Keywords: see `Constraint`."""
    return dataclasses.field(default=default, metadata={"law": Constraint(**constraint)})


def stacked(default: Any = MISSING, **constraint: Any) -> Any:
    """A field that may differ from trial to trial inside a cohort. Keywords: see `Constraint`."""
    return dataclasses.field(default=default, metadata={"law": Constraint(stacked=True, **constraint)})


@dataclass(frozen=True)
class Spec:
    """Base of all specs. Construction checks every field and raises one `SpecError` with all faults."""

    group: ClassVar[str] = ""  # the config group, which prefixes keys in errors
    name: ClassVar[str] = ""  # the option inside the group
    stackable: ClassVar[bool] = False  # whether trials with different options of this group may share a cohort

    def __post_init__(self) -> None:
        faults: list[Fault | str] = []
        for field in dataclasses.fields(self):
            if "law" in field.metadata:
                value = conform(self, field, faults)
                object.__setattr__(self, field.name, value)
        known = {fault.key for fault in faults if isinstance(fault, Fault)}
        faults.extend(f for f in self.conflicts() if not isinstance(f, Fault) or f.key not in known)
        if faults:
            raise SpecError(faults)

    def conflicts(self) -> list[Fault | str]:
        """Faults between fields. Called in any case, so it has to bear values that are wrong by themselves."""
        return []

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # Resolved once here: get_type_hints is slow, and specs are built by the thousand.
        cls._hints = None  # type: ignore[attr-defined]


def key_of(spec: Spec, name: str) -> str:
    """The dotted config key of a field, e.g. `optimizer.lr`."""
    return f"{spec.group}.{name}" if spec.group else name


def hints(cls: type[Spec]) -> dict[str, Any]:
    """The resolved type of every field."""
    if cls.__dict__.get("_hints") is None:
        cls._hints = typing.get_type_hints(cls)  # type: ignore[attr-defined]
    return cls._hints  # type: ignore[attr-defined]


def conform(spec: Spec, field: dataclasses.Field[Any], faults: list[Fault | str]) -> Any:
    """The field's value in its declared type; what does not fit is added to `faults`."""
    constraint: Constraint = field.metadata["law"]
    value, key, hint = getattr(spec, field.name), key_of(spec, field.name), hints(type(spec))[field.name]
    optional = type(None) in typing.get_args(hint)
    if value is None and optional:
        return None
    kind = next(a for a in typing.get_args(hint) if a is not type(None)) if isinstance(hint, types.UnionType) else hint
    converted = _convert(value, kind)
    if converted is None or not _within(converted, constraint):
        advice = constraint.advice or _default_advice(field)
        faults.append(Fault(key, value, describe(kind, constraint, optional), f"{key}={advice}" if advice else ""))
    return converted


def _convert(value: Any, kind: Any) -> Any:
    """`value` as `kind`, or None where that would change its meaning."""
    if typing.get_origin(kind) is tuple:
        if not isinstance(value, (list, tuple)):
            return None
        items = [_convert(item, typing.get_args(kind)[0]) for item in value]
        return None if any(item is None for item in items) else tuple(items)
    if isinstance(value, bool) or kind is bool:
        return value if isinstance(value, bool) and kind is bool else None
    if kind is float and isinstance(value, (int, float)):
        return float(value)
    if kind is int and isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, kind) else None


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


def describe(kind: Any, constraint: Constraint, optional: bool = False) -> str:
    """What a field allows, in words: `a number in (0, 1]`."""
    if typing.get_origin(kind) is tuple:
        item = describe(typing.get_args(kind)[0], constraint)
        item = item.split(" ", 1)[1] if item.startswith(("a ", "an ")) else item
        text = f"a list of {'at least ' + str(constraint.min_items) + ' ' if constraint.min_items else ''}{item}"
    elif constraint.choices is not None:
        text = "one of " + ", ".join(constraint.choices)
    else:
        names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
        text = names[kind] + _interval(constraint)
    return text + (" or null" if optional else "")


def _interval(constraint: Constraint) -> str:
    low, high = (
        constraint.ge if constraint.gt is None else constraint.gt,
        constraint.le if constraint.lt is None else constraint.lt,
    )
    if low is None and high is None:
        return ""
    if high is None:
        return f" {'of at least' if constraint.gt is None else 'above'} {low:g}"
    if low is None:
        return f" {'of at most' if constraint.lt is None else 'below'} {high:g}"
    return f" in {'[' if constraint.gt is None else '('}{low:g}, {high:g}{']' if constraint.lt is None else ')'}"


def _default_advice(field: dataclasses.Field[Any]) -> str:
    if field.default in (MISSING, None, ""):
        return ""
    default = field.default
    return "[" + ",".join(map(str, default)) + "]" if isinstance(default, tuple) else str(default).lower()


def build(cls: type[Spec], values: Mapping[str, Any], faults: list[Fault | str]) -> Any:
    """A spec of class `cls` from plain values, or None with the reasons added to `faults`."""
    known = {f.name: f for f in dataclasses.fields(cls)}
    given = {}
    for name, value in values.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {cls.group}.{near[0]}?" if near else f"known: {', '.join(known) or 'none'}"
            faults.append(f"{cls.group}.{name} is not an option of {cls.group}={cls.name}; {hint}")
        elif value != REQUIRED:
            given[name] = value
    missing = [n for n, f in known.items() if f.default is MISSING and n not in given]
    faults.extend(f"{cls.group}.{n} has to be given: type {cls.group}.{n}=…" for n in missing)
    if missing:
        return None
    try:
        return cls(**given)
    except SpecError as error:
        faults.extend(error.faults)
        return None


def walk(spec: Spec) -> Iterator[tuple[str, Constraint, Any]]:
    """Every field of a spec and of the specs inside it as (dotted key, law, value)."""
    for field in dataclasses.fields(spec):
        value = getattr(spec, field.name)
        if isinstance(value, Spec):
            yield f"{field.name}.name", Constraint(), value.name
            yield from walk(value)
        else:
            yield key_of(spec, field.name), field.metadata["law"], value


def stacked_values(specs: Sequence[Spec]) -> dict[str, Tensor]:
    """The stacked numeric fields of one option across trials: float64 tensors (T,); null becomes infinity."""
    import torch

    names = [key.rsplit(".", 1)[-1] for key, constraint, _ in walk(specs[0]) if constraint.stacked]
    return {
        name: torch.tensor(
            [float("inf") if getattr(s, name) is None else float(getattr(s, name)) for s in specs],
            dtype=torch.float64,
        )
        for name in names
    }


def without_stacked(spec: S) -> S:
    """`spec` with every stacked field at its default: equal for all that differ in nothing else."""
    stacked_fields = [f for f in dataclasses.fields(spec) if f.metadata["law"].stacked]
    return dataclasses.replace(spec, **{f.name: f.default for f in stacked_fields})
