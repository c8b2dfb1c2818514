"""Finds the options of a group: every module in its package that defines a named spec class adds one."""

import importlib
import pkgutil
from collections.abc import Iterable
from typing import TypeVar

from phalanx.core.specs import Spec

S = TypeVar("S", bound=Spec)


def options(base: type[S], package: str, path: Iterable[str]) -> dict[str, type[S]]:
    """Imports all modules of a package; returns the named subclasses of `base` by name, sorted.

    Args:
        base: The group's base class, e.g. `LossSpec`.
        package: The package's dotted name.
        path: The package's `__path__`.
    """
    for module in sorted(info.name for info in pkgutil.iter_modules(path)):
        importlib.import_module(f"{package}.{module}")
    found: dict[str, type[S]] = {}
    pending = base.__subclasses__()
    while pending:
        cls = pending.pop()
        pending.extend(cls.__subclasses__())
        if cls.__dict__.get("name"):
            found[cls.name] = cls
    return dict(sorted(found.items()))
