"""Callbacks and checkpointers of a training. The base classes do nothing."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence

from phalanx.core.errors import TrialTimeout
from phalanx.core.result import EpochMetrics, State, TrialResult


class Callback:
    """Base of the callbacks of `train_cohort`. Trials are identified by their position in the list of specs.

    Examples:
        >>> from phalanx import Callback, TrainerSpec, TrialSpec, load_dataset, train_trial
        >>> class Printer(Callback):
        ...     def on_epoch(self, rows):
        ...         print({trial: row.epoch for trial, row in rows.items()})
        ...         return [0] if rows[0].epoch == 2 else []  # prunes the trial
        >>> spec = TrialSpec(trainer=TrainerSpec(epochs=5))
        >>> train_trial(spec, load_dataset(spec.data), Printer()).status.value
        {0: 1}
        {0: 2}
        'pruned'
    """

    def on_start(self, n_trials: int, n_epochs: int, steps_per_epoch: int) -> None:
        """Called before the first epoch.

        Args:
            n_trials: The number of trials that train together.
            n_epochs: The largest number of epochs that any of them may train.
            steps_per_epoch: Updates per epoch.
        """

    def on_step(self, epoch: int, step: int) -> None:
        """Called after each update; both count from 1. It must be cheap, and several threads may call it."""

    def on_epoch(self, rows: Mapping[int, EpochMetrics]) -> Collection[int]:
        """Called after each epoch with the metrics of each running trial. Returns the trials to prune; one whose
        training ends with this epoch anyway is completed."""
        return ()

    def on_end(self, trial: int, result: TrialResult) -> None:
        """Called when a trial's result is final."""


class Deadline(Callback):
    """Raises `TrialTimeout` when a job has trained for longer than `seconds`; forwards every call to `inner`.

    A job has trained for the sum of its trials' epochs, which are shares of its cohort's time, and, if it has a cohort
    of its own and so receives steps, for the time since the last epoch. `spent` is the time in seconds that it trained
    before it was resumed.
    """

    def __init__(self, seconds: float, inner: Callback, spent: float = 0.0) -> None:
        self.seconds, self.inner, self.spent, self.started = seconds, inner, spent, time.monotonic()

    def on_start(self, n_trials: int, n_epochs: int, steps_per_epoch: int) -> None:
        self.started = time.monotonic()
        self.inner.on_start(n_trials, n_epochs, steps_per_epoch)

    def on_step(self, epoch: int, step: int) -> None:
        self._check(self.spent + time.monotonic() - self.started, f"step {step} of epoch {epoch}")
        self.inner.on_step(epoch, step)

    def on_epoch(self, rows: Mapping[int, EpochMetrics]) -> Collection[int]:
        self.spent, self.started = self.spent + sum(row.seconds for row in rows.values()), time.monotonic()
        self._check(self.spent, f"epoch {max(row.epoch for row in rows.values())}")
        return self.inner.on_epoch(rows)

    def on_end(self, trial: int, result: TrialResult) -> None:
        self.inner.on_end(trial, result)

    def _check(self, seconds: float, where: str) -> None:
        if seconds > self.seconds:
            raise TrialTimeout(f"longer than hydra.sweeper.trial_timeout_s={self.seconds:g}, in {where}")


class Checkpointer:
    """Base of what saves the states of a job's trials, so that a later process can resume them."""

    keeps = False  # whether it saves anything
    states: Sequence[State] = ()  # the state from which each trial resumes; None for a new trial

    @property
    def epochs_before(self) -> int:
        """The number of epochs that were trained before, by the trial that had come furthest."""
        return max((len(state.history) for state in self.states if state), default=0)

    def epoch_ended(self, states: Callable[[], Sequence[State]]) -> None:
        """Called after each epoch; `states` returns the current state of each trial."""

    def write(self, states: Callable[[], Sequence[State]]) -> None:
        """Called between two epochs when training stops early."""
