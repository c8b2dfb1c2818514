"""The search loop: asks Optuna for points, has them evaluated, tells what came out. Plain Python, no Hydra.

A study's `n_trials` is its total, as are its other budgets. A trial that was interrupted is evaluated again under its
number and with its parameters; what it had written before it could be told is told first.
"""

from __future__ import annotations

import logging
import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import TrialState

from phalanx.conditions import order, parse
from phalanx.errors import PhalanxError, RequestError
from phalanx.fields import Spec, static
from phalanx.observer import Observer
from phalanx.result import EpochMetrics

log = logging.getLogger(__name__)

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
DRAWN = "phalanx.drawn"  # set on a trial when all its parameters are drawn
FINGERPRINT = "phalanx.fingerprint"  # set on a study: what every start of it has to agree on
SECONDS = "phalanx.seconds"  # set on a study: wall time of all its starts so far


@dataclass(frozen=True)
class Proposal:
    """A point to evaluate: the trial's number in the study and a value for each parameter."""

    number: int
    params: Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What became of a proposal; `values` is None for a trial that failed or diverged."""

    values: tuple[float, ...] | None
    error: str | None = None
    pruned: bool = False


Evaluate = Callable[[Sequence[Proposal]], Sequence[Outcome]]
Suggest = Callable[[optuna.Trial], None]


@dataclass(frozen=True)
class Budget(Spec):
    """When a study ends: at the first of these that is reached. None sets no limit."""

    group: ClassVar[str] = "hydra.sweeper"
    n_trials: int = static(20, low=1)
    timeout_s: float | None = static(None, low=0)  # wall time of all starts together
    target: float | None = static(None)  # an objective value that is good enough
    patience: int | None = static(None, low=1)  # finished trials in a row without a better value
    max_failure_rate: float = static(1.0, low=0, high=1)  # a larger part of all finished trials is an error
    n_jobs: int = static(1, low=1)  # trials that are asked for at a time

    def spent(self, study: optuna.Study) -> str | None:
        """Which budget is used up, in words; None while the study goes on."""
        trials = study.get_trials(deepcopy=False, states=FINISHED)
        if len(trials) >= self.n_trials:
            return f"n_trials={self.n_trials} reached"
        seconds = study.user_attrs.get(SECONDS, 0.0)
        if self.timeout_s is not None and seconds >= self.timeout_s:
            return f"timeout_s={self.timeout_s:g} reached after {seconds:.1f} s"
        if len(study.directions) > 1:
            return None
        sign = -1 if study.direction == optuna.study.StudyDirection.MAXIMIZE else 1
        values = [math.inf if trial.value is None else sign * trial.value for trial in trials]
        best = min(values, default=math.inf)
        if self.target is not None and best <= sign * self.target:
            return f"target={self.target:g} reached with {sign * best:g}"
        if self.patience is not None and best < math.inf and len(values) - 1 - values.index(best) >= self.patience:
            return f"patience={self.patience}: no better value than {sign * best:g} in {self.patience} trials"
        return None


class TooManyFailures(PhalanxError):
    """More trials failed than `max_failure_rate` allows; everything finished is kept."""


_live: dict[int, optuna.Trial] = {}  # the trials of this process's study that are being evaluated now


class Pruning(Observer):
    """Reports a trial's objective each epoch and has it pruned when the study's pruner says so."""

    def __init__(self, number: int, objective: str) -> None:
        trial = _live.get(number)
        pruner = None if trial is None else trial.study.pruner
        self.trial = None if isinstance(pruner, optuna.pruners.NopPruner) else trial
        self.objective = objective

    def on_epoch(self, trial: int, metrics: EpochMetrics) -> bool:
        if self.trial is None:
            return False
        with warnings.catch_warnings():
            # An interrupted trial reports epochs again that its first attempt had reported, with the same values.
            warnings.filterwarnings("ignore", message="The reported value is ignored")
            self.trial.report(getattr(metrics, self.objective), metrics.epoch)
        return self.trial.should_prune()


def open_study(
    name: str, storage: str | None, directions: Sequence[str], sampler: Any, pruner: Any = None
) -> optuna.Study:
    """The study of that name, created if it does not exist; `storage` is a database URL, None keeps it in memory.

    Raises `RequestError` for a pruner with several objectives, which has no one value to compare by.
    """
    pruner = pruner or optuna.pruners.NopPruner()
    if len(directions) > 1 and not isinstance(pruner, optuna.pruners.NopPruner):
        raise RequestError(
            f"hydra/sweeper/pruner must be none with several objectives, got {type(pruner).__name__}; a pruner "
            "compares trials by one value; try hydra/sweeper/pruner=none"
        )
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(
        study_name=name, storage=storage, directions=list(directions), sampler=sampler, pruner=pruner,
        load_if_exists=True,
    )  # fmt: skip


def agree(study: optuna.Study, fingerprint: Mapping[str, Any], directions: Sequence[str]) -> None:
    """Marks a new study with what determines it, and refuses to go on with one that was started otherwise.

    Optuna itself takes another direction, range or configuration in silence. Raises `RequestError` naming every
    difference.
    """
    own = {**fingerprint, "directions": [d.name.lower() for d in study.directions]}
    now = {**fingerprint, "directions": list(directions)}
    then = study.user_attrs.get(FINGERPRINT)
    if then is None:
        study.set_user_attr(FINGERPRINT, own)
        then = own
    differ = [key for key in {**then, **now} if then.get(key) != now.get(key)]
    if differ:
        lines = [f"  - {key}: {then.get(key)!r} then, {now.get(key)!r} now" for key in differ]
        raise RequestError(
            f"the study {study.study_name!r} exists and was started otherwise:\n" + "\n".join(lines) + "\n"
            "type the same again to go on with it, or take another hydra.sweeper.study_name for a new one"
        )


def run_study(
    study: optuna.Study,
    suggest: Suggest,
    evaluate: Evaluate,
    *,
    budget: Budget,
    recorded: Callable[[int], Outcome | None] = lambda number: None,
) -> str:
    """Evaluates until a budget is spent, trials of earlier calls included, and returns which one, in words.

    `suggest` draws the parameters of a fresh trial; `recorded(number)` gives the outcome that an interrupted trial
    had already written, or None. Raises `TooManyFailures`.
    """
    again = _interrupted(study, recorded)
    while (ending := budget.spent(study)) is None:
        started = time.monotonic()
        missing = budget.n_trials - n_finished(study)
        batch = again[: budget.n_jobs] or [_ask(study, suggest) for _ in range(min(budget.n_jobs, missing))]
        again = again[len(batch) :]
        for proposal, outcome in zip(batch, evaluate(batch), strict=True):
            _tell(study, proposal.number, outcome)
        study.set_user_attr(SECONDS, study.user_attrs.get(SECONDS, 0.0) + time.monotonic() - started)
        _check_failures(study, budget.max_failure_rate)
    return ending


def n_finished(study: optuna.Study) -> int:
    """How many trials of the study have ended, well or not."""
    return len(study.get_trials(deepcopy=False, states=FINISHED))


def suggest_from(space: Mapping[str, BaseDistribution], when: Mapping[str, str] | None = None) -> Suggest:
    """A `suggest` that draws the parameters of `space`, those with a condition in `when` only where it holds.

    Conditions are text, see `phalanx.conditions`. Raises `SpecError` with all their faults.
    """
    choices = {name: getattr(distribution, "choices", None) for name, distribution in space.items()}
    conditions = parse(when or {}, choices)
    names = order(space, conditions)

    def suggest(trial: optuna.Trial) -> None:
        drawn: dict[str, Any] = {}
        for name in names:
            if all(condition.holds(drawn) for condition in conditions.get(name, ())):
                drawn[name] = draw(trial, name, space[name])

    return suggest


def draw(trial: optuna.Trial, name: str, distribution: BaseDistribution) -> Any:
    """One parameter through Optuna's public `suggest_*`."""
    if isinstance(distribution, optuna.distributions.CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    if isinstance(distribution, optuna.distributions.IntDistribution):
        return trial.suggest_int(
            name, distribution.low, distribution.high, step=distribution.step, log=distribution.log
        )
    return trial.suggest_float(name, distribution.low, distribution.high, step=distribution.step, log=distribution.log)


def summary(study: optuna.Study) -> dict[str, Any]:
    """The content of `optimization_results.yaml`: Hydra's format, plus trial numbers."""
    if len(study.directions) > 1:
        front = [{"number": t.number, "params": t.params, "values": t.values} for t in study.best_trials]
        return {"name": "optuna", "solutions": front}
    if not study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        return {"name": "optuna", "best_params": None, "best_value": None, "best_trial": None}
    best = study.best_trial
    return {"name": "optuna", "best_params": best.params, "best_value": best.value, "best_trial": best.number}


def _interrupted(study: optuna.Study, recorded: Callable[[int], Outcome | None]) -> list[Proposal]:
    """Trials that a killed process left running: told where their result was written, else proposed again."""
    proposals = []
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        outcome = recorded(trial.number)
        if outcome is not None:
            _tell(study, trial.number, outcome)
        elif trial.user_attrs.get(DRAWN):
            # The number of a stored trial is public, its id is not; tests/test_study.py holds the contract.
            _live[trial.number] = optuna.Trial(study, trial._trial_id)
            proposals.append(Proposal(trial.number, trial.params))
        else:  # killed between ask and the last suggest: there is no point to evaluate again
            study.tell(trial.number, state=TrialState.FAIL)
    if proposals:
        log.info("evaluating %d interrupted trials again", len(proposals))
    return proposals


def _ask(study: optuna.Study, suggest: Suggest) -> Proposal:
    trial = study.ask()
    suggest(trial)
    trial.set_user_attr(DRAWN, True)
    _live[trial.number] = trial
    return Proposal(trial.number, trial.params)


def _tell(study: optuna.Study, number: int, outcome: Outcome) -> None:
    values = outcome.values
    _live.pop(number, None)
    if outcome.pruned:
        study.tell(number, state=TrialState.PRUNED)
    elif values is None or not all(map(math.isfinite, values)):
        study.tell(number, state=TrialState.FAIL)
    else:
        study.tell(number, list(values))


def _check_failures(study: optuna.Study, max_failure_rate: float) -> None:
    states = [trial.state for trial in study.get_trials(deepcopy=False, states=FINISHED)]
    failed = states.count(TrialState.FAIL)
    if failed > max_failure_rate * len(states):
        raise TooManyFailures(
            f"{failed} of {len(states)} finished trials failed, more than hydra.sweeper.max_failure_rate="
            f"{max_failure_rate:g} allows; their errors are in trials.csv"
        )
