"""The options of each group: every module in its package that defines a named spec class adds one, and users do."""

import importlib
import pkgutil
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from phalanx.core.extensions import (
    FOLDER,
    VARIABLE,
    Extension,
    ExtensionError,
    Source,
    config_values,
    find_extension,
    import_sent,
    register,
)
from phalanx.core.specs import REQUIRED, Spec, keys_of

S = TypeVar("S", bound=Spec)


@lru_cache(maxsize=1)
def _tables() -> dict[str, dict[str, type[Any]]]:
    """The options of each group whose package has been imported."""
    return {}


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
    _tables()[base.config_group] = table = dict(sorted(found.items()))
    return table


def travelling(spec: Spec) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """How an option that a user wrote is pickled: by its name and values, since its class is made when it is loaded."""
    extension = find_extension(spec.config_group, spec.name)
    sent = extension.source if extension else Source(Path(), "")
    values = {field.name: getattr(spec, field.name) for field in keys_of(spec)}
    return _arrived, (spec.config_group, spec.name, spec.source, sent, values)


def _arrived(group: str, name: str, source: str, sent: Source, values: Mapping[str, Any]) -> Spec:
    """The option in another process, perhaps of another machine. Raises `ExtensionError` if it cannot have that code.

    What arrives here was sent by the process that leads the sweep, whose user has loaded the file.
    """
    fault = "" if name in _tables().get(group, {}) else import_sent(group, name, sent)
    found = _tables().get(group, {}).get(name)
    if found is None or found.source != source:
        why = f"this process has {found.source or 'an option of Phalanx'}" if found else fault
        raise ExtensionError(
            f"{socket.gethostname()} needs the extension {group}={name} ({source}), and {why}; put {FOLDER}/ at the "
            f"same place on every machine, or have {VARIABLE} name its place there"
        )
    option: Spec = found(**values)
    return option


def add_option(cls: type[Spec], source: Source, **further: Any) -> None:
    """Adds an option that a user wrote to its group. Raises `ExtensionError` if the name has been taken.

    Args:
        cls: Its spec.
        source: Its code.
        further: Keys of its config that are no fields of the spec, with their values.
    """
    keys = {field.name: REQUIRED if field.default is MISSING else field.default for field in keys_of(cls)}
    values = config_values([*keys.items(), *further.items()], cls.name, source)
    table = _tables()[cls.config_group]
    register(Extension(cls.config_group, cls.name, source, values), table)
    table[cls.name] = cls
