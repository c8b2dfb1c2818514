"""Ctrl-C and SIGTERM at the end of an epoch where that is near, since what an epoch has half done cannot be kept."""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

WAIT_S = 5.0  # so long may an epoch take, by the one before it, for a signal to wait for its end
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class EpochEnd:
    """`asked` says that a signal came which would have raised `KeyboardInterrupt`; a second one raises it at once."""

    def __init__(self) -> None:
        self.asked, self.last_s = False, math.inf

    @contextlib.contextmanager
    def awaited(self, wanted: bool) -> Iterator[None]:
        """Around an epoch and what keeps it. Other handlers than Python's own, and those of threads, are left alone."""
        start, before = time.monotonic(), {}
        if wanted and self.last_s <= WAIT_S and threading.current_thread() is threading.main_thread():
            before = {number: signal.getsignal(number) for number in SIGNALS}
            before = {number: known for number, known in before.items() if known is signal.default_int_handler}

        def note(number: int, frame: FrameType | None) -> None:
            if self.asked:
                signal.default_int_handler(number, frame)
            self.asked = True

        for number in before:
            signal.signal(number, note)
        try:
            yield
        finally:
            for number, known in before.items():
                signal.signal(number, known)
        self.last_s = time.monotonic() - start
