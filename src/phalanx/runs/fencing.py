"""A fencing token: keeps a replaced job from overwriting its successor's files."""

from __future__ import annotations

from phalanx.core.errors import Superseded
from phalanx.core.files import read_json
from phalanx.runs.layout import RunPaths


class FencingToken:
    """Keeps a job that was thought dead, and has been replaced, from writing over what its successor found."""

    def __init__(self, paths: RunPaths) -> None:
        self.paths = paths
        self.seen = self._attempt()

    def check(self) -> None:
        """Raises `Superseded` if another attempt has begun in this folder since."""
        now = self._attempt()
        if now != self.seen:
            raise Superseded(f"attempt {self.seen} at this trial was replaced by attempt {now}; it writes nothing")

    def _attempt(self) -> int | None:
        return read_json(self.paths.attempt)["attempt"] if self.paths.attempt.is_file() else None
