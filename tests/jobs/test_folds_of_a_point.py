"""A point of a search that is trained on several folds, seeds and splits: one job, one cohort, one value."""

from __future__ import annotations

import csv
import math
from dataclasses import replace

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from scipy import stats
from support.jobs import by_number
from support.places import ROOT

from phalanx.core.result import Snapshot, Status, TrialResult
from phalanx.data.cache import dataset_of
from phalanx.data.wine import Wine
from phalanx.jobs.job import Job
from phalanx.jobs.run import run
from phalanx.jobs.scheduler import CohortScheduler, train_together
from phalanx.jobs.seeds import combined, correlation_of_folds, seed_results
from phalanx.runs.checkpoint import read_checkpoint
from phalanx.runs.config import register_resolvers
from phalanx.runs.layout import RunPaths
from phalanx.runs.manifest import Manifest, Sweep
from phalanx.runs.metrics_csv import curves_csv, read_seeds
from phalanx.runs.stored_run import read_stored_run
from phalanx.training.loop import train_cohort, train_trial
from phalanx.training.spec import TrainerSpec, TrialSpec

FOLDS = replace(Wine(), resampling="kfold", folds=3)
SPEC = TrialSpec(data=FOLDS, trainer=TrainerSpec(epochs=3), seed=4)


def specs_of(trial=SPEC, **manifest):
    return Sweep("s", 0, Manifest(search=True, **manifest)).specs(trial)


def places(specs):
    return [(spec.seed, spec.data.split_seed, spec.data.fold) for spec in specs]


@pytest.fixture
def job(tmp_path):
    """A job of a search whose points are trained on all folds, by its number and overrides."""
    register_resolvers()
    with initialize_config_dir(str(ROOT / "conf")):

        def make(number, *overrides, folder="", **manifest):
            own = ["data=wine", "data.resampling=kfold", "data.folds=3", "trainer.epochs=6", "tracking=none"]
            cfg = compose("config", [*own, *overrides])
            place = Sweep("s", number, Manifest(search=True, folds=True, **manifest))
            return Job(cfg, tmp_path / folder / str(number), place)

        yield make


@pytest.mark.parametrize(
    ("manifest", "expected"),
    [
        ({"repeats": 2}, [(4, 0, 0), (5, 0, 0)]),
        ({"folds": True}, [(4, 0, 0), (4, 0, 1), (4, 0, 2)]),
        ({"folds": True, "repeats": 2}, [(seed, 0, fold) for seed in (4, 5) for fold in range(3)]),
        ({"repeats": 2, "vary": ["init", "order", "split"]}, [(4, 0, 0), (5, 1, 0)]),
        ({"repeats": 2, "vary": ["split"]}, [(4, 0, 0), (4, 1, 0)]),
        ({"repeats": 2, "vary": ["split"], "folds": True}, [(4, split, fold) for split in (0, 1) for fold in range(3)]),
    ],
)
def test_what_a_point_is_trained_on(manifest, expected):
    specs = specs_of(**manifest)
    assert places(specs) == expected
    assert specs[0] is SPEC


@pytest.mark.parametrize(
    ("vary", "expected"),
    [
        (["init", "order"], [(4, 4), (5, 5), (6, 6)]),
        (["init"], [(4, 4), (5, 4), (6, 4)]),
        (["order"], [(4, 4), (4, 5), (4, 6)]),
        (["order", "split"], [(4, 4), (4, 5), (4, 6)]),
        (["split"], [(4, 4), (4, 4), (4, 4)]),
    ],
)
def test_what_repeats_draw_anew(vary, expected):
    specs = specs_of(repeats=3, vary=vary)
    assert [(spec.init_seed, spec.order_seed) for spec in specs] == expected
    assert [spec.seed for spec in specs] == ([4, 4, 4] if vary == ["split"] else [4, 5, 6])
    assert [spec.data.split_seed for spec in specs] == ([0, 1, 2] if "split" in vary else [0, 0, 0])
    final = Sweep("s", 0, Manifest(search=True, repeats=3, vary=vary, final_seeds=2), final=True).specs(SPEC)
    assert [(spec.init_seed, spec.order_seed) for spec in final] == [(7, 7), (8, 8)]


def test_repeated_folds_and_draws_are_all_there_are():
    assert len(specs_of(replace(SPEC, data=replace(FOLDS, resampling="repeated_kfold", repeats=4)), folds=True)) == 12
    assert len(specs_of(replace(SPEC, data=replace(FOLDS, resampling="shuffle_split", repeats=4)), folds=True)) == 4


def test_a_final_trains_fresh_seeds_on_one_fold():
    final = Sweep("s", 0, Manifest(search=True, folds=True, repeats=2, vary=["split"], final_seeds=2), final=True)
    assert places(final.specs(SPEC)) == [(6, 0, 0), (7, 0, 0)]


@pytest.fixture(scope="module")
def trained():
    specs = specs_of(folds=True, repeats=2)
    datasets = [dataset_of(spec.data) for spec in specs]
    return specs, datasets, train_cohort(specs, datasets, test=False)


def test_the_value_is_the_mean_or_the_lower_bound_of_nadeau_and_bengio(trained):
    specs, datasets, results = trained
    values = np.array([result.objective.value for result in results]).reshape(2, 3)
    correlation = correlation_of_folds(specs, datasets)
    assert combined(results, "mean", specs).objective.value == pytest.approx(values.mean())
    by_fold, share = values.mean(axis=0), max(len(d.val) / len(d.train) for d in datasets)
    assert by_fold.std() > 0
    error = by_fold.std(ddof=1) * math.sqrt(1 / 3 + share)  # Nadeau and Bengio 2003, equation 9
    bound = combined(results, "lower_bound", specs, correlation).objective.value
    assert bound == pytest.approx(values.mean() - stats.t.ppf(0.95, 2) * error)


def test_seeds_on_one_split_are_not_corrected(dataset):
    specs = specs_of(replace(SPEC, data=Wine()), repeats=3)
    assert correlation_of_folds(specs, [dataset] * 3) == 0


def test_each_row_names_its_fold_and_its_data(trained):
    specs, datasets, results = trained
    rows = seed_results(results, specs, datasets)
    assert [row.place for row in rows] == places(specs)
    assert [row.data_digest for row in rows] == [data.digest for data in datasets]
    assert len({row.data_digest for row in rows}) == 3
    assert all(row.metrics["test_loss"] is None for row in rows)


def test_curves_are_found_again_by_seed_and_fold(trained, tmp_path):
    specs, _, results = trained
    file = tmp_path / "seeds.csv"
    file.write_text(curves_csv(results, places(specs)))
    assert next(csv.reader(file.open()))[:4] == ["seed", "split_seed", "fold", "epoch"]
    assert read_seeds(file) == {p: r.history for p, r in zip(places(specs), results, strict=True)}


def test_a_fold_that_diverged_is_named(trained):
    specs, _, results = trained
    lost = replace(results[4].objective, value=None)
    broken = [*results[:4], replace(results[4], status=Status.DIVERGED, objective=lost, error="NaN"), results[5]]
    whole = combined(broken, "mean", specs)
    assert (whole.status, whole.objective.value) == (Status.DIVERGED, None)
    assert whole.error == "seed 5, split 0, fold 1: NaN (1 of 6 trainings)"


def test_a_fold_gives_the_numbers_that_it_gives_alone_whatever_trains_beside_it(job):
    both = [job(0, repeats=2), job(1, "optimizer.lr=0.02", repeats=2)]
    beside = by_number(train_together(both))
    assert beside[0].note == "trained in a cohort of 12"
    for number, one in enumerate(both):
        for spec, result in zip(one.specs, beside[number].results, strict=True):
            alone = train_trial(spec, dataset_of(spec.data), test=False)
            assert result.metrics == alone.metrics
            assert all(alone.weights[name].equal(result.weights[name]) for name in alone.weights)


def test_a_point_whose_folds_are_partly_trained_goes_on_to_the_same_numbers(job):
    options = ["trainer.epochs=12", "trainer.patience=1", "optimizer.lr=0.05", "checkpoint.every_epochs=1"]
    through = job(0, *options, folder="through", repeats=2)
    (whole,) = by_number(train_together([through])).values()
    cut = job(0, *options, repeats=2)
    stream = CohortScheduler()
    stream.add(cut)
    (cohort,) = stream.cohorts.values()
    for _ in range(3):
        cohort.epoch()
    stream.abandon()
    kinds = {type(state) for state in read_checkpoint(RunPaths(cut.folder).checkpoint)[1]}
    assert kinds == {Snapshot, TrialResult}, "some have ended, and some go on"
    again = job(0, *options, repeats=2)
    (resumed,) = by_number(train_together([again])).values()
    assert resumed.note.endswith("went on after epoch 3")
    for a, b in zip(whole.results, resumed.results, strict=True):
        assert (a.metrics, a.best_epoch, a.epochs) == (b.metrics, b.best_epoch, b.epochs)
        assert all(a.weights[name].equal(b.weights[name]) for name in a.weights)


def test_a_checkpoint_of_other_folds_is_set_aside(job):
    cut = job(0, "checkpoint.every_epochs=1")
    stream = CohortScheduler()
    stream.add(cut)
    (cohort,) = stream.cohorts.values()
    cohort.epoch()
    stream.abandon()
    other = job(0, "checkpoint.every_epochs=1", "data.folds=4")
    (anew,) = by_number(train_together([other])).values()
    assert "went on" not in anew.note
    assert RunPaths(cut.folder).checkpoint.with_suffix(".unused.safetensors").exists()


def test_the_folder_of_a_point_trained_alone(job):
    one = job(0, "trainer.epochs=2", repeats=2)
    run(one)
    stored = read_stored_run(one.folder)
    assert [row.place for row in stored.repeats] == places(one.specs)
    assert stored.value == pytest.approx(sum(row.value for row in stored.repeats) / 6)
    assert set(read_seeds(RunPaths(one.folder).seeds)) == set(places(one.specs))


def test_folds_in_other_numbers_of_steps_train_in_one_cohort_too(job):
    uneven = ["data.folds=7", "trainer.batch_size=1", "trainer.epochs=2"]
    one = job(0, *uneven)
    assert {len(dataset.train) for dataset in one.datasets()} == {121, 122}
    (found,) = by_number(train_together([one])).values()
    assert found.note == "trained in a cohort of 7"
    for spec, result in zip(one.specs, found.results, strict=True):
        alone = train_trial(spec, dataset_of(spec.data), test=False)
        assert [result.metrics, result.epochs] == [alone.metrics, alone.epochs]
        assert all(alone.weights[name].equal(result.weights[name]) for name in alone.weights)
