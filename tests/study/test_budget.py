"""Budgets end a study at the first one that is reached, over all starts together."""

from __future__ import annotations

import optuna
import pytest
from support.studies import (
    SMALL,
    SPACE,
    evaluate,
    good,
    study,
    study_at,
    valued,
)

from phalanx.core.errors import Failure, RequestError
from phalanx.study import (
    Budget,
    Outcome,
    TooManyFailures,
    n_finished,
    open_study,
    run_study,
    suggest_from,
)


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
    ending = run_study(study, suggest_from(SMALL), valued(*values), budget=budget)
    assert n_finished(study) == n_trials
    assert ending.startswith(reason)


def test_a_target_is_reached_upwards_when_maximising():
    study = open_study("m", None, ["maximize"], optuna.samplers.RandomSampler(seed=0))
    assert "target=0.9" in run_study(study, suggest_from(SMALL), valued(0.1, 0.95), budget=Budget(5, target=0.9))


def test_the_time_of_earlier_starts_counts(tmp_path):
    run_study(study_at(tmp_path), suggest_from(SMALL), evaluate, budget=Budget(2))
    study = study_at(tmp_path)
    spent = study.user_attrs["phalanx.seconds"]
    assert spent > 0
    assert "timeout_s" in run_study(study, suggest_from(SMALL), evaluate, budget=Budget(9, timeout_s=spent / 2))
    assert n_finished(study) == 2


def test_too_many_failures_stop_the_study(tmp_path):
    with pytest.raises(TooManyFailures, match=r"6 of 6 .* in 9"):
        run_study(
            study_at(tmp_path), suggest_from(SMALL), lambda ps: [Outcome(None) for _ in ps], budget=Budget(9, n_jobs=3, max_failure_rate=0.5),
        )  # fmt: skip


def test_a_failure_rate_is_one_of_the_study_and_not_of_its_beginning(tmp_path):
    def evaluate(proposals):
        return [Outcome(None if p.number == 0 else (float(p.number),)) for p in proposals]

    limits = {"max_failure_rate": 0.2}
    assert "n_trials=6" in run_study(study_at(tmp_path), suggest_from(SMALL), evaluate, budget=Budget(6, **limits))
    few = open_study("few", None, ["minimize"], optuna.samplers.RandomSampler(seed=0))
    with pytest.raises(TooManyFailures, match=r"1 of 2 .* in 2"):  # it ends early, and half of it has failed
        run_study(few, suggest_from(SMALL), evaluate, budget=Budget(100, target=2, **limits))


def test_the_first_failed_trial_ends_a_study_that_is_to_fail_fast_and_a_diverged_one_does_not():
    kinds = iter([Failure.DIVERGED, None, Failure.DATA, None])

    def evaluate(proposals):
        kind = next(kinds)
        return [Outcome(None if kind else (1.0,), "bad", failure=kind)]

    found = study()
    with pytest.raises(TooManyFailures, match=r"trial 2 failed \(data\)"):
        run_study(found, suggest_from(SPACE), evaluate, budget=Budget(9, fail_fast=True))
    assert n_finished(found) == 3


@pytest.mark.parametrize("budget", [Budget(target=0.1), Budget(patience=3)])
def test_a_budget_that_needs_one_value_is_refused_with_several(budget):
    with pytest.raises(RequestError, match="there are 2 objectives"):
        run_study(study(directions=("minimize", "minimize")), suggest_from(SPACE), good, budget=budget)
