"""The training loop of one cohort. `train_trial` is a cohort of one."""

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
    """Trains one trial; arguments as in `train_cohort`.

    Examples:
        >>> from phalanx import TrainerSpec, TrialSpec, load_dataset, train_trial
        >>> spec = TrialSpec(trainer=TrainerSpec(epochs=3))
        >>> [row.epoch for row in train_trial(spec, load_dataset(spec.data)).history]
        [1, 2, 3]
    """
    return train_cohort([spec], dataset, callback, test=test)[0]


def train_cohort(
    specs: Sequence[TrialSpec], dataset: Dataset, callback: Callback | None = None, *, test: bool = True,
    checkpointer: Checkpointer | None = None,
) -> list[TrialResult]:  # fmt: skip
    """Trains trials together. A trial's results do not depend on the others.

    Examples:
        >>> from phalanx import MLP, TrainerSpec, TrialSpec, load_dataset, train_cohort
        >>> specs = [TrialSpec(model=MLP(dropout=rate), trainer=TrainerSpec(epochs=2)) for rate in (0.0, 0.2)]
        >>> [result.status.value for result in train_cohort(specs, load_dataset(specs[0].data))]
        ['completed', 'completed']

    Args:
        specs: The trials, equal in all static fields (see `partition`).
        dataset: The data.
        callback: Is called at each step and epoch, and may prune trials.
        test: Whether results have test metrics; if not, the test split is not read.
        checkpointer: Provides the states from which trials resume, and saves new ones.

    Returns:
        The results, in the order of `specs`.

    Raises:
        RequestError: The specs differ in a static field.
        TrainingInterrupted: On Ctrl-C; holds all results so far.
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
