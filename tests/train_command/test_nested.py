"""`hydra.sweeper.nested` as people type it: a search for each outer fold, which tests what that search chose."""

from __future__ import annotations

import csv
import json

import pytest
from support.forked import train
from support.train_command import QUICK, result_of

from phalanx.runs.config_file import read_values
from phalanx.runs.layout import NestedPaths, RunPaths
from phalanx.runs.run_folder import read_run

pytestmark = pytest.mark.slow

NESTED = [
    "-m", "hydra/sweeper=optuna", "hydra.sweeper.study_name=s", *QUICK, "optimizer.lr=tag(log,interval(0.001,0.1))",
    "hydra.sweeper.nested=2", "hydra.sweeper.final={seeds: 2}", "hydra.sweeper.folds=3",
]  # fmt: skip


def test_each_outer_fold_tests_what_a_search_of_the_other_rows_chose(tmp_path):
    done = train(*NESTED, "hydra.sweeper.n_trials=2", cwd=tmp_path, check=0)
    paths = NestedPaths(tmp_path / "outputs" / "sweeps" / "s")
    rows = list(csv.DictReader(open(paths.table)))
    tested = []
    for fold, row in enumerate(rows):
        sweep = paths.outer(fold)
        trials = [result_of(sweep.trial(number).root) for number in range(2)]
        assert {trial["metrics"]["test_accuracy"] for trial in trials} == {None}  # a search never reads its outer fold
        assert all(len(trial["repeats"]) == 3 for trial in trials)  # its folds are of the other rows
        values = [trial["objective"]["value"] for trial in trials]
        assert (int(row["trial"]), float(row["searched"])) == (values.index(max(values)), max(values))
        final = sweep.final(int(row["trial"]))
        seeds = result_of(final.root)["repeats"]
        assert [seed["seed"] for seed in seeds] == [1, 2]
        assert float(row["tested"]) == pytest.approx(sum(seed["metrics"]["test_accuracy"] for seed in seeds) / 2)
        spec, dataset, _ = read_run(final)
        assert (spec.data.outer_folds, spec.data.outer_fold) == (2, fold)
        tested += dataset.row_numbers["test"].tolist()
        best = RunPaths(sweep.trial(int(row["trial"])).root)
        assert read_values(sweep.best_config)["optimizer"]["lr"] == read_values(best.config_resolved)["optimizer"]["lr"]
    assert sorted(tested) == list(range(1797))  # all of digits
    summary = json.loads(paths.summary.read_text())
    assert summary["outer_folds"] == 2
    assert all(sentence in done.stdout.replace("\n", " ") for sentence in summary["sentences"])
    assert paths.report.is_file()

    before = paths.outer(1).trial(0).result.stat().st_mtime_ns
    again = train(*NESTED, "hydra.sweeper.n_trials=3", cwd=tmp_path, check=0)  # goes on
    assert paths.outer(1).trial(0).result.stat().st_mtime_ns == before
    assert paths.outer(1).trial(2).result.is_file()
    assert again.stdout.count("2 finished before") == 2
    refused = train(*NESTED, "hydra.sweeper.nested=3", cwd=tmp_path, check=2)
    assert "holds a nested search with 2 outer folds, and this one has 3" in refused.stderr


def test_what_cannot_be_divided_is_said_by_the_key_that_was_typed(tmp_path):
    done = train(*NESTED[:3], "hydra.sweeper.nested=60", "data=wine", cwd=tmp_path, check=2)
    assert "hydra.sweeper.nested=60 is more than the 48 rows of class 'class_2'" in done.stderr
    assert "data.outer_folds" not in done.stderr
    assert not (tmp_path / "outputs" / "sweeps").exists()


@pytest.mark.parametrize(
    ("keys", "faults"),
    [
        (["data.outer_fold=1", "data.outer_folds=3"], ["data.outer_fold=1 tests one outer fold, and hydra.sweeper.nested=true each"]),
        (["data.outer_folds=1"], ["data.outer_folds must be a whole number of at least 2, got 1; try data.outer_folds=5"]),
        (["data.outer_folds=3", "hydra.sweeper.nested=4"], ["hydra.sweeper.nested must be true or 3 with data.outer_folds=3"]),
        (["data.outer_folds=60", "hydra.sweeper.nested=true"], ["data.outer_folds=60 is more than the 48 rows of class"]),
    ],
    ids=["one of them", "too few", "two numbers", "too many"],
)  # fmt: skip
def test_the_number_of_outer_folds_may_stand_among_the_data(tmp_path, keys, faults):
    done = train(*NESTED[:3], "data=wine", "hydra.sweeper.nested=true", *keys, cwd=tmp_path, check=2)
    assert all(fault in done.stderr for fault in faults)
    assert not (tmp_path / "outputs" / "sweeps").exists()
