"""The words that the search loop and its evaluators share: a proposal, its outcome, and marks kept in the study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial, TrialState

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)

# Marks on a trial.
DRAWN = "phalanx.drawn"  # all its parameters are drawn
FAILURE = "phalanx.failure"  # the kind of failure, for one that failed
SAME_AS = "phalanx.same_as"  # the number of the equal point whose value it took over
WARM = "phalanx.warm"  # it comes from another study: "name#number"
# Marks on a study.
FINGERPRINT = "phalanx.fingerprint"  # what every start of it has to agree on
SECONDS = "phalanx.seconds"  # wall time of all its starts so far
EXHAUSTED = "phalanx.exhausted"  # the sampler has no further point
ENQUEUED = "phalanx.enqueued"  # the start points that were queued already
WARMED = "phalanx.warmed"  # the studies whose trials were taken in already


@dataclass(frozen=True)
class Proposal:
    """A point to evaluate: the trial's number in the study, a value for each parameter, and which attempt it is."""

    number: int
    params: Mapping[str, Any]
    attempt: int = 1


@dataclass(frozen=True)
class Outcome:
    """What became of a proposal; `values` is None for a trial that failed or diverged, `failure` then says how."""

    values: tuple[float, ...] | None
    error: str | None = None
    pruned: bool = False
    failure: str | None = None  # a `phalanx.core.errors.Failure`, or "diverged"


def own(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """Those that this study evaluated itself."""
    return [trial for trial in trials if WARM not in trial.user_attrs]
