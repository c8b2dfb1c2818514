"""Files that cannot be read or written are left out and named, and the rest goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from phalanx.core.errors import Incomplete, RequestError

T = TypeVar("T")
D = TypeVar("D")
SHOWN = 20  # faults in one message


class LeftOut:
    """Takes the faults of single files; `faults` has each message once, in order."""

    def __init__(self) -> None:
        self._faults: dict[str, None] = {}

    @property
    def faults(self) -> list[str]:
        return list(self._faults)

    def add(self, error: RequestError | OSError | str) -> None:
        """Notes what is left out."""
        self._faults[str(error)] = None

    def attempt(self, call: Callable[[], T], default: D) -> T | D:
        """Returns what `call` returns; notes an error of the file or of the system, and returns `default`."""
        try:
            return call()
        except (RequestError, OSError) as error:
            self.add(error)
            return default

    def check(self, done: str) -> None:
        """Raises `Incomplete` if anything was left out; `done` says what was done nevertheless."""
        if not self._faults:
            return
        found = self.faults
        more = [f"  - and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
        raise Incomplete("\n".join([f"{done}, but for:", *(f"  - {text}" for text in found[:SHOWN]), *more]))
