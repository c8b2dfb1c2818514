"""What several subcommands share: types of options, checks of the files to write, the console."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from phalanx.core.console import plain_console
from phalanx.core.errors import RequestError
from phalanx.core.named_files import is_plain, no_file
from phalanx.runs.layout import run_folder_of

if TYPE_CHECKING:
    from rich.console import Console

FIGURES = (".png", ".svg")
_WRITTEN = ("output", "csv", "markdown", "figure")  # options that name a file to write


class Subparsers(Protocol):
    """What `ArgumentParser.add_subparsers` returns."""

    def add_parser(self, name: str, **options: Any) -> argparse.ArgumentParser:
        """Adds the parser of a subcommand."""


def console() -> Console:
    """A console for tables, as wide as the terminal; 160 columns if the output is no terminal."""
    found = plain_console()
    return found if found.is_terminal else plain_console(width=160)


def check_files(
    arguments: argparse.Namespace, *faults: str, inputs: Iterable[Path] = (), further: Mapping[str, Path] | None = None
) -> None:  # fmt: skip
    """Raises one `RequestError` with `faults` and with the faults of all files that the command is to write.

    Args:
        arguments: The parsed options.
        faults: What else is wrong.
        inputs: Files that the command reads, and folders of files; what it reads of a run or a sweep is known.
        further: Files that are written beside those of the options, by what the message calls them.
    """
    given = {f"--{name} {path}": path for name in _WRITTEN if (path := getattr(arguments, name, None)) is not None}
    written = {**given, **(further or {})}
    found = [*faults, *(fault for name, path in written.items() for fault in _faults(name, path, [*inputs]))]
    places = [os.path.realpath(path) for path in written.values()]
    twice = [name for name, path in written.items() if is_plain(path) and places.count(os.path.realpath(path)) > 1]
    if twice:
        found.append(f"{' and '.join(twice)} are one file; give each a name of its own")
    if found:
        raise RequestError("\n".join(found))


def _faults(name: str, path: Path, inputs: Iterable[Path]) -> Iterator[str]:
    if what := no_file(path):
        yield f"{name} is {what}; give the name of a file"
        return
    if name.startswith("--figure") and path.suffix.lower() not in FIGURES:
        yield f"{name} must end in {' or '.join(FIGURES)}"
    if not path.exists():
        return
    if (folder := run_folder_of(Path(os.path.realpath(path)))) is not None:
        yield f"{name} is a file of the run or sweep in {folder}, which would lose it; give another name"
    elif any(path.samefile(file) for file in _files(inputs)):
        yield f"{name} is what this command reads; give another name"


def _files(inputs: Iterable[Path]) -> Iterator[Path]:
    for path in inputs:
        files = path.iterdir() if path.is_dir() else [path]
        yield from (file for file in files if file.exists())


def say_written(path: Path, *, what: str = "") -> None:
    """Prints that a file was written: to standard error where the file may be what standard output shows."""
    print(f"wrote {what}{path}", file=sys.stdout if is_plain(path) else sys.stderr)


def say_listed(folder: Path) -> None:
    """Has the report of the sweep around an ensemble or a refit list it, and prints that.

    Raises `Incomplete` if the report lacks what cannot be read.
    """
    from phalanx.report.build import list_model
    from phalanx.runs.layout import relative
    from phalanx.runs.left_out import LeftOut

    left_out = LeftOut()
    report = left_out.attempt(lambda: list_model(folder, left_out), None)
    if report is not None:
        print(f"listed in: {relative(report)}")
    left_out.check(f"{folder} is written, and the report of its sweep")


def names(text: str) -> list[str]:
    """Names with commas between them."""
    found = [name.strip() for name in text.split(",") if name.strip()]
    if not found:
        raise argparse.ArgumentTypeError(f"must be names such as loss,optimizer, got {text!r}")
    return found


def positive_integer(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text!r}")
    return int(text)


def positive_number(text: str) -> float:
    """A finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number above 0, got {text!r}")
    return value
