"""The training loop: `CohortLoop` trains a cohort epoch by epoch, `train_cohort` trains one from start to end."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from phalanx.core.callbacks import Callback, Checkpointer
from phalanx.core.errors import TrainingInterrupted, TrialTimeout
from phalanx.core.result import EpochMetrics, State, TrialResult
from phalanx.data import Dataset
from phalanx.nn.models.estimator import EstimatorSpec
from phalanx.training.cohort import Cohort
from phalanx.training.epochs import with_epochs
from phalanx.training.estimator_cohort import EstimatorCohort
from phalanx.training.interrupts import EpochEnd
from phalanx.training.partition import check_static
from phalanx.training.spec import TrialSpec


@dataclass(eq=False)
class Member:
    """Trials that joined a cohort together, for example the seeds of one job.

    Attributes:
        callback: Its `on_epoch` gets the rows of these trials alone, numbered as their specs.
        checkpointer: Keeps the states of these trials.
        positions: The trials' positions in the cohort, in the order of their specs.
        ended: The results so far, by position.
        error: Set when `callback` raised `TrialTimeout`, which prunes these trials and no others.
    """

    callback: Callback
    checkpointer: Checkpointer
    positions: list[int]
    ended: dict[int, TrialResult] = field(default_factory=dict)
    error: TrialTimeout | None = None

    @property
    def results(self) -> list[TrialResult]:
        """The results in the order of the specs, once all trials have ended."""
        return [self.ended[position] for position in self.positions]


class CohortLoop(Callback):
    """Trains a cohort. Members join between epochs and leave when all of their trials have ended."""

    def __init__(
        self, like: TrialSpec, dataset: Dataset, callback: Callback | None = None, *, test: bool = True
    ) -> None:
        """Starts without members.

        Args:
            like: A trial with the static fields of all trials that will join.
            dataset: The data of `like`.
            callback: Receives steps and epochs of the whole cohort; trials are numbered in the order they joined.
            test: Whether results contain metrics of the test split.
        """
        self.callback = callback or Callback()
        kind = EstimatorCohort if isinstance(like.model, EstimatorSpec) else Cohort
        self.cohort: Cohort | EstimatorCohort = kind(like, dataset, self, test=test)
        self.members: list[Member] = []
        self.epoch_end, self.between_epochs = EpochEnd(), True

    @property
    def interrupted(self) -> bool:
        """Whether a signal asked for the end of training during the last epoch."""
        return self.epoch_end.asked

    def join(
        self, specs: Sequence[TrialSpec], callback: Callback | None = None, checkpointer: Checkpointer | None = None,
        datasets: Sequence[Dataset] | None = None,
    ) -> Member:  # fmt: skip
        """Adds trials, which start with the next epoch, or continue from the states of `checkpointer`.

        Args:
            specs: Trials that equal `like` in every static field.
            callback: Receives epochs of these trials alone, and may prune them.
            checkpointer: Gives the states to continue from and keeps new ones.
            datasets: The data of each trial, if not the cohort's.

        Returns:
            The member, which is also in `members` until its last trial has ended.
        """
        checkpointer = checkpointer or Checkpointer()
        positions = self.cohort.join(specs, checkpointer.states, datasets)
        member = Member(callback or Callback(), checkpointer, positions)
        self.members.append(member)
        return member

    def epoch(self) -> list[Member]:
        """Trains every trial for one epoch; returns the members whose last trial ended with it."""
        with self.epoch_end.awaited(any(member.checkpointer.keeps for member in self.members)):
            self.between_epochs = False
            self._record(self.cohort.epoch())
            self.between_epochs = True
            for member in self.members:
                member.checkpointer.epoch_ended(partial(self._states, member))
        ended = [member for member in self.members if len(member.ended) == len(member.positions)]
        self.members = [member for member in self.members if member not in ended]
        return ended

    def finish(self) -> None:
        """Trains until no member is left. Raises `KeyboardInterrupt` after an epoch in which a signal asked for it."""
        while self.members:
            self.epoch()
            if self.interrupted:
                raise KeyboardInterrupt

    def abandon(self) -> list[Member]:
        """Ends all trials where they are; between two epochs it writes checkpoints first. Returns the members left."""
        for member in self.members if self.between_epochs else ():
            member.checkpointer.write(partial(self._states, member))
        self._record(self.cohort.abandon())
        members, self.members = self.members, []
        return members

    def _record(self, results: Mapping[int, TrialResult]) -> None:
        for member in self.members:
            member.ended |= {position: results[position] for position in member.positions if position in results}

    def _states(self, member: Member) -> list[State]:
        return [member.ended.get(position) or self.cohort.snapshot(position) for position in member.positions]

    def on_step(self, epoch: int, step: int) -> None:
        self.callback.on_step(epoch, step)

    def on_epoch(self, rows: Mapping[int, EpochMetrics]) -> Collection[int]:
        pruned = set(self.callback.on_epoch(rows))
        for member in self.members:
            own = {place: rows[position] for place, position in enumerate(member.positions) if position in rows}
            if own:
                try:
                    places: Collection[int] = member.callback.on_epoch(own)
                except TrialTimeout as error:
                    member.error, places = error, own
                pruned.update(member.positions[place] for place in places)
        return pruned


def train_trial(
    spec: TrialSpec, dataset: Dataset, callback: Callback | None = None, *, test: bool = True
) -> TrialResult:
    """Trains one trial.

    Args:
        spec: The trial.
        dataset: Its data, of `load_dataset(spec.data)`.
        callback: Is told of the start, each epoch and the end.
        test: Also evaluate the test split.

    Returns:
        Metrics, history and weights.

    Examples:
        >>> from phalanx import TrainerSpec, TrialSpec, load_dataset, train_trial
        >>> spec = TrialSpec(trainer=TrainerSpec(epochs=3))
        >>> [row.epoch for row in train_trial(spec, load_dataset(spec.data)).history]
        [1, 2, 3]
    """
    return train_cohort([spec], dataset, callback, test=test)[0]


def train_cohort(
    specs: Sequence[TrialSpec], dataset: Dataset | Sequence[Dataset], callback: Callback | None = None, *,
    test: bool = True, checkpointer: Checkpointer | None = None,
) -> list[TrialResult]:  # fmt: skip
    """Trains trials together. A trial's results do not depend on the others.

    Examples:
        >>> from phalanx import MLP, TrainerSpec, TrialSpec, load_dataset, train_cohort
        >>> specs = [TrialSpec(model=MLP(dropout=rate), trainer=TrainerSpec(epochs=2)) for rate in (0.0, 0.2)]
        >>> [result.status.value for result in train_cohort(specs, load_dataset(specs[0].data))]
        ['completed', 'completed']

    Args:
        specs: The trials, equal in all static fields (see `partition`).
        dataset: The data, or those of each trial, where trials have different splits.
        callback: Is called at each step and epoch, and may prune trials.
        test: Whether results have test metrics; if not, the test split is not read.
        checkpointer: Provides the states from which trials resume, and saves new ones.

    Returns:
        The results, in the order of `specs`.

    Raises:
        RequestError: The specs differ in a static field.
        TrainingInterrupted: On Ctrl-C or SIGTERM; holds all results so far.
    """
    if not specs:
        return []
    datasets = [dataset] * len(specs) if isinstance(dataset, Dataset) else list(dataset)
    check_static(specs, None if isinstance(dataset, Dataset) else datasets)
    loop = CohortLoop(specs[0], datasets[0], callback, test=test)
    member = loop.join(specs, checkpointer=checkpointer, datasets=datasets)
    known = [with_epochs(spec, len(data.train)).trainer for spec, data in zip(specs, datasets, strict=True)]
    loop.callback.on_start(len(specs), max(trainer.n_epochs for trainer in known), loop.cohort.steps_per_epoch)
    try:
        loop.finish()
    except KeyboardInterrupt:
        loop.abandon()
        raise TrainingInterrupted(member.results) from None
    for place, result in enumerate(member.results):
        loop.callback.on_end(place, result)
    return member.results
