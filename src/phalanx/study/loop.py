"""The search loop: asks Optuna for points, has them evaluated, tells what came out. Plain Python, no Hydra.

A study's `n_trials` is its total, as are its other budgets, over all starts and all drivers that share its storage.
A trial that was interrupted is evaluated again under its number and with its parameters; what it had written before
it could be told is told first.
"""

from __future__ import annotations

import itertools
import logging
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext, suppress
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from phalanx.study.budget import RETRIED, Budget
from phalanx.study.evaluators import Batches, Evaluate, Evaluator
from phalanx.study.leases import Leases
from phalanx.study.proposals import DRAWN, EXHAUSTED, FAILURE, FINISHED, SAME_AS, SECONDS, WARM, Outcome, Proposal, own
from phalanx.study.pruning import in_flight
from phalanx.study.space import Suggest
from phalanx.study.start_points import Seen
from phalanx.study.storage import with_retries

log = logging.getLogger(__name__)

NOTED_EVERY_S = 0.5  # how often the time spent is written down
POLL_S = 0.2  # how often a driver with nothing to do looks whether another one's trials have ended


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
    """Evaluates until a budget is spent, trials of earlier calls included, and returns which one, in words.

    `suggest` draws the parameters of a fresh trial; `recorded(number)` gives the outcome that an interrupted trial
    had already written, or None; `reused(proposal, number)` hears of a point that takes over the value of an equal
    one instead of being evaluated. `leases` keep drivers apart that share the study. Raises `TooManyFailures`.
    """
    evaluator = evaluate if isinstance(evaluate, Evaluator) else Batches(evaluate)
    with leases or nullcontext(Leases.of(None, study.study_name)) as held:
        return _Search(study, suggest, evaluator, budget, recorded, reused, held).run()


class _Search:
    """One call of `run_study`."""

    def __init__(
        self, study: optuna.Study, suggest: Suggest, evaluator: Evaluator, budget: Budget,
        recorded: Callable[[int], Outcome | None], reused: Callable[[Proposal, int], None], leases: Leases,
    ) -> None:  # fmt: skip
        self.directions = with_retries(lambda: study.directions)
        budget.check(len(self.directions))
        self.study, self.suggest, self.evaluator, self.budget = study, suggest, evaluator, budget
        self.recorded, self.reused, self.leases = recorded, reused, leases
        self.flying: dict[int, Proposal] = {}
        self.seen, self.tries = Seen(), {}
        self.done: list[FrozenTrial] = []  # the study's own trials that have ended, in the order they were seen
        self.open: list[int] = []  # numbers of those that have not
        self.n_looked_at = 0
        self.waiting: dict[int, list[Proposal]] = {}  # proposals by the number of the equal one in flight
        self.due = 0.0  # when to look again for trials whose driver is gone, on the monotonic clock
        self.seconds, self.clock = self._noted(SECONDS, 0.0), time.monotonic()
        self.noted = self.seconds

    def run(self) -> str:
        try:
            while True:
                ending = self._fill()
                if self.flying:
                    for proposal, outcome in self.evaluator.results():
                        self._settle(proposal, outcome)
                    self._note_seconds()
                    self._look()
                    self.budget.check_failures(self.done)
                elif ending is not None:
                    self.budget.check_failures(self.done, ended=True)
                    return ending
                else:  # all that is missing is in the hands of other drivers
                    time.sleep(POLL_S * random.uniform(0.5, 1.5))
        finally:
            for number in self.flying:
                in_flight.pop((self.study.study_name, number), None)
            with suppress(Exception):  # a lost database must not hide what ended the search
                self.study.set_user_attr(SECONDS, self._elapsed())
                self.leases.release_all()

    def _fill(self) -> str | None:
        """Keeps `n_jobs` trials in flight. Returns why the study ends, if it does."""
        batch: list[Proposal] = []
        ending = None
        while len(self.flying) < self.budget.n_jobs:
            with self.leases.alone():
                # Tried again, it takes up what an earlier try had asked for and could not draw.
                ending, proposals = with_retries(self._next, self.budget.n_jobs - len(self.flying))
            if not proposals:
                break
            batch += [proposal for proposal in proposals if self._takes_off(proposal)]
        if batch:
            self.evaluator.submit(batch)
        return ending

    def _takes_off(self, proposal: Proposal) -> bool:
        """Whether the point has to be evaluated; one that equals another in flight waits for that one's value."""
        if self._known(proposal):
            return False
        twin = next((p.number for p in self.flying.values() if p.params == proposal.params), None)
        self.flying[proposal.number] = proposal
        if twin is not None:
            self.waiting.setdefault(twin, []).append(proposal)
        return twin is None

    def _next(self, wanted: int) -> tuple[str | None, list[Proposal]]:
        """Why the study ends, or up to `wanted` points, or none while others have the rest in hand."""
        trials = self._look()
        ending = self.budget.spent(self.done, self.directions, self._elapsed())
        if ending is not None:
            return ending, []
        exhausted = self._noted(EXHAUSTED)
        running = [trial for trial in trials if trial.state == TrialState.RUNNING]
        left = 0 if exhausted else self.budget.n_trials - len(self.done) - len(running)
        # A look costs more the more trials are in flight anywhere. A try that was cut off is followed by a look.
        due, self.due = self.due, 0.0
        if left <= 0 or time.monotonic() >= due:
            due = time.monotonic() + self.leases.lease_s / 4
            proposals = list(itertools.islice(self._interrupted(running), wanted))
            if proposals:
                return None, proposals
        if exhausted:
            self.due = due
            return (None if running else "every point of the space is evaluated"), []
        fresh = [self._ask() for _ in range(min(wanted, left))]
        self.due = due
        return None, fresh

    def _look(self) -> list[FrozenTrial]:
        """The trials that have not ended; of those that have since the last look, the study's own join `done`.

        Ended trials are never looked at again, so that a round costs no more with ten thousand of them.
        """
        trials = self._trials()
        recent = [trials[number] for number in self.open] + trials[self.n_looked_at :]
        self.n_looked_at = len(trials)
        ended = own([trial for trial in recent if trial.state in FINISHED])
        self.done.extend(ended)
        self.seen.learn(ended)
        still = [trial for trial in recent if trial.state not in FINISHED]
        self.open = [trial.number for trial in still]
        return still

    def _trials(self) -> list[FrozenTrial]:
        return with_retries(self.study.get_trials, False)

    def _interrupted(self, trials: Sequence[FrozenTrial]) -> Iterator[Proposal]:
        """Trials whose driver is gone: told where their result was written, else proposed again."""
        others = {trial.number: trial for trial in trials if trial.number not in self.flying}
        for stored in map(others.__getitem__, self.leases.claimable(list(others))):
            attempt = self.leases.claim(stored.number)
            if attempt is None or self._trials()[stored.number].state != TrialState.RUNNING:
                continue  # somebody holds it, or has told it just now
            # The number of a stored trial is public, its id is not; tests/test_study.py holds the contract.
            trial = optuna.Trial(self.study, stored._trial_id)
            outcome = self.recorded(stored.number) if stored.user_attrs.get(DRAWN) else None
            if outcome is None:
                log.info("trial %d was interrupted and is evaluated again", stored.number)
                yield self._draw(trial, attempt)
            else:
                in_flight[self.study.study_name, stored.number] = trial
                self._tell(Proposal(stored.number, stored.params, attempt), outcome)

    def _ask(self) -> Proposal:
        trial = self.study.ask()
        return self._draw(trial, self.leases.claim(trial.number) or 1)

    def _draw(self, trial: optuna.Trial, attempt: int) -> Proposal:
        """Draws what is not drawn yet: a driver may have been killed, or cut off, between two parameters."""
        self.suggest(trial)
        trial.set_user_attr(DRAWN, True)
        in_flight[self.study.study_name, trial.number] = trial
        return Proposal(trial.number, trial.params, attempt)

    def _known(self, proposal: Proposal) -> bool:
        """Whether an equal point was evaluated before, whose value is then taken."""
        found = self.seen.equal(proposal.params)
        if found is None:
            return False
        number, outcome = found
        log.info("trial %d is the same point as trial %d, whose value is used", proposal.number, number)
        with_retries(in_flight[self.study.study_name, proposal.number].set_user_attr, SAME_AS, number)
        self.reused(proposal, number)
        self._tell(proposal, outcome)
        return True

    def _settle(self, proposal: Proposal, outcome: Outcome) -> None:
        """Tells an outcome, or tries again what may go well another time."""
        number = proposal.number
        self.tries[number] = self.tries.get(number, 0) + 1
        if outcome.failure in RETRIED and self.tries[number] <= self.budget.retries and self.leases.holds(number):
            log.warning(
                "trial %d: %s; try %d of %d", number, outcome.error, self.tries[number] + 1, self.budget.retries + 1
            )
            self.evaluator.submit([proposal])
            return
        del self.flying[number]
        self._tell(proposal, outcome)
        waiting = self.waiting.pop(number, [])
        if waiting:
            self._look()
            for twin in waiting:
                del self.flying[twin.number]
            again = [twin for twin in waiting if self._takes_off(twin)]
            if again:
                self.evaluator.submit(again)

    def _tell(self, proposal: Proposal, outcome: Outcome) -> None:
        number = proposal.number
        trial = in_flight.pop((self.study.study_name, number), None)
        if not self.leases.settle(number):
            log.warning("trial %d was taken over by another driver; what this one found is left out", number)
            return
        values = outcome.values
        bad = values is None or not all(map(math.isfinite, values))
        if outcome.failure is not None and trial is not None:
            with_retries(trial.set_user_attr, FAILURE, str(outcome.failure))
        state = TrialState.PRUNED if outcome.pruned else TrialState.FAIL if bad else TrialState.COMPLETE
        try:
            # A lost connection may hide that an earlier try went through, hence the last argument.
            with_retries(self.study.tell, number, list(values) if state == TrialState.COMPLETE else None, state, True)
        except RuntimeError as error:
            # So do samplers of finite spaces speak that know no further point; the trial is told all the same.
            if "Study.stop" not in str(error):
                raise
            with_retries(self.study.set_user_attr, EXHAUSTED, True)

    def _noted(self, mark: str, default: Any = None) -> Any:
        """A mark on the study."""
        return with_retries(lambda: self.study.user_attrs.get(mark, default))

    def _elapsed(self) -> float:
        return self.seconds + time.monotonic() - self.clock

    def _note_seconds(self) -> None:
        if self._elapsed() - self.noted >= NOTED_EVERY_S:
            self.noted = self._elapsed()
            with_retries(self.study.set_user_attr, SECONDS, self.noted)


def n_finished(study: optuna.Study) -> int:
    """How many of the study's own trials have ended, well or not."""
    return len(own(with_retries(study.get_trials, False, FINISHED)))


def n_valued(study: optuna.Study) -> int:
    """How many of them came to a value, whole or pruned."""
    return len(own(with_retries(study.get_trials, False, (TrialState.COMPLETE, TrialState.PRUNED))))


def summary(study: optuna.Study) -> dict[str, Any]:
    """The content of `optimization_results.yaml`: Hydra's format, plus trial numbers."""
    done = own(with_retries(study.get_trials, False, (TrialState.COMPLETE,)))
    if len(study.directions) > 1:
        front = [t for t in study.best_trials if WARM not in t.user_attrs]
        return {
            "name": "optuna",
            "solutions": [{"number": t.number, "params": t.params, "values": t.values} for t in front],
        }
    if not done:
        return {"name": "optuna", "best_params": None, "best_value": None, "best_trial": None}
    sign = -1 if study.direction == optuna.study.StudyDirection.MAXIMIZE else 1
    best = min(done, key=lambda trial: (sign * trial.value, trial.number))
    return {"name": "optuna", "best_params": best.params, "best_value": best.value, "best_trial": best.number}
