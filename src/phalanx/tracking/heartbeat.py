"""Signs of life of the process that logs: it sends one when a request, a query or an import gets on.

A thread that sends one each second would also send it for a process that waits for an answer that never comes.
"""

import sys
import threading
import time
from collections.abc import Callable

PAUSE_S = 1.0  # between two signs of life


class Heartbeat:
    """Calls `alive` at most once in `PAUSE_S` seconds, whichever thread sends a request or a query."""

    def __init__(self, alive: Callable[[], None]) -> None:
        self.alive, self.lock, self.last = alive, threading.Lock(), 0.0

    def beat(self, *_: object) -> None:
        """Says that something has got on."""
        now = time.monotonic()
        if now - self.last < PAUSE_S or not self.lock.acquire(blocking=False):
            return
        try:
            self.last = now
            self.alive()
        finally:
            self.lock.release()

    def watch(self) -> None:
        """Beats at each piece of a request that Python's HTTP client sends, each import, each query of SQLAlchemy.

        These are documented hooks: audit events of Python's, and an event of SQLAlchemy's. They stay for the life of
        the process.
        """
        sys.addaudithook(lambda name, _: self.beat() if name in ("http.client.send", "import") else None)
        from sqlalchemy import Engine, event

        event.listen(Engine, "before_cursor_execute", self.beat)
