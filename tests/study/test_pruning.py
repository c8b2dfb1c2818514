"""Trials report each epoch to their study, and its pruner stops them."""

from __future__ import annotations

import optuna
import pytest
from sqlalchemy.exc import OperationalError
from support.studies import (
    SMALL,
    Killed,
    epoch,
)

from phalanx.core.errors import RequestError
from phalanx.study import (
    Budget,
    Outcome,
    Pruning,
    TrialReference,
    open_study,
    run_study,
    suggest_from,
)


def watch(proposal):
    return Pruning(proposal.trial, "val_accuracy", 3)


def training(curves):
    """An `evaluate` that walks through a curve of validation accuracies as the trainer would, and may be pruned."""

    def evaluate(proposals):
        outcomes = []
        for proposal in proposals:
            watcher, seen, pruned = watch(proposal), [], False
            for step, value in enumerate(curves[proposal.number], start=1):
                seen.append(value)
                if pruned := bool(watcher.on_epoch({0: epoch(step, value)})):
                    break
            outcomes.append(Outcome((seen[-1],), pruned=pruned))
        return outcomes

    return evaluate


CURVES = [[0.1, 0.5, 0.9], [0.1, 0.6, 0.8], [0.1, 0.2, 0.95], [0.2, 0.7, 0.85]]


def pruned_study(tmp_path, pruner, curves=CURVES):
    url = f"sqlite:///{tmp_path / 'study.db'}"
    study = open_study("s", url, ["maximize"], optuna.samplers.RandomSampler(seed=0), pruner)
    run_study(study, suggest_from(SMALL), training(curves), budget=Budget(len(curves)))
    return study


def test_a_pruner_gets_every_epoch_and_stops_trials(tmp_path):
    study = pruned_study(tmp_path, optuna.pruners.MedianPruner(n_startup_trials=2, n_warmup_steps=1))
    assert [t.state.name for t in study.trials] == ["COMPLETE", "COMPLETE", "PRUNED", "COMPLETE"]
    assert study.trials[2].intermediate_values == {1: 0.1, 2: 0.2}
    assert study.trials[3].intermediate_values == {1: 0.2, 2: 0.7, 3: 0.85}


def test_a_pruner_is_not_asked_after_the_last_epoch(tmp_path):
    """Its third epoch is below all others, but there is nothing left to save."""
    study = pruned_study(tmp_path, optuna.pruners.ThresholdPruner(lower=0.2), [[0.5, 0.5, 0.1], [0.5, 0.1, 0.5]])
    assert [t.state.name for t in study.trials] == ["COMPLETE", "PRUNED"]
    assert study.trials[0].intermediate_values == {1: 0.5, 2: 0.5, 3: 0.1}


@pytest.mark.parametrize(("silence", "heard"), [(0, {1: 0.9, 3: 0.7, 4: 0.1}), (1000, {1: 0.9})])
def test_a_trial_is_pruned_again_when_its_storage_is_back(silence, heard, monkeypatch, caplog):
    """What was not heard is left out; a storage that is away is not asked at every epoch."""
    monkeypatch.setattr("phalanx.study.pruning.SILENCE_S", silence)
    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.ThresholdPruner(lower=0.2))
    trial = study.ask()
    watcher, report = Pruning(trial, "val_accuracy", 9), trial.report

    def away(value, step):
        raise optuna.exceptions.StorageInternalError("the server closed the connection")

    stopped = []
    for step, value in enumerate((0.9, 0.8, 0.7, 0.1), start=1):
        monkeypatch.setattr(trial, "report", away if step == 2 else report)
        stopped.append(bool(watcher.on_epoch({0: epoch(step, value)})))
    assert study.trials[0].intermediate_values == heard
    assert stopped == [False, False, False, silence == 0]
    assert caplog.text.count("goes on without pruning until the study's storage answers: the server closed") == 1


def test_a_job_waits_for_the_storage_that_it_reports_to(tmp_path, monkeypatch):
    pruned_study(tmp_path, None)
    calls = []

    def away_once(*args):
        calls.append(args)
        if len(calls) == 1:
            raise RequestError("cannot be opened") from OperationalError("SELECT", {}, Exception("refused"))
        return open_study(*args)

    monkeypatch.setattr("phalanx.study.storage.PAUSES_S", (0,))
    monkeypatch.setattr("phalanx.study.pruning.open_study", away_once)
    trial = TrialReference("s", 1, f"sqlite:///{tmp_path / 'study.db'}", optuna.pruners.MedianPruner())()
    assert (trial.number, len(calls)) == (1, 2)


def test_without_a_pruner_nothing_is_reported(tmp_path):
    study = pruned_study(tmp_path, None)
    assert all(t.intermediate_values == {} for t in study.trials)


@pytest.mark.filterwarnings("error")
def test_an_interrupted_trial_reports_again_without_warnings(tmp_path):
    def dying(proposals):
        watch(proposals[0]).on_epoch({0: epoch(1, 0.1)})
        raise Killed

    pruner = optuna.pruners.MedianPruner(n_startup_trials=1)
    url = f"sqlite:///{tmp_path / 'study.db'}"
    with pytest.raises(Killed):
        run_study(open_study("s", url, ["maximize"], None, pruner), suggest_from(SMALL), dying, budget=Budget(1))
    study = pruned_study(tmp_path, pruner, CURVES[:1])
    assert study.trials[0].intermediate_values == {1: 0.1, 2: 0.5, 3: 0.9}
