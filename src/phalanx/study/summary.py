"""What a study has reached: counts, points, and the content of `optimization_results.yaml`."""

from collections.abc import Mapping
from typing import Any

import optuna
from optuna.trial import TrialState

from phalanx.study.proposals import FINISHED, Value, own_trials
from phalanx.study.storage import with_retries


def n_finished(study: optuna.Study) -> int:
    """Returns how many of the study's own trials have ended, with a value or without."""
    return len(own_trials(with_retries(study.get_trials, False, FINISHED)))


def n_valued(study: optuna.Study) -> int:
    """Returns how many of the study's own trials have a value, pruned ones included."""
    return len(own_trials(with_retries(study.get_trials, False, (TrialState.COMPLETE, TrialState.PRUNED))))


def points_of(study: optuna.Study) -> dict[int, Mapping[str, Value]]:
    """Returns the parameters of the study's own trials, by number."""
    return {trial.number: trial.params for trial in own_trials(with_retries(study.get_trials, False))}


def summary(study: optuna.Study) -> dict[str, Any]:
    """Returns the content of `optimization_results.yaml`: Hydra's format, plus trial numbers."""
    done = own_trials(with_retries(study.get_trials, False, (TrialState.COMPLETE,)))
    if len(study.directions) > 1:
        front = [{"number": t.number, "params": t.params, "values": t.values} for t in own_trials(study.best_trials)]
        return {"name": "optuna", "solutions": front}
    if not done:
        return {"name": "optuna", "best_params": None, "best_value": None, "best_trial": None}
    sign = -1 if study.direction == optuna.study.StudyDirection.MAXIMIZE else 1
    _, number = min((sign * (trial.value or 0.0), trial.number) for trial in done)
    best = next(trial for trial in done if trial.number == number)
    return {"name": "optuna", "best_params": best.params, "best_value": best.value, "best_trial": best.number}
