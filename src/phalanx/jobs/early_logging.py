"""`EarlyLogging`: starts the process that logs to MLflow before torch is imported, so that both import at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from phalanx.core.errors import RequestError

if TYPE_CHECKING:
    from phalanx.runs.config import Config
    from phalanx.tracking.client import LoggingProcess


class EarlyLogging:
    """Holds the process of a run or a sweep until its tracker takes it."""

    def __init__(self) -> None:
        self._process: LoggingProcess | None = None

    def start(self, config: Config) -> None:
        """Starts the process, unless nothing is to be logged.

        Args:
            config: A composed configuration. What is wrong with it is said where all of it is checked.
        """
        from phalanx.runs.config import tracking_spec
        from phalanx.tracking.client import LoggingProcess

        self.stop()
        if not isinstance(config.get("tracking"), Mapping):
            return
        try:
            spec = tracking_spec(config)
        except RequestError:
            return
        if spec.kind != "none":
            self._process = LoggingProcess(spec)

    def take(self) -> LoggingProcess | None:
        """Returns the process, once."""
        process, self._process = self._process, None
        return process

    def stop(self) -> None:
        """Ends a process that nobody has taken; it has logged nothing."""
        if (process := self.take()) is not None:
            process.stop()
