"""Who may watch a cohort train, and prune its trials, and who keeps how far they are. The base classes do neither."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence

from phalanx.core.errors import TrialTimeout
from phalanx.core.result import EpochMetrics, State, TrialResult


class Callback:
    """Callbacks of `train_cohort`; trials are named by their position in the list of specs."""

    def on_start(self, n_trials: int, n_epochs: int, steps_per_epoch: int) -> None:
        """Before the first epoch; `n_epochs` is the largest number of epochs any trial may train."""

    def on_step(self, epoch: int, step: int) -> None:
        """After each update, with both counted from 1. Called often: keep it cheap."""

    def on_epoch(self, rows: Mapping[int, EpochMetrics]) -> Collection[int]:
        """After each epoch, with what every trial still training reached in it. Returns those to prune."""
        return ()

    def on_end(self, trial: int, result: TrialResult) -> None:
        """When a trial's result is known."""


class Deadline(Callback):
    """Ends a training that takes longer than `seconds`, by `TrialTimeout`; passes everything on to `inner`.

    `spent` of them it had trained before.
    """

    def __init__(self, seconds: float, inner: Callback, spent: float = 0.0) -> None:
        self.seconds, self.inner, self.spent, self.started = seconds, inner, spent, time.monotonic()

    def on_start(self, n_trials: int, n_epochs: int, steps_per_epoch: int) -> None:
        self.started = time.monotonic()
        self.inner.on_start(n_trials, n_epochs, steps_per_epoch)

    def on_step(self, epoch: int, step: int) -> None:
        if self.spent + time.monotonic() - self.started > self.seconds:
            raise TrialTimeout(
                f"longer than hydra.sweeper.trial_timeout_s={self.seconds:g}, in step {step} of epoch {epoch}"
            )
        self.inner.on_step(epoch, step)

    def on_epoch(self, rows: Mapping[int, EpochMetrics]) -> Collection[int]:
        return self.inner.on_epoch(rows)

    def on_end(self, trial: int, result: TrialResult) -> None:
        self.inner.on_end(trial, result)


class Checkpointer:
    """Keeps how far the trials of one job are, for a later process to go on from."""

    keeps = False
    states: Sequence[State] = ()  # where each trial goes on that was on its way before

    def epoch_ended(self, states: Callable[[], Sequence[State]]) -> None:
        """After each epoch; `states` looks up how far the trials are."""

    def write(self, states: Callable[[], Sequence[State]]) -> None:
        """Between two epochs, where no further one will follow."""
