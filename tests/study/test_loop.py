"""The search loop on its own, with cheap functions in place of training."""

from __future__ import annotations

import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState
from support.studies import (
    COIN,
    SMALL,
    SPACE,
    Killed,
    cost,
    evaluate,
    good,
    study,
    study_at,
)

from phalanx.core.errors import Failure
from phalanx.study import (
    Budget,
    Leases,
    Outcome,
    n_finished,
    open_study,
    run_study,
    suggest_from,
    summary,
)
from phalanx.study.lease_stores import MemoryLeaseStore


def test_the_number_of_trials_is_a_total(tmp_path):
    for total, batch in ((4, 1), (4, 3), (7, 3)):
        run_study(study_at(tmp_path), suggest_from(SMALL), evaluate, budget=Budget(total, n_jobs=batch))
        assert n_finished(study_at(tmp_path)) == total


def test_values_and_the_best_are_as_evaluated(tmp_path):
    study = study_at(tmp_path)
    run_study(study, suggest_from(SMALL), evaluate, budget=Budget(9))
    assert all(t.value == cost(t.params) for t in study.trials)
    found = summary(study)
    assert found["best_value"] == min(t.value for t in study.trials)
    assert study.trials[found["best_trial"]].params == found["best_params"]


def test_an_interrupted_trial_is_evaluated_again_under_its_number(tmp_path):
    seen = []

    def dying(proposals):
        seen.extend(proposals)
        if len(seen) == 3:
            raise Killed
        return evaluate(proposals)

    with pytest.raises(Killed):
        run_study(study_at(tmp_path), suggest_from(SMALL), dying, budget=Budget(5))
    again = []
    study = study_at(tmp_path, seed=9)
    run_study(study, suggest_from(SMALL), lambda ps: again.extend(ps) or evaluate(ps), budget=Budget(5))
    assert again[0] == seen[2]
    assert [p.number for p in again] == [2, 3, 4]
    assert [t.state for t in study.trials] == [TrialState.COMPLETE] * 5


def test_a_result_that_was_written_but_not_told_is_not_trained_again(tmp_path):
    def dying(proposals):
        raise Killed

    with pytest.raises(Killed):
        run_study(study_at(tmp_path), suggest_from(SMALL), dying, budget=Budget(2))
    study, trained = study_at(tmp_path), []
    run_study(
        study, suggest_from(SMALL), lambda ps: trained.extend(ps) or evaluate(ps), budget=Budget(2),
        recorded=lambda number: Outcome((0.125,)) if number == 0 else None,
    )  # fmt: skip
    assert [p.number for p in trained] == [1]
    assert study.trials[0].value == 0.125


def test_a_trial_killed_while_it_was_being_drawn_does_not_stay_running(tmp_path):
    half = study_at(tmp_path).ask()
    x = half.suggest_float("x", -2, 2)
    study = study_at(tmp_path, seed=9)
    run_study(study, suggest_from(SMALL), evaluate, budget=Budget(3))
    assert [t.state for t in study.trials] == [TrialState.COMPLETE] * 3
    assert study.trials[0].params["x"] == x
    assert set(study.trials[0].params) == set(SMALL)


@pytest.mark.parametrize("bad", [None, (float("nan"),), (float("inf"),)])
def test_a_failed_trial_is_recorded_and_the_study_goes_on(bad, tmp_path):
    study = study_at(tmp_path)
    run_study(
        study, suggest_from(SMALL),
        lambda ps: [Outcome(bad) if p.number == 1 else Outcome((1.0,)) for p in ps], budget=Budget(3),
    )  # fmt: skip
    assert [t.state for t in study.trials] == [TrialState.COMPLETE, TrialState.FAIL, TrialState.COMPLETE]


def test_a_study_without_any_success_has_a_summary(tmp_path):
    study = study_at(tmp_path)
    run_study(study, suggest_from(SMALL), lambda ps: [Outcome(None) for _ in ps], budget=Budget(2))
    assert summary(study)["best_value"] is None


def test_several_objectives_give_a_front():
    study = open_study("m", None, ["minimize", "maximize"], optuna.samplers.RandomSampler(seed=0))
    run_study(
        study,
        suggest_from(SMALL),
        lambda ps: [Outcome((p.params["x"], p.params["x"])) for p in ps],
        budget=Budget(4),
    )
    assert len(summary(study)["solutions"]) == 4


@pytest.mark.parametrize("failure", list(Failure))
def test_only_crashes_and_lack_of_memory_are_tried_again(failure):
    tries = []

    def evaluate(proposals):
        tries.extend(p.number for p in proposals)
        return [Outcome(None, "no luck", failure=failure) for _ in proposals]

    found = study()
    run_study(found, suggest_from(SPACE), evaluate, budget=Budget(1, retries=2))
    again = failure in (Failure.CRASH, Failure.OUT_OF_MEMORY)
    assert tries == [0, 0, 0] if again else tries == [0]
    assert found.trials[0].state == TrialState.FAIL
    assert found.trials[0].user_attrs["phalanx.failure"] == failure


def test_a_trial_may_succeed_at_its_second_try():
    tries = []

    def evaluate(proposals):
        tries.extend(proposals)
        return [Outcome((1.0,)) if len(tries) > 1 else Outcome(None, "oom", failure=Failure.OUT_OF_MEMORY)]

    found = study()
    run_study(found, suggest_from(SPACE), evaluate, budget=Budget(1, retries=1))
    assert tries[0] == tries[1]
    assert found.trials[0].value == 1.0


def test_an_equal_point_is_not_evaluated_twice_and_takes_the_value_over():
    evaluated, told = [], []

    def evaluate(proposals):
        evaluated.extend(p.params["side"] for p in proposals)
        return [Outcome((float(p.params["side"] == "head"),)) for p in proposals]

    found = study()
    run_study(
        found, suggest_from(COIN), evaluate, budget=Budget(8, n_jobs=3),
        reused=lambda proposal, number: told.append((proposal.number, number)),
    )  # fmt: skip
    assert sorted(evaluated) == ["head", "tail"]
    assert len(told) == 6
    assert all(t.value == float(t.params["side"] == "head") for t in found.trials)
    assert all(found.trials[a].params == found.trials[b].params for a, b in told)


def test_a_point_that_crashed_is_evaluated_again_and_one_that_diverged_is_not():
    evaluated = []

    def evaluate(proposals):
        evaluated.extend(p.params["side"] for p in proposals)
        kinds = {"head": Failure.CRASH, "tail": Failure.DIVERGED}
        return [Outcome(None, "x", failure=kinds[p.params["side"]]) for p in proposals]

    found = study()
    run_study(found, suggest_from(COIN), evaluate, budget=Budget(10))
    sides = [t.params["side"] for t in found.trials]
    assert evaluated.count("head") == sides.count("head") > 1
    assert evaluated.count("tail") == 1 < sides.count("tail")


class Unreliable:
    """A storage whose n-th call loses its connection, before or after its work is done."""

    def __init__(self, lost_at, worked):
        self.inner, self.calls, self.lost_at, self.worked = optuna.storages.InMemoryStorage(), 0, lost_at, worked

    def __getattr__(self, name):
        method = getattr(self.inner, name)

        def call(*args, **kwargs):
            self.calls += 1
            if self.calls != self.lost_at:
                return method(*args, **kwargs)
            if self.worked:
                method(*args, **kwargs)
            raise optuna.exceptions.StorageInternalError("the server closed the connection")

        return call


@pytest.mark.parametrize("worked", [False, True])
def test_a_connection_lost_at_any_call_costs_nothing(worked, monkeypatch):
    monkeypatch.setattr("phalanx.study.storage.PAUSES_S", (0,))
    monkeypatch.setattr("phalanx.study.loop.STORED_EVERY_S", 0)

    def evaluate(proposals):
        return [Outcome(None, "x", failure=Failure.DIVERGED) if p.number == 1 else Outcome((1.0,)) for p in proposals]

    for lost_at in range(1, 500):
        storage = Unreliable(0, worked)
        study = optuna.create_study(storage=storage, study_name="s", sampler=optuna.samplers.RandomSampler(seed=0))
        study.enqueue_trial({"side": "head"})
        storage.calls, storage.lost_at = 0, lost_at
        space = suggest_from({**COIN, "x": CategoricalDistribution([1, 2])})
        ending = run_study(study, space, evaluate, budget=Budget(6, n_jobs=2))
        assert (ending, n_finished(study)) == ("n_trials=6 reached", 6)
        if storage.calls < lost_at:
            break
        assert [len(trial.params) for trial in study.trials] == [2] * 6
    assert 50 < lost_at < 499


@pytest.mark.parametrize("n_in_flight", [0, 200])
def test_trials_of_other_drivers_are_checked_at_intervals(n_in_flight):
    """Otherwise each point would cost as many questions as there are trials in flight on all machines."""

    class Counting(MemoryLeaseStore):
        reads = looks = 0

        def read(self, number):
            self.reads += 1
            return super().read(number)

        def read_many(self, numbers):
            self.looks += 1
            return {number: self._leases[number] for number in numbers if number in self._leases}

    store, found = Counting(), study()
    others = Leases(store)
    for _ in range(n_in_flight):
        others.claim(found.ask().number)
    store.reads = 0
    run_study(
        found, suggest_from(SPACE), lambda proposals: [Outcome((p.number - n_in_flight + 0.0,)) for p in proposals],
        budget=Budget(1000, patience=9), leases=Leases(store),
    )  # fmt: skip
    assert len(found.trials) == n_in_flight + 10
    assert store.reads < 60
    assert store.looks == min(n_in_flight, 1)


@pytest.mark.parametrize("dies_at", range(1, 9))
def test_a_batch_killed_anywhere_is_completed_at_the_next_start(dies_at, tmp_path):
    class Killed(BaseException):
        pass

    calls = []

    def dying(proposals):
        calls.extend(proposals)
        if len(calls) >= dies_at:
            raise Killed
        return good(proposals)

    with pytest.raises(Killed):
        run_study(study(tmp_path), suggest_from(SPACE), dying, budget=Budget(8, n_jobs=3))
    before = {t.number: t.params for t in study(tmp_path).trials}
    run_study(
        study(tmp_path, sampler=optuna.samplers.RandomSampler(seed=7)),
        suggest_from(SPACE),
        good,
        budget=Budget(8, n_jobs=3),
    )
    after = study(tmp_path).trials
    assert [t.state for t in after] == [TrialState.COMPLETE] * 8
    assert {n: after[n].params for n in before} == before
