"""Budgets: when a study ends, and how many failures it allows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from phalanx.core.errors import Failure, PhalanxError, RequestError
from phalanx.core.specs import Spec, static
from phalanx.study.proposals import FAILURE

RETRIED = (Failure.CRASH, Failure.OUT_OF_MEMORY)  # failures that may not happen again when the trial is repeated


class TooManyFailures(PhalanxError):
    """More trials failed than the budget allows; all results are kept."""


@dataclass(frozen=True)
class Budget(Spec):
    """A study ends at the first of these that is reached. None sets no limit."""

    config_group: ClassVar[str] = "hydra.sweeper"
    n_trials: int = static(20, ge=1)  # finished trials of all starts together
    timeout_s: float | None = static(None, ge=0)  # wall time of all starts together
    target: float | None = static(None)  # an objective value that is good enough
    patience: int | None = static(None, ge=1)  # finished trials in a row without a better value
    max_failure_rate: float = static(1.0, ge=0, le=1)  # an error when a larger share of the study's trials fails
    fail_fast: bool = static(False)  # the first failed trial is an error; a diverged one is a result
    retries: int = static(0, ge=0)  # repetitions of a trial that crashed or ran out of memory
    trial_timeout_s: float | None = static(None, gt=0)  # training time of one trial
    n_jobs: int = static(1, ge=1, advice="auto")  # trials in flight

    def check(self, n_objectives: int) -> None:
        """Raises `RequestError` for budgets that need one value to compare by, where there are several."""
        given = [name for name in ("target", "patience") if getattr(self, name) is not None]
        if n_objectives > 1 and given:
            raise RequestError(
                f"hydra.sweeper.{given[0]} compares trials by one value and there are {n_objectives} objectives; "
                f"try hydra.sweeper.{given[0]}=null"
            )

    def spent(self, done: Sequence[FrozenTrial], directions: Sequence[StudyDirection], seconds: float) -> str | None:
        """Returns which budget is used up, as text; None while the study goes on.

        Args:
            done: The study's own trials that have ended, in the order they ended.
            directions: Of the objectives.
            seconds: Wall time of all starts together.
        """
        if len(done) >= self.n_trials:
            return f"n_trials={self.n_trials} reached"
        if self.timeout_s is not None and seconds >= self.timeout_s:
            return f"timeout_s={self.timeout_s:g} reached after {seconds:.1f} s"
        return self._good_enough(done, directions[0]) if len(directions) == 1 else None

    def _good_enough(self, done: Sequence[FrozenTrial], direction: StudyDirection) -> str | None:
        if self.target is None and self.patience is None:
            return None
        sign = -1 if direction == StudyDirection.MAXIMIZE else 1
        complete = TrialState.COMPLETE
        values = [sign * v if t.state == complete and (v := t.value) is not None else math.inf for t in done]
        best = min(values, default=math.inf)
        if self.target is not None and best <= sign * self.target:
            return f"target={self.target:g} reached with {sign * best:g}"
        if self.patience is not None and best < math.inf and len(values) - 1 - values.index(best) >= self.patience:
            return f"patience={self.patience}: no better value than {sign * best:g} in {self.patience} trials"
        return None

    def check_failures(self, done: Sequence[FrozenTrial], *, ended: bool = False) -> None:
        """Raises `TooManyFailures` when too many of the study's own trials have failed.

        Before the study has `ended`, that is when the failures exceed the rate even if all other trials go well.
        """
        if not self.fail_fast and self.max_failure_rate >= 1:
            return
        failed = [trial for trial in done if trial.state == TrialState.FAIL]
        crashed = [trial for trial in failed if trial.user_attrs.get(FAILURE) != Failure.DIVERGED]
        if self.fail_fast and crashed:
            raise TooManyFailures(
                f"trial {crashed[0].number} failed ({crashed[0].user_attrs.get(FAILURE)}) and "
                "hydra.sweeper.fail_fast=true"
            )
        total = len(done) if ended else max(len(done), self.n_trials)
        if len(failed) > self.max_failure_rate * total:
            raise TooManyFailures(
                f"{len(failed)} of {len(done)} finished trials failed, more than hydra.sweeper.max_failure_rate="
                f"{self.max_failure_rate:g} allows in {total}"
            )
