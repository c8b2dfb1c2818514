"""What a trial that trains has reached: its history, its best epoch, and whether it goes on."""

import time

from phalanx.core.result import EpochMetrics, Snapshot, Status
from phalanx.training.spec import TrialSpec


class TrialProgress:
    """The history and the best epoch of a trial that trains, new or resumed from a snapshot."""

    def __init__(self, spec: TrialSpec, after: Snapshot | None = None) -> None:
        self.spec = spec
        self.history = list(after.history) if after else []
        self.best = self.history[after.best_epoch - 1] if after and after.best_epoch else None
        self.seconds, self.started = sum(row.seconds for row in self.history), time.time()
        self.status, self.error = Status.COMPLETED, ""

    def improved(self, row: EpochMetrics) -> bool:
        """Whether `row` beats the best epoch in the objective, or equals it at a lower validation loss."""
        if self.best is None:
            return True
        sign = 1 if self.spec.direction == "maximize" else -1
        new, old = (sign * r[self.spec.objective] for r in (row, self.best))
        return new > old or (new == old and row.val_loss < self.best.val_loss)

    def goes_on(self) -> bool:
        """Whether there is another epoch to train after the last one."""
        trainer, epoch, best = self.spec.trainer, len(self.history), self.best.epoch if self.best else 0
        return epoch < trainer.n_epochs and (trainer.patience is None or epoch - best < trainer.patience)
