"""The search loop: asks Optuna for points, has them evaluated, tells their outcomes. Plain Python, without Hydra.

The budgets are totals of the study, over all starts and all drivers that share its storage. An interrupted trial is
evaluated again under its number and with its parameters, unless its result was written before it could be told.
"""

import itertools
import logging
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from phalanx.study.budget import RETRIED, Budget
from phalanx.study.drafts import drafts_of
from phalanx.study.evaluators import Batches, Evaluate, Evaluator
from phalanx.study.leases import Leases
from phalanx.study.proposals import DRAWN, EXHAUSTED, FAILURE, FINISHED, SAME_AS, SECONDS, Outcome, Proposal, own_trials
from phalanx.study.space import Suggest
from phalanx.study.start_points import EvaluatedPoints
from phalanx.study.storage import with_retries

log = logging.getLogger(__name__)

STORED_EVERY_S = 0.5  # how often the time spent is stored in the study
POLL_S = 0.2  # how often a driver with nothing to do looks whether other drivers' trials have ended


def run_study(
    study: optuna.Study,
    suggest: Suggest,
    evaluate: Evaluate | Evaluator,
    *,
    budget: Budget,
    recorded: Callable[[int], Outcome | None] = lambda number: None,
    reused: Callable[[Proposal, int], None] = lambda proposal, number: None,
    leases: Leases | None = None,
) -> str:
    """Evaluates trials until a budget is spent.

    Args:
        study: The study, from `open_study`. Trials of earlier starts count.
        suggest: Draws the parameters of a trial, see `suggest_from`.
        evaluate: Returns the outcomes of a list of proposals, or an `Evaluator`.
        budget: When the study ends.
        recorded: Returns the outcome that an interrupted trial of that number had written, or None.
        reused: Called with a proposal that takes the outcome of an equal trial, and that trial's number.
        leases: Keeps drivers apart that share the study; None if this is the only one.

    Returns:
        Which budget is spent, as text.

    Raises:
        TooManyFailures: If more trials failed than the budget allows.
        StorageLost: If the study's storage does not answer for about 30 s.
    """
    evaluator = evaluate if isinstance(evaluate, Evaluator) else Batches(evaluate)
    with leases or nullcontext(Leases.of(None, study.study_name)) as held:
        return _Search(study, suggest, evaluator, budget, recorded, reused, held).run()


@dataclass
class _Search:
    """One call of `run_study`."""

    study: optuna.Study
    suggest: Suggest
    evaluator: Evaluator
    budget: Budget
    recorded: Callable[[int], Outcome | None]
    reused: Callable[[Proposal, int], None]
    leases: Leases

    def __post_init__(self) -> None:
        self.directions = with_retries(lambda: self.study.directions)
        self.budget.check(len(self.directions))
        self.drafts = drafts_of(self.study)
        self.in_flight: dict[int, Proposal] = {}  # by number; of equal points only the first is being evaluated
        self.evaluated, self.tries = EvaluatedPoints(), dict[int, int]()
        self.done: list[FrozenTrial] = []  # the study's own trials that have ended, in the order they were seen
        self.unfinished: list[int] = []  # the numbers of those that have not
        self.n_seen = 0
        self.next_look = 0.0  # when to look again for trials whose driver is gone, on the monotonic clock
        self.seconds, self.began = float(self._attribute(SECONDS, 0.0)), time.monotonic()
        self.stored_seconds = self.seconds

    def run(self) -> str:
        try:
            while True:
                ending = self._fill()
                if self.in_flight:
                    for proposal, outcome in self.evaluator.results():
                        self._finish(proposal, outcome)
                    self._store_seconds()
                elif ending is not None:
                    self.budget.check_failures(self.done, ended=True)
                    return ending
                else:  # other drivers evaluate all that is missing
                    time.sleep(POLL_S * random.uniform(0.5, 1.5))
        finally:
            with suppress(Exception):  # a lost database must not hide what ended the search
                self.study.set_user_attr(SECONDS, self._elapsed())
                self.leases.release_all()

    def _fill(self) -> str | None:
        """Keeps `n_jobs` trials in flight; returns why the study ends, if it does."""
        batch: list[Proposal] = []
        ending = None
        while len(self.in_flight) < self.budget.n_jobs:
            with self.leases.exclusive():
                # Tried again, it evaluates what an earlier try had asked for and could not draw.
                ending, proposals = with_retries(self._next, self.budget.n_jobs - len(self.in_flight))
            if not proposals:
                break
            batch += self._to_evaluate(proposals)
        if batch:
            self.evaluator.submit(batch)
        return ending

    def _to_evaluate(self, proposals: Sequence[Proposal]) -> list[Proposal]:
        """Puts proposals in flight; returns those without an equal one, whose outcome the others take."""
        distinct = []
        for proposal in proposals:
            if found := self.evaluated.find(proposal.params):
                number, outcome = found
                log.info("trial %d is the same point as trial %d, whose value is used", proposal.number, number)
                self._set_attribute(proposal, SAME_AS, number)
                self.reused(proposal, number)
                self._tell(proposal, outcome)
                continue
            if all(other.params != proposal.params for other in self.in_flight.values()):
                distinct.append(proposal)
            self.in_flight[proposal.number] = proposal
        return distinct

    def _next(self, wanted: int) -> tuple[str | None, list[Proposal]]:
        """Returns why the study ends, or up to `wanted` proposals; none of either while others evaluate the rest."""
        trials = self._refresh()
        if self.tries:  # a trial has ended in this start
            self.budget.check_failures(self.done)
        ending = self.budget.spent(self.done, self.directions, self._elapsed())
        if ending is not None:
            return ending, []
        exhausted = self._attribute(EXHAUSTED)
        running = [trial for trial in trials if trial.state == TrialState.RUNNING]
        left = 0 if exhausted else self.budget.n_trials - len(self.done) - len(running)
        # A look costs more the more trials are in flight anywhere. A try that was cut off is followed by a look.
        next_look, self.next_look = self.next_look, 0.0
        if left <= 0 or time.monotonic() >= next_look:
            next_look = time.monotonic() + self.leases.lease_s / 4
            proposals = list(itertools.islice(self._interrupted(running), wanted))
            if proposals:
                return None, proposals
        if exhausted:
            self.next_look = next_look
            return (None if running else "every point of the space is evaluated"), []
        with nullcontext() if self.drafts is None else self.drafts.drafting():
            fresh = [self._ask() for _ in range(min(wanted, left))]
        self.next_look = next_look
        return None, fresh

    def _refresh(self) -> list[FrozenTrial]:
        """Adds the study's own trials that have ended since the last call to `done`; returns those that have not.

        Ended trials are never looked at again, so that a round costs no more with ten thousand of them.
        """
        trials = self._trials()
        recent = [trials[number] for number in self.unfinished] + trials[self.n_seen :]
        self.n_seen = len(trials)
        ended = own_trials(trial for trial in recent if trial.state in FINISHED)
        self.done.extend(ended)
        self.evaluated.add(ended)
        unfinished = [trial for trial in recent if trial.state not in FINISHED]
        self.unfinished = [trial.number for trial in unfinished]
        return unfinished

    def _trials(self) -> list[FrozenTrial]:
        return with_retries(self.study.get_trials, deepcopy=False)

    def _interrupted(self, running: Sequence[FrozenTrial]) -> Iterator[Proposal]:
        """Proposes again trials whose driver is gone; those whose result was written are told instead."""
        others = {trial.number: trial for trial in running if trial.number not in self.in_flight}
        for stored in map(others.__getitem__, self.leases.claimable(list(others))):
            attempt = self.leases.claim(stored.number)
            if attempt is None or self._trials()[stored.number].state != TrialState.RUNNING:
                continue  # another driver holds it, or has told it just now
            # The number of a stored trial is public, its id is not; tests/study/test_loop.py holds the contract.
            trial = optuna.Trial(self.study, stored._trial_id)
            outcome = self.recorded(stored.number) if stored.user_attrs.get(DRAWN) else None
            if outcome is None:
                log.info("trial %d was interrupted and is evaluated again", stored.number)
                yield self._draw(trial, attempt)
            else:
                self._tell(Proposal(stored.number, stored.params, attempt, trial), outcome)

    def _ask(self) -> Proposal:
        trial = self.study.ask()
        if self.drafts is None:
            return self._draw(trial, self.leases.claim(trial.number) or 1)
        self._suggest(trial)
        number = self.drafts.commit(trial)
        return Proposal(number, trial.params, self.leases.claim(number) or 1, trial)

    def _draw(self, trial: optuna.Trial, attempt: int) -> Proposal:
        """Draws what is not drawn yet: a driver may have been killed, or cut off, between two parameters."""
        self._suggest(trial)
        return Proposal(trial.number, trial.params, attempt, trial)

    def _suggest(self, trial: optuna.Trial) -> None:
        self.suggest(trial)
        trial.set_user_attr(DRAWN, True)

    def _finish(self, proposal: Proposal, outcome: Outcome) -> None:
        """Tells an outcome, or submits the proposal again where the failure may not happen again."""
        number = proposal.number
        self.tries[number] = self.tries.get(number, 0) + 1
        if outcome.failure in RETRIED and self.tries[number] <= self.budget.retries and self.leases.holds(number):
            log.warning(
                "trial %d: %s; try %d of %d", number, outcome.error, self.tries[number] + 1, self.budget.retries + 1
            )
            self.evaluator.submit([proposal])
            return
        del self.in_flight[number]
        self._tell(proposal, outcome)
        if equal := [other for other in self.in_flight.values() if other.params == proposal.params]:
            self._refresh()
            for other in equal:
                del self.in_flight[other.number]
            if again := self._to_evaluate(equal):
                self.evaluator.submit(again)

    def _tell(self, proposal: Proposal, outcome: Outcome) -> None:
        number = proposal.number
        if not self.leases.finalize(number):
            log.warning("trial %d was taken over by another driver; the outcome found here is ignored", number)
            return
        values = outcome.values
        if outcome.failure is not None:
            self._set_attribute(proposal, FAILURE, str(outcome.failure))
        good = values is not None and all(map(math.isfinite, values))
        state = TrialState.PRUNED if outcome.pruned else TrialState.COMPLETE if good else TrialState.FAIL
        told = values if state == TrialState.COMPLETE else None
        try:
            # A lost connection may hide that an earlier try succeeded, hence `skip_if_finished`.
            with_retries(self.study.tell, number, told, state, skip_if_finished=True)
        except RuntimeError as error:
            # Raised by samplers of finite spaces that know no further point; the trial is told all the same.
            if "Study.stop" not in str(error):
                raise
            with_retries(self.study.set_user_attr, EXHAUSTED, True)

    def _set_attribute(self, proposal: Proposal, key: str, value: int | str) -> None:
        if proposal.trial is not None:
            with_retries(proposal.trial.set_user_attr, key, value)

    def _attribute(self, key: str, default: Any = None) -> Any:
        """An attribute of the study, a JSON value."""
        return with_retries(lambda: self.study.user_attrs.get(key, default))

    def _elapsed(self) -> float:
        return self.seconds + time.monotonic() - self.began

    def _store_seconds(self) -> None:
        if self._elapsed() - self.stored_seconds >= STORED_EVERY_S:
            self.stored_seconds = self._elapsed()
            with_retries(self.study.set_user_attr, SECONDS, self.stored_seconds)
