"""Keyword-only arguments as keys of a configuration."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Annotated, Literal

import pytest

from phalanx import Range
from phalanx.core.signatures import SignatureError, read_signature
from phalanx.core.specs import constraint_of

Size = int


def keys_of(function):
    first, arguments = read_signature(function, ("n_features", "n_classes"), ("name",))
    return first, {a.name: (a.kind, a.field.default) for a in arguments}


def test_types_defaults_and_choices_become_fields():
    def build(
        n_features, n_classes, *, size: Size, rate: float = 0.5, deep: bool = False, kind: Literal["a", "b"] = "a",
        widths: list[int] = [3, 4], sizes: tuple[float, ...] = (), last: int | None = None,  # noqa: B006
        other: str | None = None, plain=3, listed=(1.5, 2.5), text="x",
    ): ...  # fmt: skip

    first, found = keys_of(build)
    assert first == ("n_features", "n_classes")
    assert found == {
        "size": (int, dataclasses.MISSING), "rate": (float, 0.5), "deep": (bool, False), "kind": (Literal["a", "b"], "a"),
        "widths": (tuple[int, ...], (3, 4)), "sizes": (tuple[float, ...], ()), "last": (int | None, None),
        "other": (str | None, None), "plain": (int, 3), "listed": (tuple[float, ...], (1.5, 2.5)), "text": (str, "x"),
    }  # fmt: skip


def test_ranges_become_bounds():
    def build(*, rate: Annotated[float, Range(ge=0, lt=1)] = 0.0, size: Annotated[int, SimpleNamespace(gt=2)] = 3): ...

    _, arguments = read_signature(build, (), ())
    bounds = {a.name: constraint_of(a.field) for a in arguments}
    assert (bounds["rate"].ge, bounds["rate"].lt, bounds["rate"].gt) == (0, 1, None)
    assert (bounds["size"].gt, bounds["size"].le) == (2, None)


def test_a_class_is_read_by_its_constructor():
    class Net:
        def __init__(self, n_classes, *, units: int = 4):
            self.units = units

    assert keys_of(Net) == (("n_classes",), {"units": (int, 4)})


def test_all_faults_are_told_at_once():
    def build(units, *rest, name: str, size: Unknown, what: dict = None, bare=None, **more): ...  # noqa: F821, RUF013

    with pytest.raises(SignatureError) as caught:
        keys_of(build)
    text = "; ".join(caught.value.faults)
    assert len(caught.value.faults) == 7
    for words in (
        "the argument units has to stand behind a *, since those before it can only be n_classes, n_features",
        "*rest cannot be keys", "**more cannot be keys", "the argument name needs another name",
        "the type Unknown of the argument size is not known (NameError: name 'Unknown' is not defined)",
        "the argument what needs a type: int, float", "the argument bare needs a type",
    ):  # fmt: skip
        assert words in text
