"""The trainer: one loop for one trial or many. `train_trial` is a cohort of one."""

from __future__ import annotations

from collections.abc import Sequence

from phalanx.cohort import Cohort
from phalanx.data import Dataset
from phalanx.errors import TrainingInterrupted
from phalanx.observer import Observer
from phalanx.result import TrialResult
from phalanx.spec import TrialSpec


def train_trial(
    spec: TrialSpec, dataset: Dataset, observer: Observer | None = None, *, test: bool = True
) -> TrialResult:
    """Trains one configuration; see `train_cohort`."""
    return train_cohort([spec], dataset, observer, test=test)[0]


def train_cohort(
    specs: Sequence[TrialSpec], dataset: Dataset, observer: Observer | None = None, *, test: bool = True
) -> list[TrialResult]:
    """Trains all `specs` together and returns their results in the same order.

    A trial's numbers do not depend on the others. `test=False` leaves the test split unread. Raises `RequestError`
    if the specs differ in a static field, and `TrainingInterrupted` (with all results so far) on Ctrl-C.
    """
    if not specs:
        return []
    cohort = Cohort(specs[0], dataset, observer, test=test)
    cohort.join(specs)
    found: dict[int, TrialResult] = {}
    cohort.observer.on_start(len(specs), max(s.trainer.epochs for s in specs), cohort.steps_per_epoch)
    try:
        while cohort.running:
            found.update(cohort.epoch())
    except KeyboardInterrupt:
        found.update(cohort.abandon())
        raise TrainingInterrupted([found[position] for position in range(len(specs))]) from None
    for position in range(len(specs)):
        cohort.observer.on_end(position, found[position])
    return [found[position] for position in range(len(specs))]
