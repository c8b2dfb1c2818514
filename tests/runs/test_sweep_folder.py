"""The trials of a sweep, read, ranked and written as a table."""

from __future__ import annotations

import csv

from support.run_folders import stored

from phalanx.runs.sweep_folder import front_first, pareto_front, trials_csv


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


def test_an_override_never_takes_the_column_of_a_result():
    text = trials_csv([stored(0.25, number=7, overrides={"objective": "val_loss", "optimizer.lr": "0.1", "seed": "3"})])
    header = text.splitlines()[0].split(",")
    assert len(set(header)) == len(header)
    (row,) = csv.DictReader(text.splitlines())
    assert (row["number"], row["objective"], row["seed"], row["optimizer.lr"]) == ("7", "0.25", "0", "0.1")
    assert (row["override.objective"], row["override.seed"]) == ("val_loss", "3")


def test_results_have_the_same_columns_whatever_is_overridden():
    plain = trials_csv([stored(number=0)]).splitlines()[0].split(",")
    given = (
        trials_csv([stored(number=0, overrides={"seed": "1", "error": "x", "loss": "mse"})]).splitlines()[0].split(",")
    )
    assert [name for name in given if name in plain] == plain
    assert [name for name in given if name not in plain] == ["override.seed", "override.error", "loss"]


def test_further_metrics_have_columns_behind_all_others_where_a_trial_has_a_value():
    first = stored(number=0, metrics={"val_loss": 1.0, "val_f1_macro": 0.5, "test_f1_macro": None, "val_mine": -2.0})
    text = trials_csv([first, stored(number=1, metrics={"train_f1_macro": 0.25, "val_auroc": None})])
    header = text.splitlines()[0].split(",")
    assert header[header.index("error") + 1 :] == ["train_f1_macro", "val_f1_macro", "val_mine"]
    rows = list(csv.DictReader(text.splitlines()))
    assert [(row["train_f1_macro"], row["val_f1_macro"], row["val_mine"]) for row in rows] == [
        ("", "0.5", "-2.0"), ("0.25", "", ""),
    ]  # fmt: skip
