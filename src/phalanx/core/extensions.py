"""Options that users write: files beside `train.py`, installed packages, and what `PHALANX_EXTENSIONS` names.

Files are imported because a user has put or named them there, never because a run's folder names them.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.metadata
import inspect
import os
import re
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any

from phalanx.core.errors import RequestError, pasted
from phalanx.core.siblings import siblings_of
from phalanx.core.source_imports import PREFIX, import_from_text

FOLDER = "extensions"  # beside train.py
VARIABLE = "PHALANX_EXTENSIONS"
ENTRY_POINTS = "phalanx"  # the group of entry points of installed packages
SOURCE = "source"  # the key of a config that names the code of its option
CODE = "code"  # the key of a model file that holds the text of this code, for whoever wants to run it
SIBLINGS = "siblings"  # the key of a model file with the files that this code imports by a dot, by name


@dataclass(frozen=True)
class Source:
    """The file that defines an option, as it was when it was loaded.

    Attributes:
        file: The file.
        digest: A digest of its content, and of that of its siblings if it has any.
        text: Its content.
        siblings: The files of its folder that it imports by a dot: their content by their path in the folder.
    """

    file: Path
    digest: str
    text: str = field(default="", repr=False, compare=False)
    siblings: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.file.name}, digest {self.digest}"


@dataclass(frozen=True)
class Extension:
    """An option of a config group that a user wrote."""

    group: str
    name: str
    source: Source
    values: Mapping[str, Any]  # its keys with their defaults, as a config has them


class ExtensionError(RequestError):
    """Extensions cannot be loaded; the message lists every file with what is wrong."""


@lru_cache(maxsize=1)
def _registry() -> dict[tuple[str, str], Extension]:
    return {}


def loaded(group: str | None = None) -> list[Extension]:
    """The options that have been loaded, of one group or of all."""
    return [extension for extension in _registry().values() if group in (None, extension.group)]


def find_extension(group: str, name: str) -> Extension | None:
    """The option of that name, if it has been loaded."""
    return _registry().get((group, name))


def forget(group: str, name: str) -> None:
    """Removes an option, for tests."""
    _registry().pop((group, name), None)


def register(extension: Extension, known: Mapping[str, Any]) -> None:
    """Adds an option. Raises `ExtensionError` if the name has been taken.

    An option of the same code, imported by another name, or of a cell of a notebook is replaced.

    Args:
        extension: The option.
        known: The options of its group.
    """
    group, name = extension.group, extension.name
    other = find_extension(group, name)
    again = other is not None and (other.source == extension.source or not other.source.file.is_file())
    if not again and (other is not None or name in known):
        first = f"by {other.source.file}" if other else "by an option of Phalanx"
        raise ExtensionError(
            f"{extension.source.file}: the name {group}={name} is taken {first}; rename one of the two"
        )
    _registry()[group, name] = extension


def source_of(definition: Callable[..., Any]) -> Source:
    """The source of a class or a function; for one that was typed into a notebook its own text is the content."""
    file = Path(inspect.getfile(definition)).resolve()
    try:
        content = file.read_bytes() if file.is_file() else inspect.getsource(definition).encode()
    except OSError as error:
        name = definition.__qualname__
        raise ExtensionError(f"{name} has no source that could be found again; write it into a file") from error
    return _read(file, content)


def _read(file: Path, content: bytes) -> Source:
    content = content.replace(b"\r\n", b"\n")
    text = content.decode("utf-8", "replace")
    siblings, digest = siblings_of(file, text), hashlib.sha256(content)
    for name, other in siblings.items():
        digest.update(f"\0{name}\0{other}".encode())
    return Source(file, digest.hexdigest()[:12], text, siblings)


def snake_case(name: str) -> str:
    """`ConvNet` as `conv_net`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def needed(group: str, name: object, source: object) -> str:
    """What to say of a file that names an option which is not loaded.

    Args:
        group: The option's group.
        name: Its name, as the file has it.
        source: Its source, as the file has it.
    """
    file = str(source).partition(",")[0]
    advice = pasted(f"{VARIABLE}={FOLDER}/{file}")
    return (
        f"needs the extension {group}={name} ({source}), which train.py loads from {FOLDER}/ beside it, and any other "
        f"command with {advice} before it"
    )


def load_extensions(*folders: Path) -> None:
    """Imports the files of folders, what installed packages offer, and what the environment variable names.

    Args:
        folders: Folders such as `extensions`, which need not exist.

    Raises:
        ExtensionError: Some cannot be imported; lists all of them.
    """
    files = [file for folder in folders for file in _files(folder)]
    tasks: list[tuple[str, Callable[[], object]]] = [(str(file), partial(import_file, file)) for file in files]
    tasks += [
        (f"the entry point {point.name} of {point.value}", point.load)
        for point in importlib.metadata.entry_points(group=ENTRY_POINTS)
    ]
    tasks += [
        (f"{VARIABLE}={name}", partial(_import_named, name))
        for name in filter(None, map(str.strip, os.environ.get(VARIABLE, "").split(",")))
    ]
    faults = [fault for what, task in tasks if (fault := _fault(what, task))]
    if faults:
        raise ExtensionError("\n".join(faults))


def _files(folder: Path) -> list[Path]:
    """The files of a folder that define options; none if there is no such folder."""
    return sorted(folder.glob("[!_]*.py"))


@lru_cache(maxsize=1)
def load_asked() -> None:
    """Imports, once a process, what the user has installed and what the environment names; see `load_extensions`."""
    load_extensions()


def _import_named(name: str) -> None:
    """Imports what the environment variable names: a module, a file, or a folder of files."""
    path = Path(name)
    if path.is_dir():
        for file in _files(path):
            import_file(file)
    elif name.endswith(".py"):
        if not path.is_file():
            raise ExtensionError(f"{VARIABLE}={name}: there is no such file in {Path.cwd()}")
        import_file(path)
    else:
        importlib.import_module(name)


def import_file(file: Path) -> ModuleType:
    """Imports a file once a process. Files of one folder are one package, so they may import each other by a dot."""
    import_from_text()
    file = file.resolve()
    package = _package(file)
    if package not in sys.modules:
        parent = ModuleType(package)
        parent.__path__ = [str(file.parent)]
        sys.modules[package] = parent
    return importlib.import_module(f"{package}.{file.stem}")


def _package(file: Path) -> str:
    """The name of the package of the files in a file's folder."""
    return f"{PREFIX}{hashlib.sha256(str(file.resolve().parent).encode()).hexdigest()[:8]}"


def import_sent(group: str, name: str, sent: Source) -> str:
    """Imports an option that another process has sent.

    It is looked for in what is installed here and what the environment names, in its file if that is the same here, and
    last in the texts that were sent: of its file and of its siblings.

    Args:
        group: The option's group.
        name: Its name.
        sent: Its source, where it was sent from.

    Returns:
        Why it could not be imported; empty if it could.
    """
    with contextlib.suppress(ExtensionError):  # of other options
        load_asked()
    if find_extension(group, name) is not None:
        return ""
    file = sent.file
    if file.is_file() and _read(file, file.read_bytes()) == sent:
        return _fault(str(file), partial(import_file, file))
    with tempfile.TemporaryDirectory(prefix="phalanx-") as folder:
        copy = write_source(sent, Path(folder))
        fault = _fault(str(copy), partial(import_file, copy))
        for sibling in sent.siblings:  # those that a function imports when it is called, which may be too late
            with contextlib.suppress(Exception):
                importlib.import_module(
                    "." + sibling.removesuffix(".py").removesuffix("/__init__").replace("/", "."), _package(copy)
                )
    texts = "its text alone" if not sent.siblings else f"its text with that of {', '.join(sent.siblings)}"
    return fault and f"has no such file {file}; {texts}{fault.removeprefix(str(copy))}"


def write_source(source: Source, folder: Path) -> Path:
    """Writes an option's file with its siblings into a folder; returns the file.

    Raises `ExtensionError` if a sibling would lie elsewhere: the names may be those of a stranger's model file.
    """
    for name, text in {**source.siblings, source.file.name: source.text}.items():
        if not (folder / name).resolve().is_relative_to(folder.resolve()):
            raise ExtensionError(f"{source.file.name} has a sibling outside its folder: {name}")
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    return folder / source.file.name


def _fault(what: str, task: Callable[[], object]) -> str:
    """What went wrong in an import, in one line; empty if nothing did."""
    try:
        task()
    except ExtensionError as error:
        return str(error)
    except SyntaxError as error:
        return f"{what} cannot be imported: line {error.lineno}: {error.msg}"
    except Exception as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename in what]
        where = f"line {lines[-1]}: " if lines else ""
        return f"{what} cannot be imported: {where}{type(error).__name__}: {error}"
    return ""


def config_values(keys: Sequence[tuple[str, Any]], name: str, source: Source) -> dict[str, Any]:
    """The keys of an option as a config has them: its name, its keys with defaults, and its source."""
    values = {key: list(value) if isinstance(value, tuple) else value for key, value in keys}
    return {"name": name, **values, SOURCE: str(source)}
