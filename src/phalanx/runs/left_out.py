"""Files that cannot be read or written are left out and named, and the rest goes on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from phalanx.core.errors import Incomplete, RequestError

log = logging.getLogger(__name__)

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

    def check(self, done: str, error: BaseException | None = None) -> None:
        """Raises `Incomplete` if anything was left out.

        Args:
            done: What was done nevertheless.
            error: An exception that passes already, and beside which there is only a warning.

        Raises:
            Incomplete: With all faults.
        """
        if not self._faults:
            return
        found = self.faults
        more = [f"  - and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
        text = "\n".join([f"{done}, but for:", *(f"  - {fault}" for fault in found[:SHOWN]), *more])
        if error is None:
            raise Incomplete(text)
        log.warning("%s", text)
