"""The keyword-only arguments of a class or a function as fields of a spec."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable, Collection
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any

from phalanx.core.errors import RequestError, listed
from phalanx.core.specs import static

PLAIN = (int, float, bool, str)
BOUNDS = ("gt", "ge", "lt", "le")


@dataclass(frozen=True, kw_only=True)
class Range:
    """The range of an argument: `dropout: Annotated[float, Range(ge=0, lt=1)] = 0.0`.

    Objects of other libraries with attributes of the same names, such as `annotated_types.Ge`, do as well.

    Examples:
        >>> from typing import Annotated
        >>> from phalanx import Range
        >>> rate = Annotated[float, Range(ge=0, lt=1)]
    """

    gt: float | None = None
    ge: float | None = None
    lt: float | None = None
    le: float | None = None


@dataclass(frozen=True)
class Argument:
    """One keyword-only argument: its name, its type without `Annotated`, and the field of a spec made of it."""

    name: str
    kind: Any
    field: Any


class SignatureError(RequestError):
    """A signature that cannot become keys of a configuration; `faults` lists what is wrong with it."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        super().__init__("; ".join(faults))


def read_signature(
    function: Callable[..., Any], positional: Collection[str], reserved: Collection[str]
) -> tuple[tuple[str, ...], list[Argument]]:
    """Reads the signature of a function, or that of a class's constructor.

    Args:
        function: The function or the class.
        positional: Names that arguments before the `*` may have.
        reserved: Names that keys may not have.

    Returns:
        The names of the arguments before the `*`, and the arguments behind it.

    Raises:
        SignatureError: It has arguments that cannot be keys; lists all of them.
    """
    faults: list[str] = []
    first: list[str] = []
    arguments: list[Argument] = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            faults.append(f"{parameter} cannot be keys of a configuration; name each argument, with a type")
        elif parameter.kind is not parameter.KEYWORD_ONLY:
            first.append(parameter.name)
            if parameter.name not in positional:
                allowed = f", since those before it can only be {listed(sorted(positional))}" if positional else ""
                faults.append(f"the argument {parameter.name} has to stand behind a *{allowed}")
        elif parameter.name in reserved:
            faults.append(f"the argument {parameter.name} needs another name: Phalanx uses {parameter.name} itself")
        else:
            try:
                arguments.append(_argument(function, parameter))
            except SignatureError as error:
                faults += error.faults
    if faults:
        raise SignatureError(faults)
    return tuple(first), arguments


def reserved_in(base: type[Any]) -> set[str]:
    """The names that a key may not have: those of the spec class that the option derives from, and of a config."""
    return {name for name in dir(base) if not name.startswith("_")} | {"search", "default_lr"}


def _argument(function: Callable[..., Any], parameter: inspect.Parameter) -> Argument:
    kind, bounds = _bounds(_annotation(function, parameter))
    default = parameter.default
    if isinstance(default, list):
        default = tuple(default)
    if kind is parameter.empty:
        kind = _type_of(default)
    kind = _readable(kind)
    if kind is None:
        raise SignatureError(
            [
                f"the argument {parameter.name} needs a type: int, float, bool, str, Literal, a list of these such as "
                f"list[int], or one of these or None"
            ]
        )
    default = dataclasses.MISSING if default is parameter.empty else default
    return Argument(parameter.name, kind, static(default, **bounds))


def _annotation(function: Callable[..., Any], parameter: inspect.Parameter) -> Any:
    """The annotation of one argument; one that is text is evaluated where the function stands."""
    annotation = parameter.annotation
    if not isinstance(annotation, str):
        return annotation
    owner: Any = function.__init__ if isinstance(function, type) else function  # type: ignore[misc]

    def carrier() -> None: ...

    carrier.__annotations__ = {parameter.name: annotation}
    try:
        names = getattr(inspect.unwrap(owner), "__globals__", {})
        return typing.get_type_hints(carrier, names, include_extras=True)[parameter.name]
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise SignatureError(
            [f"the type {annotation} of the argument {parameter.name} is not known ({reason})"]
        ) from error


def _bounds(annotation: Any) -> tuple[Any, dict[str, float]]:
    """The type inside `Annotated`, and the bounds in it."""
    if typing.get_origin(annotation) is not typing.Annotated:
        return annotation, {}
    kind, *notes = typing.get_args(annotation)
    found = {
        name: getattr(note, name, None) for note in notes for name in BOUNDS if getattr(note, name, None) is not None
    }
    return kind, {name: value for name, value in found.items() if isinstance(value, (int, float))}


def _type_of(default: Any) -> Any:
    """The type of an argument without annotation, by its default."""
    if type(default) in PLAIN:
        return type(default)
    kinds = {type(item) for item in default} if isinstance(default, tuple) else set()
    return tuple[kinds.pop(), ...] if len(kinds) == 1 else None  # type: ignore[misc]


def _readable(kind: Any) -> Any:
    """The type as a spec's field has it, lists as tuples; None if a configuration cannot hold it."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind in PLAIN or kind is NoneType or origin is typing.Literal:
        return kind
    if origin in (typing.Union, UnionType):
        parts = [_readable(part) for part in arguments]
        return None if None in parts else typing.Union[tuple(parts)]  # noqa: UP007
    is_list = origin is list or (origin is tuple and arguments[1:] == (...,))
    if is_list and (item := _readable(arguments[0])) is not None and typing.get_origin(item) is not tuple:
        return tuple[item, ...]  # type: ignore[valid-type]
    return None
