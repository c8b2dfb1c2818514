"""The console that everything is printed to. Text is printed as it is: a path such as `my[lr]sweep`, an override or the
name of a class is never read as Rich's markup, and `:cat:` in it stays as it is.
"""

from __future__ import annotations

import io
import logging
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from typing import IO, TYPE_CHECKING, TextIO

from phalanx.core.redaction import redact_source

if TYPE_CHECKING:
    from rich.console import Console


def plain_console(file: IO[str] | None = None, width: int | None = None, *, terminal: bool | None = None) -> Console:
    """A console without markup, names of emoji and highlighting, for tables too.

    Args:
        file: Where to print; by default standard output.
        width: Its columns; by default those of the terminal.
        terminal: Whether it is a terminal; by default it is asked.
    """
    from rich.console import Console

    return Console(file=file, width=width, force_terminal=terminal, markup=False, emoji=False, highlight=False)


def print_line(console: Console, text: str) -> None:
    """Prints text as it is, without markup, colors or line breaks, e.g. a command to be pasted."""
    console.print(text, highlight=False, soft_wrap=True, markup=False, emoji=False)


class _Above(io.TextIOBase):
    """A stream whose lines the console prints, and so knows of, until it is closed; then it is the file."""

    def __init__(self, console: Console, file: TextIO) -> None:
        self._console: Console | None = console
        self._file, self._begun = file, ""

    def fileno(self) -> int:
        return self._file.fileno()

    def write(self, text: str) -> int:
        if self._console is None:
            return self._file.write(text)
        *lines, self._begun = (self._begun + text).split("\n")
        if lines:
            print_line(self._console, "\n".join(lines))
        return len(text)

    def close(self) -> None:
        """Prints what is left without an end of a line. A logger may still have the stream."""
        if self._begun:
            self.write("\n")
        self._console = None


@contextmanager
def above(console: Console) -> Iterator[None]:
    """Has messages and what is written to `sys.stderr` stand above what the console redraws meanwhile.

    Written there directly they would be glued to it, and overwritten by its next line.
    """
    if not (console.is_terminal and sys.stderr and sys.stderr.isatty()):
        yield
        return
    handlers = [h for h in logging.getLogger().handlers if isinstance(h, logging.StreamHandler)]
    streams = {h: h.stream for h in handlers if h.stream is sys.stderr or isinstance(h.stream, _Above)}
    stream = _Above(console, sys.stderr)
    with redirect_stderr(stream):
        try:
            for handler in streams:
                handler.setStream(stream)
            yield
        finally:
            for handler, before in streams.items():
                handler.setStream(before)
            stream.close()


@contextmanager
def busy(console: Console, what: str) -> Iterator[None]:
    """Says on a terminal what is being done, e.g. `drawing`, and for how long already, until it is done."""
    from rich.progress import Progress, TextColumn, TimeElapsedColumn

    if not console.is_terminal:
        yield
        return
    columns = TextColumn("{task.description} …", markup=False), TimeElapsedColumn()
    shown = Progress(*columns, console=console, refresh_per_second=2, transient=True, redirect_stderr=False)
    shown.add_task(what, total=None)
    with above(console), shown:
        yield


def print_words(console: Console, text: str) -> None:
    """Prints text as `print_line` does; on a terminal, in lines that end between words. Nothing to be pasted."""
    if console.is_terminal:
        text = "\n".join(_wrapped(line, console.width) for line in text.splitlines())
    print_line(console, text)


def _wrapped(line: str, width: int) -> str:
    """A line as several, which end between words; those after the first are indented by two columns more."""
    indent = " " * (len(line) - len(line.lstrip(" ")) + 2)
    return textwrap.fill(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def print_request(console: Console, overrides: Sequence[str]) -> None:
    """Prints what a run or a sweep was asked for beyond the defaults, without secrets; nothing if that is nothing."""
    if overrides:
        print_words(console, redact_source(f"with {' '.join(overrides)}"))
