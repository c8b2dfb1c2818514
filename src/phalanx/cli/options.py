"""What several subcommands share: types of options, checks of the files to write, the console."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING, Any, Protocol

from phalanx.core.errors import RequestError

if TYPE_CHECKING:
    from rich.console import Console

FIGURES = (".png", ".svg")


class Subparsers(Protocol):
    """What `ArgumentParser.add_subparsers` returns."""

    def add_parser(self, name: str, **options: Any) -> argparse.ArgumentParser:
        """Adds the parser of a subcommand."""


def console() -> Console:
    """A console for tables, as wide as the terminal; 160 columns if the output is no terminal."""
    from rich.console import Console

    found = Console()
    return found if found.is_terminal else Console(width=160)


def check_files(arguments: argparse.Namespace, *faults: str) -> None:
    """Raises one `RequestError` with `faults` and with the faults of all files that the command is to write."""
    found = [*faults]
    for name in ("output", "csv", "markdown", "figure"):
        path = getattr(arguments, name, None)
        if path is not None and path.is_dir():
            found.append(f"--{name} {path} is a folder; give the name of a file")
        if path is not None and name == "figure" and path.suffix.lower() not in FIGURES:
            found.append(f"--figure {path} must end in {' or '.join(FIGURES)}")
    if found:
        raise RequestError("\n".join(found))


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
