"""The search loop on its own, with cheap functions in place of training."""

from __future__ import annotations

import optuna
import pytest
from optuna.distributions import distribution_to_json
from optuna.trial import TrialState
from sqlalchemy.exc import OperationalError

from phalanx.core.errors import RequestError
from phalanx.core.result import EpochMetrics
from phalanx.study import (
    Budget,
    Outcome,
    Pruning,
    TooManyFailures,
    TrialReference,
    check_fingerprint,
    n_finished,
    open_study,
    run_study,
    suggest_from,
    summary,
)

SPACE = {
    "x": optuna.distributions.FloatDistribution(-2, 2),
    "n": optuna.distributions.IntDistribution(1, 9, step=2),
    "kind": optuna.distributions.CategoricalDistribution(["a", "b"]),
}


def value(params):
    return (params["x"] - 1) ** 2 + params["n"] + (params["kind"] == "b")


def evaluate(proposals):
    return [Outcome((value(p.params),)) for p in proposals]


def study_at(tmp_path, seed=0):
    url = f"sqlite:///{tmp_path / 'study.db'}"
    return open_study("s", url, ["minimize"], optuna.samplers.RandomSampler(seed=seed))


def test_the_number_of_trials_is_a_total(tmp_path):
    for total, batch in ((4, 1), (4, 3), (7, 3)):
        run_study(study_at(tmp_path), suggest_from(SPACE), evaluate, budget=Budget(total, n_jobs=batch))
        assert n_finished(study_at(tmp_path)) == total


def test_values_and_the_best_are_as_evaluated(tmp_path):
    study = study_at(tmp_path)
    run_study(study, suggest_from(SPACE), evaluate, budget=Budget(9))
    assert all(t.value == value(t.params) for t in study.trials)
    found = summary(study)
    assert found["best_value"] == min(t.value for t in study.trials)
    assert study.trials[found["best_trial"]].params == found["best_params"]


class Killed(BaseException):
    pass


def test_an_interrupted_trial_is_evaluated_again_under_its_number(tmp_path):
    seen = []

    def dying(proposals):
        seen.extend(proposals)
        if len(seen) == 3:
            raise Killed
        return evaluate(proposals)

    with pytest.raises(Killed):
        run_study(study_at(tmp_path), suggest_from(SPACE), dying, budget=Budget(5))
    again = []
    study = study_at(tmp_path, seed=9)
    run_study(study, suggest_from(SPACE), lambda ps: again.extend(ps) or evaluate(ps), budget=Budget(5))
    assert again[0] == seen[2]
    assert [p.number for p in again] == [2, 3, 4]
    assert [t.state for t in study.trials] == [TrialState.COMPLETE] * 5


def test_a_result_that_was_written_but_not_told_is_not_trained_again(tmp_path):
    def dying(proposals):
        raise Killed

    with pytest.raises(Killed):
        run_study(study_at(tmp_path), suggest_from(SPACE), dying, budget=Budget(2))
    study, trained = study_at(tmp_path), []
    run_study(
        study, suggest_from(SPACE), lambda ps: trained.extend(ps) or evaluate(ps), budget=Budget(2),
        recorded=lambda number: Outcome((0.125,)) if number == 0 else None,
    )  # fmt: skip
    assert [p.number for p in trained] == [1]
    assert study.trials[0].value == 0.125


def test_a_trial_killed_while_it_was_being_drawn_does_not_stay_running(tmp_path):
    half = study_at(tmp_path).ask()
    x = half.suggest_float("x", -2, 2)
    study = study_at(tmp_path, seed=9)
    run_study(study, suggest_from(SPACE), evaluate, budget=Budget(3))
    assert [t.state for t in study.trials] == [TrialState.COMPLETE] * 3
    assert study.trials[0].params["x"] == x
    assert set(study.trials[0].params) == set(SPACE)


@pytest.mark.parametrize("bad", [None, (float("nan"),), (float("inf"),)])
def test_a_failed_trial_is_recorded_and_the_study_goes_on(bad, tmp_path):
    study = study_at(tmp_path)
    run_study(
        study, suggest_from(SPACE),
        lambda ps: [Outcome(bad) if p.number == 1 else Outcome((1.0,)) for p in ps], budget=Budget(3),
    )  # fmt: skip
    assert [t.state for t in study.trials] == [TrialState.COMPLETE, TrialState.FAIL, TrialState.COMPLETE]


def test_too_many_failures_stop_the_study(tmp_path):
    with pytest.raises(TooManyFailures, match=r"6 of 6 .* in 9"):
        run_study(
            study_at(tmp_path), suggest_from(SPACE), lambda ps: [Outcome(None) for _ in ps], budget=Budget(9, n_jobs=3, max_failure_rate=0.5),
        )  # fmt: skip


def test_a_failure_rate_is_one_of_the_study_and_not_of_its_beginning(tmp_path):
    def evaluate(proposals):
        return [Outcome(None if p.number == 0 else (float(p.number),)) for p in proposals]

    limits = {"max_failure_rate": 0.2}
    assert "n_trials=6" in run_study(study_at(tmp_path), suggest_from(SPACE), evaluate, budget=Budget(6, **limits))
    few = open_study("few", None, ["minimize"], optuna.samplers.RandomSampler(seed=0))
    with pytest.raises(TooManyFailures, match=r"1 of 2 .* in 2"):  # it ends early, and half of it has failed
        run_study(few, suggest_from(SPACE), evaluate, budget=Budget(100, target=2, **limits))


def test_a_study_without_any_success_has_a_summary(tmp_path):
    study = study_at(tmp_path)
    run_study(study, suggest_from(SPACE), lambda ps: [Outcome(None) for _ in ps], budget=Budget(2))
    assert summary(study)["best_value"] is None


def test_several_objectives_give_a_front():
    study = open_study("m", None, ["minimize", "maximize"], optuna.samplers.RandomSampler(seed=0))
    run_study(
        study,
        suggest_from(SPACE),
        lambda ps: [Outcome((p.params["x"], p.params["x"])) for p in ps],
        budget=Budget(4),
    )
    assert len(summary(study)["solutions"]) == 4


def valued(*values):
    left = iter(values)
    return lambda ps: [Outcome(None if (v := next(left)) is None else (v,)) for _ in ps]


@pytest.mark.parametrize(
    ("budget", "values", "n_trials", "reason"),
    [
        (Budget(3), [5, 4, 3], 3, "n_trials=3 reached"),
        (Budget(9, target=2.0), [5, 4, 2, 1], 3, "target=2 reached with 2"),
        (Budget(9, patience=2), [5, 4, 4, 6, 1], 4, "patience=2: no better value than 4 in 2 trials"),
        (Budget(9, patience=2), [None, None, None, 3, 3, 3, 3], 6, "patience=2: no better value than 3 in 2 trials"),
        (Budget(9, timeout_s=0.0), [], 0, "timeout_s=0 reached"),
    ],
)
def test_a_study_ends_at_the_first_budget_and_says_which(budget, values, n_trials, reason, tmp_path):
    study = study_at(tmp_path)
    ending = run_study(study, suggest_from(SPACE), valued(*values), budget=budget)
    assert n_finished(study) == n_trials
    assert ending.startswith(reason)


def test_a_target_is_reached_upwards_when_maximising():
    study = open_study("m", None, ["maximize"], optuna.samplers.RandomSampler(seed=0))
    assert "target=0.9" in run_study(study, suggest_from(SPACE), valued(0.1, 0.95), budget=Budget(5, target=0.9))


def test_the_time_of_earlier_starts_counts(tmp_path):
    run_study(study_at(tmp_path), suggest_from(SPACE), evaluate, budget=Budget(2))
    study = study_at(tmp_path)
    spent = study.user_attrs["phalanx.seconds"]
    assert spent > 0
    assert "timeout_s" in run_study(study, suggest_from(SPACE), evaluate, budget=Budget(9, timeout_s=spent / 2))
    assert n_finished(study) == 2


FIRST = {"space x": distribution_to_json(SPACE["x"]), "trainer.epochs": 20}


@pytest.mark.parametrize(
    ("later", "directions", "named"),
    [
        ({**FIRST, "trainer.epochs": 30}, ["minimize"], ["trainer.epochs: 20 then, 30 now"]),
        ({**FIRST, "space x": "other", "new": 1}, ["minimize"], ["space x: ", "new: None then, 1 now"]),
        ({"trainer.epochs": 20}, ["minimize"], ["space x: "]),
        (FIRST, ["maximize"], ["directions: ['minimize'] then, ['maximize'] now"]),
        (FIRST, ["minimize", "minimize"], ["directions: "]),
    ],
)
def test_a_study_that_was_started_otherwise_is_refused_by_name(later, directions, named, tmp_path):
    check_fingerprint(study_at(tmp_path), FIRST, ["minimize"])
    check_fingerprint(study_at(tmp_path), FIRST, ["minimize"])  # the same again goes on
    with pytest.raises(RequestError) as caught:
        check_fingerprint(study_at(tmp_path), later, directions)
    for text in (*named, "hydra.sweeper.study_name"):
        assert text in str(caught.value)
    check_fingerprint(study_at(tmp_path), FIRST, ["minimize"])  # the refusal changed nothing


def epoch(number, accuracy):
    return EpochMetrics(number, 1.0, 0.5, 0.5, 1.0, accuracy, 0.5, 0.1, 0.0)


def watch(proposal):
    return Pruning(proposal.trial, "val_accuracy")


def training(curves):
    """An `evaluate` that walks through a curve of validation accuracies as the trainer would, and may be pruned."""

    def evaluate(proposals):
        outcomes = []
        for proposal in proposals:
            watcher, seen = watch(proposal), []
            for step, value in enumerate(curves[proposal.number], start=1):
                seen.append(value)
                if watcher.on_epoch({0: epoch(step, value)}):
                    break
            pruned = len(seen) < len(curves[proposal.number])
            outcomes.append(Outcome((seen[-1],), pruned=pruned))
        return outcomes

    return evaluate


CURVES = [[0.1, 0.5, 0.9], [0.1, 0.6, 0.8], [0.1, 0.2, 0.95], [0.2, 0.7, 0.85]]


def pruned_study(tmp_path, pruner, curves=CURVES):
    url = f"sqlite:///{tmp_path / 'study.db'}"
    study = open_study("s", url, ["maximize"], optuna.samplers.RandomSampler(seed=0), pruner)
    run_study(study, suggest_from(SPACE), training(curves), budget=Budget(len(curves)))
    return study


def test_a_pruner_hears_every_epoch_and_stops_what_it_judges_hopeless(tmp_path):
    study = pruned_study(tmp_path, optuna.pruners.MedianPruner(n_startup_trials=2, n_warmup_steps=1))
    assert [t.state.name for t in study.trials] == ["COMPLETE", "COMPLETE", "PRUNED", "COMPLETE"]
    assert study.trials[2].intermediate_values == {1: 0.1, 2: 0.2}
    assert study.trials[3].intermediate_values == {1: 0.2, 2: 0.7, 3: 0.85}


@pytest.mark.parametrize(("silence", "heard"), [(0, {1: 0.9, 3: 0.7, 4: 0.1}), (1000, {1: 0.9})])
def test_a_trial_is_pruned_again_when_its_storage_is_back(silence, heard, monkeypatch, caplog):
    """What was not heard is left out; a storage that is away is not asked at every epoch."""
    monkeypatch.setattr("phalanx.study.pruning.SILENCE_S", silence)
    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.ThresholdPruner(lower=0.2))
    trial = study.ask()
    watcher, report = Pruning(trial, "val_accuracy"), trial.report

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
def test_an_interrupted_trial_reports_again_without_a_word(tmp_path):
    def dying(proposals):
        watch(proposals[0]).on_epoch({0: epoch(1, 0.1)})
        raise Killed

    pruner = optuna.pruners.MedianPruner(n_startup_trials=1)
    url = f"sqlite:///{tmp_path / 'study.db'}"
    with pytest.raises(Killed):
        run_study(open_study("s", url, ["maximize"], None, pruner), suggest_from(SPACE), dying, budget=Budget(1))
    study = pruned_study(tmp_path, pruner, CURVES[:1])
    assert study.trials[0].intermediate_values == {1: 0.1, 2: 0.5, 3: 0.9}


def test_a_pruner_with_several_objectives_is_refused():
    with pytest.raises(RequestError, match="pruner must be none with several objectives, got MedianPruner"):
        open_study("m", None, ["minimize", "maximize"], None, optuna.pruners.MedianPruner())
