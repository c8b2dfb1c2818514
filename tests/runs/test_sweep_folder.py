"""The trials of a sweep, read, ranked and written as a table."""

from __future__ import annotations

from support.run_folders import stored

from phalanx.runs.sweep_folder import front_first, pareto_front


def point(number, *values):
    names = (("val_accuracy", "maximize"), ("n_parameters", "minimize"))
    found = [{"name": n, "direction": d, "value": v} for (n, d), v in zip(names, values, strict=True)]
    return stored(number=number, objectives=found)


def test_the_front_holds_what_nothing_beats_in_every_objective():
    trials = [
        point(0, 0.9, 100),
        point(1, 0.8, 50),
        point(2, 0.8, 60),
        point(3, 0.7, 50),
        point(4, 0.9, 100),
        point(5, 0.1, 10),
    ]
    assert [t.number for t in pareto_front(trials)] == [0, 1, 4, 5]
    ordered = front_first(trials)
    assert [t.number for t in ordered] == [0, 1, 4, 5, 2, 3]
    assert [t.front for t in ordered] == [True] * 4 + [False] * 2


def test_with_one_objective_there_is_no_front():
    assert front_first([stored(0.5, number=1)]) == [stored(0.5, number=1)]
