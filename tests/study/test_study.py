"""What the search loop promises beyond asking and telling: failures, start points, equal points, streams, samplers."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from phalanx.core.errors import Failure, RequestError, SpecError
from phalanx.study import (
    Budget,
    Evaluator,
    Leases,
    Outcome,
    Streaming,
    TooManyFailures,
    automatic,
    enqueue,
    n_finished,
    open_study,
    run_study,
    seed_of_start,
    start_points,
    suggest_from,
    summary,
    warm_start,
)
from phalanx.study.lease_stores import MemoryLeaseStore

SPACE = {
    "lr": FloatDistribution(1e-4, 1.0, log=True),
    "width": IntDistribution(8, 64, step=8),
    "kind": CategoricalDistribution(["sgd", "adam", "[128,64]"]),
    "momentum": FloatDistribution(0.0, 0.9),
}
WHEN = {"momentum": "kind=sgd"}
COIN = {"side": CategoricalDistribution(["head", "tail"])}


def study(tmp_path=None, name="s", directions=("minimize",), sampler=None):
    url = None if tmp_path is None else f"sqlite:///{tmp_path / f'{name}.db'}"
    return open_study(name, url, list(directions), sampler or optuna.samplers.RandomSampler(seed=0))


def value(params):
    return (params["lr"] - 0.1) ** 2 + params["width"]


def good(proposals):
    return [Outcome((value(p.params),)) for p in proposals]


# Failures


@pytest.mark.parametrize("failure", list(Failure))
def test_only_what_may_go_well_another_time_is_tried_again(failure):
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


def test_a_trial_that_succeeds_at_its_second_try_is_a_result_like_any_other():
    tries = []

    def evaluate(proposals):
        tries.extend(proposals)
        return [Outcome((1.0,)) if len(tries) > 1 else Outcome(None, "oom", failure=Failure.OUT_OF_MEMORY)]

    found = study()
    run_study(found, suggest_from(SPACE), evaluate, budget=Budget(1, retries=1))
    assert tries[0] == tries[1]
    assert found.trials[0].value == 1.0


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


# Equal points


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


def test_a_crash_says_nothing_about_its_point_and_a_divergence_does():
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


# A database that comes and goes


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


@pytest.mark.parametrize("n_flying", [0, 200])
def test_trials_in_flight_elsewhere_are_looked_at_once_in_a_while(n_flying):
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
    for _ in range(n_flying):
        others.claim(found.ask().number)
    store.reads = 0
    run_study(
        found, suggest_from(SPACE), lambda proposals: [Outcome((p.number - n_flying + 0.0,)) for p in proposals],
        budget=Budget(1000, patience=9), leases=Leases(store),
    )  # fmt: skip
    assert len(found.trials) == n_flying + 10
    assert store.reads < 60
    assert store.looks == min(n_flying, 1)


# Start points


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


def test_another_studys_trials_inform_the_sampler_and_count_for_nothing(tmp_path):
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


# Streams


def test_a_stream_asks_for_the_next_as_soon_as_one_ends():
    """Of two in flight one is held back until five others were evaluated beside it."""
    others, release = [], threading.Event()

    def evaluate_one(proposal):
        if proposal.number == 0:
            assert release.wait(30)
        else:
            others.append(proposal.number)
            if len(others) == 5:
                release.set()
        return Outcome((value(proposal.params),))

    found = study()
    with ThreadPoolExecutor(2) as pool:
        run_study(found, suggest_from(SPACE), Streaming(evaluate_one, pool), budget=Budget(7, n_jobs=2))
    assert n_finished(found) == 7
    assert others[:5] == [1, 2, 3, 4, 5]


def test_never_more_than_n_jobs_are_in_flight_and_all_are_told():
    class Crowd(Evaluator):
        def __init__(self):
            self.flying, self.most = [], 0

        def submit(self, proposals):
            self.flying.extend(proposals)
            self.most = max(self.most, len(self.flying))

        def results(self):
            return [((p := self.flying.pop()), Outcome((value(p.params),)))]

    crowd, found = Crowd(), study()
    run_study(found, suggest_from(SPACE), crowd, budget=Budget(17, n_jobs=4))
    assert crowd.most == 4
    assert [t.state for t in found.trials] == [TrialState.COMPLETE] * 17


@pytest.mark.parametrize("dies_at", range(1, 9))
def test_a_batch_that_dies_anywhere_is_made_good_at_the_next_start(dies_at, tmp_path):
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


# Samplers


@pytest.mark.parametrize(
    ("space", "options", "chosen"),
    [
        (COIN, {}, "BruteForceSampler"),
        (COIN, {"n_trials": 1}, "TPESampler"),
        ({"x": FloatDistribution(0, 1)}, {}, "GPSampler"),
        ({"x": FloatDistribution(0, 1)}, {"n_trials": 1000}, "CmaEsSampler"),
        (SPACE, {}, "TPESampler"),
        ({"x": FloatDistribution(0, 1)}, {"conditional": True}, "TPESampler"),
        ({"x": FloatDistribution(0, 1)}, {"n_objectives": 2}, "TPESampler"),
        ({"x": FloatDistribution(0, 1)}, {"n_objectives": 2, "n_trials": 1000}, "NSGAIISampler"),
    ],
)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_the_automatic_sampler_suits_the_space(space, options, chosen):
    sampler, why = automatic(space, **{"conditional": False, "n_objectives": 1, "n_trials": 50, **options})
    assert type(sampler).__name__ == chosen
    assert len(why) > 10


def test_a_later_start_with_the_same_seed_does_not_draw_the_same_points_again(tmp_path):
    for total in (4, 8):
        n_known = len(study(tmp_path).trials)
        sampler = optuna.samplers.RandomSampler(seed=seed_of_start(3, n_known))
        run_study(study(tmp_path, sampler=sampler), suggest_from(SPACE), good, budget=Budget(total))
    assert len({t.params["lr"] for t in study(tmp_path).trials}) == 8
    assert seed_of_start(3, 0) == 3
    assert seed_of_start(None, 9) is None


# Conditional spaces


@st.composite
def conditional_spaces(draw):
    """Choices and ranges, some of them under conditions on choices that come anywhere in the mapping."""
    names = draw(st.permutations("abcdef"))
    choices = {
        n: CategoricalDistribution(draw(st.sampled_from([("x", "y"), (1, 2, 3), (True, False, None)])))
        for n in names[:3]
    }
    space = {**choices, **{n: FloatDistribution(0, 1) for n in names[3:]}}
    when = {}
    for place, name in enumerate(names):
        above = names[: min(place, 3)]
        if above and draw(st.booleans()):
            on = draw(st.lists(st.sampled_from(above), min_size=1, max_size=2, unique=True))
            parts = []
            for key in on:
                wanted = draw(st.lists(st.sampled_from(choices[key].choices), min_size=1, max_size=2, unique=True))
                parts.append(f"{key}={','.join(str(v).lower() if isinstance(v, bool) else str(v) for v in wanted)}")
            when[name] = " and ".join(parts)
    order = draw(st.permutations(sorted(space)))
    return {name: space[name] for name in order}, when


def holds(text, params):
    for part in text.split(" and "):
        key, _, values = part.partition("=")
        if key not in params:
            return False
        drawn = params[key]
        if (str(drawn).lower() if isinstance(drawn, bool) else str(drawn)) not in values.split(","):
            return False
    return True


@given(conditional_spaces(), st.integers(0, 2**16))
@settings(max_examples=60, deadline=None)
def test_a_parameter_exists_exactly_where_its_condition_holds(space_and_when, seed):
    space, when = space_and_when
    found = study(sampler=optuna.samplers.RandomSampler(seed=seed))
    suggest = suggest_from(space, when)
    for _ in range(6):
        trial = found.ask()
        suggest(trial)
        for name in space:
            assert (name in trial.params) == (name not in when or holds(when[name], trial.params))
