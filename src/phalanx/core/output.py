"""Standard output and standard error that go on when nobody can read them: `| head -1`, a full disk, a closed terminal.

Whatever is printed is only a report of what is in files, so it must not end a training.
"""

from __future__ import annotations

import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

STREAMS = ("stdout", "stderr")


class _Output(io.RawIOBase):
    """A file descriptor whose text is discarded from the first write on that fails; `error` then says why."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.error: OSError | None = None

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, data: Any) -> int:
        if self.error is None:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:
                select.select([], [self._descriptor], [])
                return 0  # the buffer above tries again
            except OSError as error:
                self.error = OSError(error.errno, error.strerror)  # without the frames of its traceback
        return len(data)


@contextmanager
def lasting_output() -> Iterator[list[OSError]]:
    """Has `sys.stdout` and `sys.stderr` never raise, while the context lasts.

    Yields:
        A list that at the end of the context has the error of standard output, if there was one; a reader that has
        stopped reading, such as `head`, is none.
    """
    errors: list[OSError] = []
    before = {name: getattr(sys, name) for name in STREAMS}
    raw = {name: _replaced(name) for name in STREAMS}
    try:
        yield errors
    finally:
        for name, output in raw.items():
            if output is not None:
                getattr(sys, name).flush()
                setattr(sys, name, before[name])
        found = raw["stdout"].error if raw["stdout"] is not None else None
        if found is not None and not isinstance(found, BrokenPipeError):
            errors.append(found)


def _replaced(name: str) -> _Output | None:
    """Replaces a stream of `sys` by one that never raises; None if it has no file descriptor, as in a notebook."""
    stream: TextIO | None = getattr(sys, name)
    try:
        raw = _Output(stream.fileno()) if isinstance(stream, io.TextIOWrapper) else None
    except io.UnsupportedOperation:
        return None
    if raw is None or stream is None:
        return None
    stream.flush()
    text = io.TextIOWrapper(io.BufferedWriter(raw), stream.encoding, stream.errors, line_buffering=True)
    setattr(sys, name, text)
    return raw
