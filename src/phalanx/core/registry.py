"""The folder is the plugin list: a new file with a named spec class is a new option, no table to edit."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from typing import TypeVar

from phalanx.core.specs import Spec

S = TypeVar("S", bound=Spec)


def options(base: type[S], package: str, path: Iterable[str]) -> dict[str, type[S]]:
    """Every named subclass of `base` found in the modules of `package`, by name."""
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
