"""The trainer: one loop for one trial or many. `train_trial` is a cohort of one."""

from __future__ import annotations

from collections.abc import Sequence

from phalanx.core.callbacks import Callback, Checkpointer
from phalanx.core.errors import TrainingInterrupted
from phalanx.core.result import State, TrialResult
from phalanx.data import Dataset
from phalanx.training.cohort import Cohort
from phalanx.training.interrupts import EpochEnd
from phalanx.training.spec import TrialSpec


def train_trial(
    spec: TrialSpec, dataset: Dataset, callback: Callback | None = None, *, test: bool = True
) -> TrialResult:
    """Trains one configuration; see `train_cohort`."""
    return train_cohort([spec], dataset, callback, test=test)[0]


def train_cohort(
    specs: Sequence[TrialSpec], dataset: Dataset, callback: Callback | None = None, *, test: bool = True,
    checkpointer: Checkpointer | None = None,
) -> list[TrialResult]:  # fmt: skip
    """Trains all `specs` together and returns their results in the same order.

    A trial's numbers do not depend on the others. `test=False` leaves the test split unread. A `checkpointer`
    gives the states from which trials go on, and keeps new ones. Raises `RequestError` if the specs differ
    in a static field, and `TrainingInterrupted` (with all results so far) on Ctrl-C.
    """
    if not specs:
        return []
    checkpointer, end = checkpointer or Checkpointer(), EpochEnd()
    cohort = Cohort(specs[0], dataset, callback, test=test)
    positions = cohort.join(specs, checkpointer.states)
    found: dict[int, TrialResult] = {}

    def states() -> list[State]:
        return [found.get(position) or cohort.snapshot(position) for position in positions]

    cohort.callback.on_start(len(specs), max(s.trainer.epochs for s in specs), cohort.steps_per_epoch)
    try:
        while cohort.running:
            with end.awaited(checkpointer.keeps):
                found.update(cohort.epoch())
                checkpointer.epoch_ended(states)
            if end.asked:
                checkpointer.write(states)
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        found.update(cohort.abandon())
        raise TrainingInterrupted([found[position] for position in positions]) from None
    for position in positions:
        cohort.callback.on_end(position, found[position])
    return [found[position] for position in positions]
