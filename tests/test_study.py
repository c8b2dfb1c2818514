"""The search loop on its own, with cheap functions in place of training."""

from __future__ import annotations

import optuna
import pytest
from optuna.trial import TrialState

from phalanx.study import (
    FINISHED,
    Outcome,
    TooManyFailures,
    n_finished,
    open_study,
    run_study,
    summary,
    uniform_suggest,
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
        run_study(study_at(tmp_path), uniform_suggest(SPACE), evaluate, n_trials=total, batch_size=batch)
        assert n_finished(study_at(tmp_path)) == total


def test_values_and_the_best_are_as_evaluated(tmp_path):
    study = study_at(tmp_path)
    run_study(study, uniform_suggest(SPACE), evaluate, n_trials=9)
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
        run_study(study_at(tmp_path), uniform_suggest(SPACE), dying, n_trials=5)
    again = []
    study = study_at(tmp_path, seed=9)
    run_study(study, uniform_suggest(SPACE), lambda ps: again.extend(ps) or evaluate(ps), n_trials=5)
    assert again[0] == seen[2]
    assert [p.number for p in again] == [2, 3, 4]
    assert [t.state for t in study.trials] == [TrialState.COMPLETE] * 5


def test_a_result_that_was_written_but_not_told_is_not_trained_again(tmp_path):
    def dying(proposals):
        raise Killed

    with pytest.raises(Killed):
        run_study(study_at(tmp_path), uniform_suggest(SPACE), dying, n_trials=2)
    study, trained = study_at(tmp_path), []
    run_study(
        study, uniform_suggest(SPACE), lambda ps: trained.extend(ps) or evaluate(ps), n_trials=2,
        recorded=lambda number: Outcome((0.125,)) if number == 0 else None,
    )  # fmt: skip
    assert [p.number for p in trained] == [1]
    assert study.trials[0].value == 0.125


def test_a_trial_killed_while_it_was_being_drawn_does_not_stay_running(tmp_path):
    study_at(tmp_path).ask()
    study = study_at(tmp_path)
    run_study(study, uniform_suggest(SPACE), evaluate, n_trials=3)
    assert all(t.state in FINISHED for t in study.trials)


@pytest.mark.parametrize("bad", [None, (float("nan"),), (float("inf"),)])
def test_a_failed_trial_is_recorded_and_the_study_goes_on(bad, tmp_path):
    study = study_at(tmp_path)
    run_study(
        study, uniform_suggest(SPACE),
        lambda ps: [Outcome(bad) if p.number == 1 else Outcome((1.0,)) for p in ps], n_trials=3,
    )  # fmt: skip
    assert [t.state for t in study.trials] == [TrialState.COMPLETE, TrialState.FAIL, TrialState.COMPLETE]


def test_too_many_failures_stop_the_study(tmp_path):
    with pytest.raises(TooManyFailures, match="3 of 3"):
        run_study(
            study_at(tmp_path), uniform_suggest(SPACE), lambda ps: [Outcome(None) for _ in ps], n_trials=9,
            batch_size=3, max_failure_rate=0.5,
        )  # fmt: skip


def test_a_study_without_any_success_has_a_summary(tmp_path):
    study = study_at(tmp_path)
    run_study(study, uniform_suggest(SPACE), lambda ps: [Outcome(None) for _ in ps], n_trials=2)
    assert summary(study)["best_value"] is None


def test_several_objectives_give_a_front():
    study = open_study("m", None, ["minimize", "maximize"], optuna.samplers.RandomSampler(seed=0))
    run_study(
        study, uniform_suggest(SPACE), lambda ps: [Outcome((p.params["x"], p.params["x"])) for p in ps], n_trials=4
    )
    assert len(summary(study)["solutions"]) == 4
