"""Several seeds as one trial, and what a job knows of its sweep."""

from __future__ import annotations

import csv
import math
import statistics
from dataclasses import replace

import pytest
from scipy import stats

from phalanx.core.errors import Superseded
from phalanx.core.files import write_json
from phalanx.core.result import Status
from phalanx.jobs.seeds import combined, seed_results
from phalanx.runs.fencing import FencingToken
from phalanx.runs.layout import RunPaths, SweepPaths
from phalanx.runs.manifest import Manifest, Sweep, update_manifest
from phalanx.runs.metrics_csv import curves_csv
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
    assert [row.seed for row in seed_results(results)] == [3, 4, 5]
    assert [row.value for row in seed_results(results)] == [r.objective.value for r in results]
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
    split = Sweep.of(tmp_path / "final" / "7" / "split-3", 7)
    assert (split.name, split.final, split.reads_test, split.manifest) == (tmp_path.name, True, True, final.manifest)
    assert split.seeds(15) == [15]
    for sweep, folder in ((trial, "7"), (final, "final/7"), (split, "final/7/split-3")):
        assert sweep.root(tmp_path / folder) == tmp_path


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
