"""Proposals, outcomes, and the attributes that the search keeps in the study."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import optuna
from optuna.distributions import CategoricalChoiceType
from optuna.trial import FrozenTrial, TrialState

Trial = optuna.Trial
Value = CategoricalChoiceType  # of one parameter: bool | int | float | str | None
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)

# Attributes of a trial.
DRAWN = "phalanx.drawn"  # all its parameters are drawn
FAILURE = "phalanx.failure"  # the kind of failure, for one that failed
SAME_AS = "phalanx.same_as"  # the number of the trial with equal parameters whose value it took
WARM = "phalanx.warm"  # it comes from another study: "name#number"
# Attributes of a study.
FINGERPRINT = "phalanx.fingerprint"  # what every start of it has to agree on
IDENTITY = "phalanx.identity"  # a random text, which no other study has
SECONDS = "phalanx.seconds"  # wall time of all its starts so far
EXHAUSTED = "phalanx.exhausted"  # the sampler has no further point
ENQUEUED = "phalanx.enqueued"  # the start points that were queued already
WARMED = "phalanx.warmed"  # the studies whose trials were taken in already


@dataclass(frozen=True)
class Proposal:
    """A point to evaluate."""

    number: int  # of the trial in its study
    params: Mapping[str, Value]
    attempt: int = 1
    trial: Trial | None = field(default=None, repr=False, compare=False)  # to report to, in this process alone

    def __reduce__(self) -> tuple[type[Proposal], tuple[int, Mapping[str, Value], int]]:
        return Proposal, (self.number, self.params, self.attempt)


@dataclass(frozen=True)
class Outcome:
    """The result of a proposal."""

    values: tuple[float, ...] | None  # one for each objective; None for a trial that failed or diverged
    error: str | None = None
    pruned: bool = False
    failure: str | None = None  # a `phalanx.core.errors.Failure`, where there are no values


def own_trials(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Returns the trials that this study evaluated itself, without those of a warm start."""
    return [trial for trial in trials if WARM not in trial.user_attrs]
