"""Reports a trial's objective each epoch and has it pruned when the study's pruner says so, from any process."""

from __future__ import annotations

import logging
import statistics
import time
import warnings
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import optuna

from phalanx.core.callbacks import Callback
from phalanx.core.result import EpochMetrics
from phalanx.study.open_study import open_study
from phalanx.study.storage import lost, reason, with_retries

log = logging.getLogger(__name__)

SILENCE_S = 15.0  # how long a storage that did not answer is not asked again: training does not wait for it

in_flight: dict[
    tuple[str, int], optuna.Trial
] = {}  # (study, number): trials that this process's own loop has in flight


def find_trial(study_name: str, number: int, storage: str | None, pruner: Callable[[], Any]) -> optuna.Trial | None:
    """The study's trial of that number: this process's own where there is one, else through the study's storage.

    None where pruning is off. `pruner` makes the pruner, `storage` is a database URL.
    """
    if (study_name, number) in in_flight:
        trial = in_flight[study_name, number]
        return None if isinstance(trial.study.pruner, optuna.pruners.NopPruner) else trial
    made = pruner() if storage is not None else None
    if made is None or isinstance(made, optuna.pruners.NopPruner):
        return None
    return with_retries(_stored, study_name, number, storage, made)


def _stored(study_name: str, number: int, storage: str, pruner: Any) -> optuna.Trial:
    study = open_study(study_name, storage, None, None, pruner)
    # The number of a stored trial is public, its id is not; tests/test_study.py holds the contract.
    return optuna.Trial(study, study.get_trials(deepcopy=False)[number]._trial_id)


@dataclass(frozen=True)
class Address:
    """Finds a trial from another process; can be pickled."""

    study: str
    number: int
    storage: str
    pruner: optuna.pruners.BasePruner

    @classmethod
    def of(cls, trial: optuna.Trial, storage: str) -> Address:
        """The address of a trial whose study is kept at the URL `storage`."""
        return cls(trial.study.study_name, trial.number, storage, trial.study.pruner)

    def __call__(self) -> optuna.Trial | None:
        return find_trial(self.study, self.number, self.storage, lambda: self.pruner)


class Pruning(Callback):
    """Watches the seeds of one trial: their mean is reported, and they are pruned together."""

    def __init__(self, trial: optuna.Trial | None, objective: str) -> None:
        self.trial, self.objective = trial, objective
        self.again, self.told = 0.0, False

    def on_epoch(self, rows: Mapping[int, EpochMetrics]) -> Collection[int]:
        if self.trial is None or time.monotonic() < self.again:
            return ()
        value = statistics.fmean(getattr(row, self.objective) for row in rows.values())
        epoch = next(iter(rows.values())).epoch
        return tuple(rows) if self._should_stop(value, epoch) else ()

    def _should_stop(self, value: float, epoch: int) -> bool:
        try:
            with warnings.catch_warnings():
                # An interrupted trial reports epochs again that its first attempt had reported, with equal values.
                warnings.filterwarnings("ignore", message="The reported value is ignored")
                self.trial.report(value, epoch)
            return self.trial.should_prune()
        except Exception as error:
            if not lost(error):
                raise
            self.again = time.monotonic() + SILENCE_S
            if not self.told:
                self.told = True
                log.warning("a trial goes on without pruning until the study's storage answers: %s", reason(error))
            return False
