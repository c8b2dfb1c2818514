"""Ctrl-C and SIGTERM end a command by `KeyboardInterrupt`, which is never raised inside a library that would print its
traceback or lose it.

SQLAlchemy logs a traceback of whatever is raised while a connection goes back to its pool. Python prints and drops what
is raised in `__del__` and in the callback of a weak reference. Rich would leave the cursor hidden.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeAlias

Handler: TypeAlias = Callable[[int, FrameType | None], Any] | int | None  # as `signal.getsignal` returns it
SIGNALS = (signal.SIGINT, signal.SIGTERM)
LIBRARIES = ("sqlalchemy", "rich", "weakref", "_weakrefset")
WAIT_S = 5.0  # the longest wait for the end of such a call
AGAIN_S = 0.01  # how often it is looked for


class _Interrupt:
    """A handler of signals that raises `KeyboardInterrupt`, later if need be; a second signal does so at once."""

    def __init__(self) -> None:
        self.waiting: int | None = None  # the signal
        self.until = 0.0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        timer_is_free = signal.getsignal(signal.SIGALRM) in (signal.SIG_DFL, self._again)
        if self.waiting is None and timer_is_free and _in_library(frame):
            self.waiting, self.until = number, time.monotonic() + WAIT_S
            signal.signal(signal.SIGALRM, self._again)
            signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
            return
        self.waiting = None
        signal.default_int_handler(number, frame)

    def _again(self, _: int, frame: FrameType | None) -> None:
        number = self.waiting
        if number is None:  # raised by a second signal
            return
        if time.monotonic() < self.until and _in_library(frame):
            signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
            return
        self.waiting = None
        handler = signal.getsignal(number)  # another one, say, while an epoch trains
        if callable(handler):
            handler(number, None)


def _in_library(frame: FrameType | None) -> bool:
    """Whether the frame, or one that called it, must not raise."""
    while frame is not None:
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package in LIBRARIES or frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


INTERRUPT = _Interrupt()


def raises_interrupt(handler: object) -> bool:
    """Whether a handler of a signal is Python's own that raises `KeyboardInterrupt`, or this one."""
    return handler in (signal.default_int_handler, INTERRUPT)


@contextmanager
def handled(
    before: Mapping[signal.Signals, Handler], handler: Callable[[int, FrameType | None], object]
) -> Iterator[None]:
    """Replaces handlers of signals in this block.

    Args:
        before: The present handlers, by signal, which are put back.
        handler: What takes their place.
    """
    for number in before:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, known in before.items():
            signal.signal(number, known)


@contextmanager
def interruptible() -> Iterator[None]:
    """Has SIGINT and SIGTERM raise `KeyboardInterrupt` in this block; SIGINT unless it is ignored or handled otherwise.

    Changes nothing in a thread other than the main one.
    """
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.getsignal(number) for number in SIGNALS}
        if not raises_interrupt(before[signal.SIGINT]):
            del before[signal.SIGINT]
    with handled(before, INTERRUPT):
        yield
