"""Writes `metrics.csv` while a trial trains."""

import logging
import time
from collections.abc import Callable, Collection, Mapping

from phalanx.core.callbacks import Callback
from phalanx.core.errors import Superseded
from phalanx.core.files import write_text
from phalanx.core.result import EpochMetrics, State, TrialResult
from phalanx.runs.fencing import FencingToken
from phalanx.runs.layout import RunPaths
from phalanx.runs.metrics_csv import mean_history, metrics_csv

log = logging.getLogger(__name__)

SHARE = 50  # writing takes at most this fraction of the time


class LiveMetrics(Callback):
    """Writes `metrics.csv` every `seconds` of training, and passes all calls on to `inner`.

    With several seeds the file holds their means. A file that cannot be written, or a trial that another process has
    taken over, ends the writing, not the training.

    Args:
        paths: The run's folder.
        seconds: Seconds before the first write and between two; None writes nothing.
        fence: The token of this attempt at the trial.
        inner: The callback to pass calls on to.
        describe: Called before each write: it writes what is trained if that is not known yet.
    """

    def __init__(
        self, paths: RunPaths, seconds: float | None, fence: FencingToken | None, inner: Callback,
        describe: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self.paths, self.seconds, self.fence, self.inner, self.describe = paths, seconds, fence, inner, describe
        self.rows: dict[int, list[EpochMetrics]] = {}
        self.due = time.monotonic() + (seconds or 0.0)

    def goes_on(self, states: Mapping[int, State]) -> None:
        """Puts the history of resumed trials, by position, before what they train now."""
        self.rows |= {position: list(state.history) for position, state in states.items() if state}

    def on_start(self, n_trials: int, n_epochs: int, steps_per_epoch: int) -> None:
        self.inner.on_start(n_trials, n_epochs, steps_per_epoch)

    def on_step(self, epoch: int, step: int) -> None:
        self.inner.on_step(epoch, step)

    def on_epoch(self, rows: Mapping[int, EpochMetrics]) -> Collection[int]:
        if self.seconds is not None:
            for position, row in rows.items():
                self.rows.setdefault(position, []).append(row)
            if time.monotonic() >= self.due:
                self.seconds = self._write(self.seconds)
        return self.inner.on_epoch(rows)

    def on_end(self, trial: int, result: TrialResult) -> None:
        self.inner.on_end(trial, result)

    def _write(self, seconds: float) -> float | None:
        """Returns the pause from now on."""
        started = time.monotonic()
        try:
            if self.fence is not None:
                self.fence.check()
            self.describe()
            write_text(self.paths.metrics, metrics_csv(mean_history(list(self.rows.values()))), durable=False)
        except (OSError, Superseded) as error:
            log.debug("no curves while %s trains: %s", self.paths.root, error)
            return None
        now = time.monotonic()
        self.due = now + max(seconds, SHARE * (now - started))
        return seconds
