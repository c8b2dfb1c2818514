"""Several seeds as one trial, what a job knows of its sweep, and the final on fresh seeds."""

from __future__ import annotations

import csv
import json
import math
import statistics
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from phalanx.analysis.final import chosen, read_finalists, write_final
from phalanx.core.errors import Superseded
from phalanx.core.files import write_json
from phalanx.core.result import Status
from phalanx.jobs.seeds import combined, rows
from phalanx.runs.fencing import FencingToken
from phalanx.runs.layout import RunPaths, SweepPaths
from phalanx.runs.manifest import Manifest, Sweep, update_manifest
from phalanx.runs.metrics_csv import curves_csv
from phalanx.runs.sweep_folder import front_first, pareto_front
from phalanx.training.loop import train_cohort, train_trial
from phalanx.training.spec import TrainerSpec, TrialSpec

SPEC = TrialSpec(trainer=TrainerSpec(epochs=5, patience=2))


@pytest.fixture(scope="module")
def results(dataset):
    return train_cohort([replace(SPEC, seed=seed) for seed in (3, 4, 5)], dataset)


def test_the_seeds_of_a_trial_are_trained_as_they_would_be_alone(results, dataset):
    for seed, result in zip((3, 4, 5), results, strict=True):
        alone = train_trial(replace(SPEC, seed=seed), dataset)
        assert result.metrics.val_accuracy == alone.metrics.val_accuracy
        assert math.isclose(result.metrics.val_loss, alone.metrics.val_loss, rel_tol=1e-5)


def test_one_trial_of_several_seeds_is_their_mean(results):
    whole = combined(results)
    values = [r.objective.value for r in results]
    assert len(set(values)) > 1
    assert whole.objective.value == statistics.fmean(values)
    assert whole.metrics.test_loss == statistics.fmean(r.metrics.test_loss for r in results)
    assert whole.seed == 3
    assert whole.weights is results[0].weights
    assert whole.epochs == max(r.epochs for r in results)
    for place, row in enumerate(whole.history):
        there = [r.history[place].val_loss for r in results if len(r.history) > place]
        assert row.epoch == place + 1
        assert row.val_loss == statistics.fmean(there)


def test_a_lower_bound_is_the_pessimistic_side_of_the_mean(results):
    values = [r.objective.value for r in results]
    bound = statistics.fmean(values) - stats.t.ppf(0.95, 2) * statistics.stdev(values) / math.sqrt(3)
    assert math.isclose(combined(results, "lower_bound").objective.value, bound)


def test_a_trial_of_which_one_seed_diverged_has_diverged(results):
    broken = replace(
        results[1], status=Status.DIVERGED, error="the loss became NaN in epoch 1",
        objective=replace(results[1].objective, value=None),
    )  # fmt: skip
    whole = combined([results[0], broken, results[2]])
    assert whole.status is Status.DIVERGED
    assert whole.objective.value is None
    assert whole.error == "seed 4: the loss became NaN in epoch 1 (1 of 3 seeds)"


def test_a_trial_with_one_seed_is_that_seed(results):
    assert combined(results[:1]) is results[0]


def test_what_each_seed_reached_is_kept(results):
    assert [row["seed"] for row in rows(results)] == [3, 4, 5]
    assert [row["value"] for row in rows(results)] == [r.objective.value for r in results]
    table = list(csv.DictReader(curves_csv(results).splitlines()))
    assert [int(row["seed"]) for row in table] == [r.seed for r in results for _ in r.history]


# What a job knows


def test_a_job_reads_its_place_in_the_sweep_from_its_folder(tmp_path):
    update_manifest(SweepPaths(tmp_path), search=True, repeats=3, final_seeds=4, study="s", parent="abc")
    trial, final = Sweep.of(tmp_path / "7", 7), Sweep.of(tmp_path / "final" / "7", 7)
    assert (trial.name, trial.final, trial.reads_test) == (tmp_path.name, False, False)
    assert (final.name, final.final, final.reads_test) == (tmp_path.name, True, True)
    assert final.manifest == trial.manifest == Manifest(study="s", search=True, repeats=3, final_seeds=4)
    assert trial.seeds(10) == [10, 11, 12]
    assert final.seeds(10) == [13, 14, 15, 16]
    assert not set(trial.seeds(10)) & set(final.seeds(10))


def test_a_plain_grid_is_one_seed_and_reads_the_test_split(tmp_path):
    sweep = Sweep.of(tmp_path / "2", 2)
    assert sweep.seeds(5) == [5]
    assert sweep.reads_test


def test_the_manifest_keeps_what_is_not_set_again(tmp_path):
    paths = SweepPaths(tmp_path)
    update_manifest(paths, parent="p", search=True)
    assert update_manifest(paths, ending="n_trials=3 reached") == {
        "parent": "p", "search": True, "ending": "n_trials=3 reached",
    }  # fmt: skip


def test_an_attempt_that_was_replaced_may_not_write(tmp_path):
    paths = RunPaths(tmp_path)
    write_json(paths.attempt, {"attempt": 1})
    fence = FencingToken(paths)
    fence.check()
    write_json(paths.attempt, {"attempt": 2})
    with pytest.raises(Superseded, match="attempt 1 at this trial was replaced by attempt 2"):
        fence.check()


def test_without_attempts_nothing_is_fenced(tmp_path):
    FencingToken(RunPaths(tmp_path)).check()


# The final


def trial(number, value, **overrides):
    return {"number": number, "overrides": overrides, "objective": {"name": "val_accuracy", "value": value}}


def test_equal_points_enter_the_final_once():
    best = [trial(4, 0.9, lr="1"), trial(7, 0.9, lr="1"), trial(2, 0.8, lr="2"), trial(3, 0.7, lr="3")]
    assert [t["number"] for t in chosen(best, 2)] == [4, 2]
    assert [t["number"] for t in chosen(best, 9)] == [4, 2, 3]


def finalist(paths, number, values, tests):
    repeats = [
        {"seed": seed, "value": value, "metrics": {"test_accuracy": test}}
        for seed, (value, test) in enumerate(zip(values, tests, strict=True), start=10)
    ]
    write_json(paths.final(number).result, {"repeats": repeats})


def test_the_final_names_the_best_on_fresh_seeds_and_tests_the_others_against_it(tmp_path):
    paths = SweepPaths(tmp_path)
    finalist(paths, 4, [0.90, 0.91, 0.92, 0.90], [0.8, 0.8, 0.9, 0.8])
    finalist(paths, 2, [0.95, 0.96, 0.97, 0.96], [0.7, 0.8, 0.7, 0.8])
    finalist(paths, 3, [0.95, None, 0.98, 0.94], [0.7, None, 0.7, 0.7])
    found = read_finalists(paths, [trial(4, 0.99, lr="4"), trial(2, 0.9, lr="2"), trial(3, 0.8, lr="3"), trial(9, 0.1)])
    sentences = write_final(paths, found, "maximize")
    stored = json.loads(paths.final_tests.read_text())
    assert stored["best"] == "trial 2"
    assert stored["sentences"] == sentences
    assert any("trial 2 beats trial 4" in text for text in sentences)
    table = {int(row["number"]): row for row in csv.DictReader(open(paths.final_table))}
    assert list(table) == [2, 3, 4]
    assert (table[3]["n"], table[3]["diverged"]) == ("3", "1")
    assert float(table[4]["objective"]) == pytest.approx(0.9075)
    assert float(table[4]["test_accuracy"]) == pytest.approx(0.825)
    low, high = stats.t.interval(0.95, 3, 0.9075, stats.sem([0.90, 0.91, 0.92, 0.90]))
    assert (float(table[4]["objective_low"]), float(table[4]["objective_high"])) == pytest.approx((low, high))
    raw = {d["a"] + d["b"]: d for d in stored["differences"]["objective"]}
    (pair,) = [d for key, d in raw.items() if "trial 4" in key]
    away = np.subtract([0.95, 0.96, 0.97, 0.96], [0.90, 0.91, 0.92, 0.90])
    spread = np.sqrt(away.var(ddof=1) + 0.01**2 / 12)  # values are seen in steps of 0.01
    expected = 2 * stats.t.sf(away.mean() / spread * np.sqrt(4), 3)
    assert pair["p"] == pytest.approx(expected)
    assert pair["p_holm"] == pytest.approx(3 * expected)  # three pairs, since the values chose the best


def test_no_interval_of_the_final_leaves_the_range_of_its_metric(tmp_path):
    paths = SweepPaths(tmp_path)
    finalist(paths, 4, [1.0, 1.0, 0.9], [1.0, 0.95, 1.0])
    finalist(paths, 2, [0.2, 0.3, 0.9], [0.0, 0.05, 0.0])
    found = read_finalists(paths, [trial(4, 1.0, lr="4"), trial(2, 0.9, lr="2")])
    write_final(paths, found, "maximize")
    best, other = csv.DictReader(open(paths.final_table))
    assert (best["objective_high"], best["test_accuracy_high"]) == ("1.0", "1.0")
    assert (other["objective_low"], other["test_accuracy_low"]) == ("0.0", "0.0")
    (pair,) = json.loads(paths.final_tests.read_text())["differences"]["objective"]
    assert pair["high"] == 1.0
    assert pair["p"] > 0.05
    (loss,) = read_finalists(paths, [{**trial(2, 0.9), "objective": {"name": "val_loss", "value": 0.2}}])
    assert loss.value.low == 0 < 1 < loss.value.high


# Several objectives


def point(number, *values):
    names = (("val_accuracy", "maximize"), ("n_parameters", "minimize"))
    found = [{"name": n, "direction": d, "value": v} for (n, d), v in zip(names, values, strict=True)]
    return {"number": number, "objectives": found, "objective": found[0]}


def test_the_front_holds_what_nothing_beats_in_every_objective():
    trials = [
        point(0, 0.9, 100),
        point(1, 0.8, 50),
        point(2, 0.8, 60),
        point(3, 0.7, 50),
        point(4, 0.9, 100),
        point(5, 0.1, 10),
    ]
    assert [t["number"] for t in pareto_front(trials)] == [0, 1, 4, 5]
    ordered = front_first(trials)
    assert [t["number"] for t in ordered] == [0, 1, 4, 5, 2, 3]
    assert [t["front"] for t in ordered] == [True] * 4 + [False] * 2


def test_with_one_objective_there_is_no_front():
    assert front_first([trial(1, 0.5)]) == [trial(1, 0.5)]
