"""The search loop: asks Optuna for points, has them evaluated, tells what came out. Plain Python, no Hydra.

A study's `n_trials` is its total. A trial that was interrupted is evaluated again under its number and with its
parameters; what it had written before it could be told is told first.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import TrialState

from phalanx.errors import PhalanxError

log = logging.getLogger(__name__)

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
DRAWN = "phalanx.drawn"  # set on a trial when all its parameters are drawn


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


Evaluate = Callable[[Sequence[Proposal]], Sequence[Outcome]]
Suggest = Callable[[optuna.Trial], None]


class TooManyFailures(PhalanxError):
    """More trials failed than `max_failure_rate` allows; everything finished is kept."""


def open_study(name: str, storage: str | None, directions: Sequence[str], sampler: Any) -> optuna.Study:
    """The study of that name, created if it does not exist; `storage` is a database URL, None keeps it in memory."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(
        study_name=name, storage=storage, directions=list(directions), sampler=sampler, load_if_exists=True
    )


def run_study(
    study: optuna.Study,
    suggest: Suggest,
    evaluate: Evaluate,
    *,
    n_trials: int,
    batch_size: int = 1,
    recorded: Callable[[int], Outcome | None] = lambda number: None,
    max_failure_rate: float = 1.0,
) -> None:
    """Evaluates until the study holds `n_trials` finished trials, those of earlier calls included.

    `suggest` draws the parameters of a fresh trial; `recorded(number)` gives the outcome that an interrupted trial
    had already written, or None. Raises `TooManyFailures`.
    """
    again = _interrupted(study, recorded)
    while (missing := n_trials - n_finished(study)) > 0:
        batch = again[:batch_size] or [_ask(study, suggest) for _ in range(min(batch_size, missing))]
        again = again[len(batch) :]
        for proposal, outcome in zip(batch, evaluate(batch), strict=True):
            _tell(study, proposal.number, outcome)
        _check_failures(study, max_failure_rate)


def n_finished(study: optuna.Study) -> int:
    """How many trials of the study have ended, well or not."""
    return len(study.get_trials(deepcopy=False, states=FINISHED))


def uniform_suggest(space: Mapping[str, BaseDistribution]) -> Suggest:
    """A `suggest` that draws every parameter of `space` for every trial."""

    def suggest(trial: optuna.Trial) -> None:
        for name, distribution in space.items():
            draw(trial, name, distribution)

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
    return Proposal(trial.number, trial.params)


def _tell(study: optuna.Study, number: int, outcome: Outcome) -> None:
    values = outcome.values
    if values is None or not all(map(math.isfinite, values)):
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
