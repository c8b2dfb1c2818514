"""Defers Ctrl-C and SIGTERM to the end of an epoch where that is near, since half an epoch cannot be saved."""

import contextlib
import math
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

from phalanx.core.interrupts import SIGNALS, handled, raises_interrupt

WAIT_S = 5.0  # the longest epoch, judging by the one before, whose end a signal waits for


class EpochEnd:
    """`asked` is true after a deferred signal, which would have raised `KeyboardInterrupt`; a second one raises it."""

    def __init__(self) -> None:
        self.asked, self.last_s = False, math.inf

    @contextlib.contextmanager
    def awaited(self, wanted: bool) -> Iterator[None]:
        """Encloses an epoch and its saving; defers signals if `wanted`. Replaces handlers that raise
        `KeyboardInterrupt` only, and only in the main thread."""
        start = time.monotonic()
        before = {}
        if wanted and self.last_s <= WAIT_S and threading.current_thread() is threading.main_thread():
            before = {number: signal.getsignal(number) for number in SIGNALS}
            before = {number: known for number, known in before.items() if raises_interrupt(known)}

        def note(number: int, frame: FrameType | None) -> None:
            if self.asked:
                signal.default_int_handler(number, frame)
            self.asked = True

        with handled(before, note):
            yield
        self.last_s = time.monotonic() - start
