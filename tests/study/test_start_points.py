"""Points to try first, and the trials of another study."""

from __future__ import annotations

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState
from support.studies import (
    SPACE,
    WHEN,
    good,
    study,
)

from phalanx.core.errors import RequestError, SpecError
from phalanx.study import (
    Budget,
    Outcome,
    enqueue,
    n_finished,
    run_study,
    start_points,
    suggest_from,
    summary,
    warm_start,
)


def test_points_to_try_first_come_first_and_once(tmp_path):
    points = start_points([{"lr": 0.1, "kind": "adam"}, {"kind": [128, 64], "width": 16}], SPACE, WHEN)
    for total in (1, 5):
        found = study(tmp_path)
        enqueue(found, points)
        run_study(found, suggest_from(SPACE, WHEN), good, budget=Budget(total))
    trials = study(tmp_path).trials
    assert (trials[0].params["lr"], trials[0].params["kind"]) == (0.1, "adam")
    assert (trials[1].params["kind"], trials[1].params["width"]) == ("[128,64]", 16)
    assert [t.state for t in trials] == [TrialState.COMPLETE] * 5


@pytest.mark.parametrize(
    ("point", "words"),
    [
        ({"rate": 1}, r"enqueue\[0\]\.rate: rate is not searched; searched: lr, width, kind, momentum"),
        ({"lr": 2.0}, r"enqueue\[0\]\.lr must be from 0.0001 to 1, got 2.0"),
        ({"lr": "fast"}, "must be from 0.0001 to 1, got 'fast'"),
        ({"width": 9}, "must be from 8 to 64 in steps of 8, got 9"),
        ({"kind": "rmsprop"}, "must be one of sgd, adam"),
        ({"kind": "adam", "momentum": 0.5}, "exists only where kind is sgd, got 'adam'"),
    ],
)
def test_a_start_point_outside_the_space_is_refused_by_name(point, words):
    with pytest.raises(SpecError, match=words):
        start_points([point], SPACE, WHEN)


def test_trials_of_another_study_inform_the_sampler_and_count_for_no_budget(tmp_path):
    first = study(tmp_path, "first")
    run_study(first, suggest_from(SPACE, WHEN), good, budget=Budget(6))
    second = study(tmp_path, "second", sampler=optuna.samplers.RandomSampler(seed=5))
    narrow = {**SPACE, "lr": FloatDistribution(1e-4, 0.01, log=True)}
    inside = sum(t.params["lr"] <= 0.01 for t in first.trials)
    assert 0 < inside < 6
    assert warm_start(second, first, narrow) == (inside, 6 - inside)
    assert warm_start(second, first, narrow) == (0, 0)
    run_study(
        second, suggest_from(narrow, WHEN), lambda ps: [Outcome((99.0,)) for _ in ps], budget=Budget(2, patience=5)
    )
    assert n_finished(second) == 2
    assert summary(second)["best_value"] == 99.0
    assert [t.number for t in second.trials][-2:] == [inside, inside + 1]


def test_a_study_with_another_objective_is_no_start(tmp_path):
    with pytest.raises(RequestError, match="warm_start"):
        warm_start(study(tmp_path, "a"), study(tmp_path, "b", ("maximize",)), SPACE)
