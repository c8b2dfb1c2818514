"""The classes of a table: their names, their order, and why a column cannot hold them."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence

import numpy as np

from phalanx.core.advice import override
from phalanx.data.cell_values import TRUTH, Kind, Notation
from phalanx.data.table_rows import Column

_LEADING_ZERO = re.compile(r"[+-]?0\d.*")
_WHOLE = re.compile(r"[+-]?\d{1,300}")


def class_kind(target: Column) -> Kind:
    """Whether the classes are numbers, truth values or texts; numbers such as 007 are texts."""
    kind = target.kind
    if kind is not Kind.NUMBER:
        return kind
    is_plain = bool(np.isfinite(target.number_U[target.given_V].astype(np.float64)).all())
    return Kind.TEXT if not is_plain or any(map(_LEADING_ZERO.fullmatch, target.texts_V)) else Kind.NUMBER


def class_names(target: Column, kind: Kind) -> list[str]:
    """The class of each row that is used: its text, or the number, where 1.0 is the class "1".

    Args:
        target: The column of classes.
        kind: What they are in the training file.
    """
    names = {place: _name(target.text_U[place], kind, target.notation) for place in target.given_V.tolist()}
    return [names[place] for place in target.place_N[target.given_N].tolist()]


def _name(text: str, kind: Kind, notation: Notation) -> str:
    if kind is Kind.TRUTH and text in TRUTH:
        return str(TRUTH[text])
    if kind is Kind.NUMBER:
        if _WHOLE.fullmatch(text):
            return str(int(text))
        value = float(notation.numbers(np.array([text], dtype=object))[0])
        if np.isfinite(value):
            return str(int(value)) if value.is_integer() else str(value)
    return text


def class_order(names: Sequence[str], kind: Kind) -> tuple[str, ...]:
    """The distinct classes, sorted as numbers or alphabetically."""
    return tuple(sorted(set(names), key=float if kind is Kind.NUMBER else str))


def class_positions(labels: Sequence[Hashable], classes: Sequence[Hashable]) -> np.ndarray:
    """The place of each label among the classes, int64 (N,)."""
    place = {name: i for i, name in enumerate(classes)}
    return np.array([place[label] for label in labels], np.int64)


def class_faults(name: str, target: Column, columns: Sequence[str], categorical: tuple[str, ...]) -> list[str]:
    """Why the target cannot be a column of classes.

    Args:
        name: Its name.
        target: Its cells.
        columns: The names of all columns.
        categorical: The columns whose values are categories, the target among them if they are meant as classes.
    """
    are_meant = name in categorical
    if not target.n_given:
        return [f"data.target={name} has no values"]
    kind = class_kind(target)
    distinct = class_order(class_names(target, kind), kind)
    broken = [text for text in distinct if kind is Kind.NUMBER and not _WHOLE.fullmatch(text)]
    if len(distinct) == 1:
        return [f"data.target={name} has one class only ({distinct[0]!r}); a classifier needs two or more"]
    if broken and not are_meant:
        fault = f"{len(distinct)} different numbers such as {broken[0]}, which looks continuous"
    elif len(distinct) > target.n_given / 2 and not are_meant:
        fault = f"{len(distinct)} different values in {target.n_given} rows, which looks like a name or a number"
    else:
        return []
    others = ", ".join(other for other in columns if other != name)
    meant = override("data.categorical", [*categorical, name])
    return [
        f"data.target={name} has {fault}; choose a column of a few classes among: {others}; or, if these are "
        f"classes, type {meant}"
    ]
