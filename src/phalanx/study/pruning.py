"""Pruning: reports a trial's objective each epoch and stops the trial when the study's pruner says so."""

from __future__ import annotations

import logging
import statistics
import time
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import optuna

from phalanx.core.callbacks import Callback
from phalanx.core.result import EpochMetrics
from phalanx.study.open_study import open_study
from phalanx.study.storage import lost, reason, with_retries

log = logging.getLogger(__name__)

SILENCE_S = 15.0  # how long a storage that did not answer is not asked again: training does not wait for it


@dataclass(frozen=True)
class TrialReference:
    """A trial of a stored study, to report to from another process; can be pickled."""

    study: str
    number: int
    storage: str  # a URL as `open_study` takes it
    pruner: optuna.pruners.BasePruner | None

    @classmethod
    def of(cls, trial: optuna.Trial, storage: str) -> TrialReference | None:
        """Returns the reference to a trial of a study that is kept at the URL `storage`; None where nothing prunes."""
        study = trial.study
        return None if _never_prunes(study.pruner) else cls(study.study_name, trial.number, storage, study.pruner)

    def __call__(self) -> optuna.Trial | None:
        """Opens the trial; None where nothing prunes. Raises `StorageLost` if its storage does not answer."""
        return None if _never_prunes(self.pruner) else with_retries(self._open)

    def _open(self) -> optuna.Trial:
        study = open_study(self.study, self.storage, None, None, self.pruner)
        # The number of a stored trial is public, its id is not; tests/study/test_loop.py holds the contract.
        return optuna.Trial(study, study.get_trials(deepcopy=False)[self.number]._trial_id)


def _never_prunes(pruner: optuna.pruners.BasePruner | None) -> bool:
    return pruner is None or isinstance(pruner, optuna.pruners.NopPruner)


def try_pruner(pruner: optuna.pruners.BasePruner) -> None:
    """Asks a pruner about a trial of a study in memory; raises what it raises, since some options fail no earlier."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(pruner=pruner)
    finally:
        optuna.logging.set_verbosity(verbosity)
    for _ in range(2):  # a first trial is compared with nothing
        trial = study.ask()
        for epoch in (1, 2):
            trial.report(0.0, epoch)
            trial.should_prune()
        study.tell(trial, 0.0)


class Pruning(Callback):
    """Reports the mean objective of a trial's seeds each epoch, and prunes them together.

    The pruner is not asked after the last epoch, when there is nothing left to save.
    """

    def __init__(self, trial: optuna.Trial | None, objective: str, n_epochs: int) -> None:
        """Reports nothing yet, and never does so without a trial or with `NopPruner`.

        Args:
            trial: The trial of the study.
            objective: The name of a number in `EpochMetrics`.
            n_epochs: The number of epochs that the trial trains if nothing ends it before.
        """
        self.trial = None if trial is None or _never_prunes(trial.study.pruner) else trial
        self.objective, self.n_epochs, self.retry_at, self.warned = objective, n_epochs, 0.0, False

    def on_epoch(self, rows: Mapping[int, EpochMetrics]) -> Collection[int]:
        if self.trial is None or time.monotonic() < self.retry_at:
            return ()
        value = statistics.fmean(row[self.objective] for row in rows.values())
        epoch = next(iter(rows.values())).epoch
        return tuple(rows) if self._should_stop(self.trial, value, epoch) else ()

    def _should_stop(self, trial: optuna.Trial, value: float, epoch: int) -> bool:
        try:
            with warnings.catch_warnings():
                # An interrupted trial reports epochs again that its first attempt had reported, with equal values.
                warnings.filterwarnings("ignore", message="The reported value is ignored")
                trial.report(value, epoch)
            return epoch < self.n_epochs and trial.should_prune()
        except Exception as error:
            if not lost(error):
                raise
            self.retry_at = time.monotonic() + SILENCE_S
            if not self.warned:
                self.warned = True
                log.warning("a trial goes on without pruning until the study's storage answers: %s", reason(error))
            return False
