"""A fencing token: keeps a job that was replaced from overwriting the files of its successor."""

from phalanx.core.errors import Superseded
from phalanx.core.reading import read_entry
from phalanx.runs.layout import RunPaths


class FencingToken:
    """The number of the attempt at a trial that was the newest when the token was made."""

    def __init__(self, paths: RunPaths) -> None:
        self.paths = paths
        self.seen = self._newest()

    def check(self) -> None:
        """Raises `Superseded` if a newer attempt has begun in this folder."""
        if (now := self._newest()) != self.seen:
            raise Superseded(f"attempt {self.seen} at this trial was replaced by attempt {now}; it writes nothing")

    def _newest(self) -> int | None:
        return read_entry(self.paths.attempt, "attempt", int) if self.paths.attempt.is_file() else None
