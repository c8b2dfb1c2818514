"""Who may watch a cohort train, and prune its trials. The base class watches in silence."""

from __future__ import annotations

from phalanx.result import EpochMetrics, TrialResult


class Observer:
    """Callbacks of `train_cohort`; trials are named by their position in the list of specs."""

    def on_start(self, n_trials: int, n_epochs: int, steps_per_epoch: int) -> None:
        """Before the first epoch; `n_epochs` is the largest number of epochs any trial may train."""

    def on_step(self, epoch: int, step: int) -> None:
        """After each update, with both counted from 1. Called often: keep it cheap."""

    def on_epoch(self, trial: int, metrics: EpochMetrics) -> bool:
        """After each epoch of each trial. True prunes the trial."""
        return False

    def on_end(self, trial: int, result: TrialResult) -> None:
        """When a trial's result is known."""
