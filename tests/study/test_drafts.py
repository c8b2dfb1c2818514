"""Drafts: trials that are stored when they are drawn, at once, with the points that Optuna draws without them."""

from __future__ import annotations

import contextlib
import re

import optuna
import pytest
import sqlalchemy as sa
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState
from support.studies import SPACE, WHEN, good

from phalanx.study import Budget, open_study, run_study, suggest_from
from phalanx.study.drafts import DraftStorage, drafts_of
from phalanx.study.grid import GridSampler
from phalanx.study.start_points import enqueue
from phalanx.study.storage import open_storage

CHOICES = {name: CategoricalDistribution(["a", "b", "c"]) for name in ("one", "two")}
SAMPLERS = {
    "random": lambda: optuna.samplers.RandomSampler(1),
    "tpe": lambda: optuna.samplers.TPESampler(seed=1, n_startup_trials=4),
    "tpe of all": lambda: optuna.samplers.TPESampler(seed=1, n_startup_trials=4, multivariate=True, group=True),
    "qmc": lambda: optuna.samplers.QMCSampler(seed=1, scramble=True),
    "cmaes": lambda: optuna.samplers.CmaEsSampler(seed=1),
    "nsgaii": lambda: optuna.samplers.NSGAIISampler(seed=1, population_size=4),
    "brute_force": lambda: optuna.samplers.BruteForceSampler(seed=1),
    "grid": lambda: optuna.samplers.GridSampler({name: d.choices for name, d in CHOICES.items()}, seed=1),
    "grid with points": lambda: GridSampler(CHOICES, {name: list(d.choices) for name, d in CHOICES.items()}, 1),
}


def url_of(tmp_path):
    return f"sqlite:///{tmp_path / 'study.db'}"


def points(sampler, storage, n_jobs):
    """What a search finds, as the storage has it."""
    with contextlib.suppress(optuna.exceptions.DuplicatedStudyError):
        study = optuna.create_study(study_name="s", storage=storage, sampler=sampler, directions=["minimize"])
    finite = not isinstance(sampler, optuna.samplers.CmaEsSampler) and "Grid" in type(sampler).__name__
    space, when = (CHOICES, None) if finite or "Brute" in type(sampler).__name__ else (SPACE, WHEN)
    known = good if space is SPACE else lambda ps: [_outcome(p) for p in ps]
    if not finite:
        enqueue(study, [{"one": "b"}] if space is CHOICES else [{"kind": "adam", "lr": 0.5}])
    run_study(study, suggest_from(space, when), known, budget=Budget(9, n_jobs=n_jobs))
    return [
        (t.number, t.state, t.params, t.distributions, t.values, t.user_attrs, t.system_attrs)
        for t in optuna.load_study(study_name="s", storage=study._storage).trials
    ]


def _outcome(proposal):
    return good([type(proposal)(proposal.number, {"lr": 0.1, "width": len(str(proposal.params))})])[0]


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("n_jobs", [1, 3])
@pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS)
def test_the_points_are_those_without_drafts(tmp_path, sampler, n_jobs):
    without = points(sampler(), open_storage(url_of(tmp_path)), n_jobs)
    (tmp_path / "with").mkdir()
    found = points(sampler(), DraftStorage(open_storage(url_of(tmp_path / "with"))), n_jobs)
    assert found == without
    assert len(found) == 9


def test_a_trial_is_stored_at_once(tmp_path):
    study = open_study("s", url_of(tmp_path), ["minimize"], optuna.samplers.TPESampler(seed=0))
    drafts, written = drafts_of(study), []
    engine = sa.create_engine(url_of(tmp_path))
    with drafts.drafting():
        trial = study.ask()
        suggest_from(SPACE, WHEN)(trial)
        trial.set_user_attr("about", [1])
        with engine.connect() as connection:
            assert connection.execute(sa.text("SELECT count(*) FROM trials")).scalar() == 0
        number = drafts.commit(trial)
    written = optuna.load_study(study_name="s", storage=url_of(tmp_path)).trials  # as stock Optuna reads it
    assert [(t.number, t.state, t.params, t.user_attrs) for t in written] == [
        (number, TrialState.RUNNING, trial.params, {"about": [1]})
    ]
    study.tell(number, 1.5)
    assert study.trials[0].value == 1.5


def test_a_driver_writes_one_transaction_for_a_trial_and_one_for_its_result(tmp_path):
    study = open_study("s", url_of(tmp_path), ["minimize"], optuna.samplers.TPESampler(seed=0))
    transactions, wrote = [], []

    def executed(connection, cursor, statement, *_):
        if re.match("(INSERT|UPDATE|DELETE)", statement):
            wrote.append(statement)

    def committed(connection):
        if wrote:
            transactions.append(wrote[:])
            wrote.clear()

    engine = drafts_of(study).rdb.engine
    sa.event.listen(engine, "before_cursor_execute", executed)
    sa.event.listen(engine, "commit", committed)
    run_study(study, suggest_from(SPACE), good, budget=Budget(10))
    of_trials = [lines for lines in transactions if not any("study_user_attributes" in line for line in lines)]
    assert len(of_trials) == 20


def test_a_draft_that_is_not_finished_leaves_nothing(tmp_path):
    study = open_study("s", url_of(tmp_path), ["minimize"], optuna.samplers.RandomSampler(0))
    drafts = drafts_of(study)
    with contextlib.suppress(KeyboardInterrupt), drafts.drafting():
        study.ask().suggest_float("x", 0, 1)
        raise KeyboardInterrupt
    assert study.trials == []
    with drafts.drafting():
        trial = study.ask()
        x = trial.suggest_float("x", 0, 1)
        assert drafts.commit(trial) == 0
    assert [t.params for t in study.trials] == [{"x": x}]


def test_another_driver_may_be_faster(tmp_path):
    study = open_study("s", url_of(tmp_path), ["minimize"], optuna.samplers.RandomSampler(0))
    other = open_study("s", url_of(tmp_path), ["minimize"], optuna.samplers.RandomSampler(1))
    drafts = drafts_of(study)
    with drafts.drafting():
        trial = study.ask()
        mine = trial.suggest_float("x", 0, 1)
        theirs = other.ask().suggest_float("x", 0, 1)
        assert drafts.commit(trial) == trial.number == 1
    assert [t.params["x"] for t in study.trials] == [theirs, mine]
    study.tell(1, 0.5)
    assert [t.value for t in other.trials] == [None, 0.5]


def test_what_is_reported_and_pruned_after_the_draft(tmp_path):
    pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2)
    study = open_study("s", url_of(tmp_path), ["minimize"], optuna.samplers.RandomSampler(0), pruner)
    drafts = drafts_of(study)
    pruned = []
    for value in (0.1, 0.9, 0.2):
        with drafts.drafting():
            trial = study.ask()
            drafts.commit(trial)
        trial.report(value, 1)
        pruned.append(trial.should_prune())
        study.tell(trial.number, None if pruned[-1] else value, TrialState.PRUNED if pruned[-1] else None)
    assert pruned == [False, True, True] or pruned == [False, True, False]
    assert [t.intermediate_values for t in study.trials] == [{1: 0.1}, {1: 0.9}, {1: 0.2}]
    assert all(key.startswith("completed_rung") for t in study.trials for key in t.system_attrs)
