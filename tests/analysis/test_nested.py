"""The estimate of a nested search. SciPy and a formula written out here are the oracle."""

from __future__ import annotations

import csv
import json
import math
import statistics

import pytest
from scipy import stats
from support.run_folders import result, write_run

from phalanx.analysis.nested import read_nested, shared_keys, write_nested
from phalanx.core.errors import RunFolderError, UnreadableFile
from phalanx.report.build import write_report
from phalanx.runs.layout import NestedPaths

SIZES = {
    "name": "wine", "source": "wine", "n_train": 96, "n_val": 24, "n_test": 30, "n_features": 13, "n_classes": 3,
    "official_test": False, "inputs": "", "notes": [], "title": "", "classes": [],
}  # fmt: skip
TESTED = [[0.90, 0.92], [0.86, 0.84], [0.95, 0.97], [0.88, 0.90]]
SEARCHED = [0.97, 0.99, 0.98, 0.94]


def nested(root, tested=TESTED, searched=SEARCHED, n_folds=None, objective="val_accuracy", direction="maximize"):
    """The folder of a nested search. Each search has two trials, of which the second is the best and in the final."""
    paths = NestedPaths(root)
    root.mkdir()
    paths.summary.write_text(json.dumps({"outer_folds": n_folds or len(tested)}))
    judge = objective.replace("val", "test")
    for fold, seeds in enumerate(tested):
        sweep = paths.outer(fold)
        for number, value in enumerate([0.5, searched[fold]]):
            content = result(value)
            own = {"name": objective, "value": value, "direction": direction}
            content |= {"objective": own, "objectives": [own], "data": SIZES}
            overrides = [f"data.outer_fold={fold}", "loss=mse", f"optimizer.lr={fold + number}"]
            write_run(sweep.trial(number).root, content, overrides=overrides)
        sweep.manifest.write_text(json.dumps({"search": True}))
        repeats = [
            {"seed": seed, "status": "diverged" if value is None else "completed", "value": value, "best_epoch": 1,
             "metrics": {judge: value}, "epochs": 1}
            for seed, value in enumerate(seeds, start=1)
        ]  # fmt: skip
        write_run(sweep.final(1).root, result(repeats=repeats))
    return paths


def test_the_interval_is_that_of_nadeau_and_bengio_over_means_of_outer_folds(tmp_path):
    found = read_nested(nested(tmp_path / "n"))
    means = [statistics.fmean(seeds) for seeds in TESTED]
    n, share = len(means), 30 / 150
    half = stats.t.ppf(0.975, n - 1) * statistics.stdev(means) * math.sqrt(1 / n + share / (1 - share))
    estimate = found.estimate
    assert estimate.n == n
    assert estimate.mean == pytest.approx(statistics.fmean(means))
    assert (estimate.low, estimate.high) == pytest.approx((estimate.mean - half, min(estimate.mean + half, 1)))
    assert found.optimism == pytest.approx(statistics.fmean(SEARCHED) - estimate.mean)
    assert "better: they chose by it" in found.sentences()[1]


def test_a_loss_is_better_where_it_is_smaller(tmp_path):
    paths = nested(tmp_path / "n", searched=[0.3] * 4, objective="val_loss", direction="minimize")
    found = read_nested(paths)
    assert (found.chosen_by, found.judged_by) == ("val_loss", "test_loss")
    assert found.optimism == pytest.approx(statistics.fmean(map(statistics.fmean, TESTED)) - 0.3)
    assert [fold.trial.number for fold in found.folds] == [1] * 4  # 0.3, and not 0.5


def test_its_table_and_its_page_have_each_outer_fold(tmp_path):
    paths = nested(tmp_path / "n")
    found = read_nested(paths)
    write_nested(paths, found)
    rows = list(csv.DictReader(open(paths.table)))
    assert [row["outer_fold"] for row in rows] == ["0", "1", "2", "3"]
    assert [float(row["searched"]) for row in rows] == SEARCHED
    assert [float(row["tested"]) for row in rows] == pytest.approx([statistics.fmean(seeds) for seeds in TESTED])
    assert [(row["trial"], row["n_seeds"], row["n_test"], row["optimizer.lr"]) for row in rows] == [
        ("1", "2", "30", str(fold + 1)) for fold in range(4)
    ]
    again = read_nested(paths)  # the summary says how many outer folds there are after it was written too
    assert again == found
    assert json.loads(paths.summary.read_text())["estimate"]["mean"] == pytest.approx(found.estimate.mean)
    assert shared_keys(found.folds) == {"data.outer_folds", "data.outer_fold", "loss"}
    page = write_report(paths.root).read_text()
    assert all(f'href="n-outer-{fold}/report.html"' in page for fold in range(4))
    assert found.sentences()[0] in page


def test_seeds_that_were_lost_and_outer_folds_that_are_left_are_said(tmp_path):
    found = read_nested(nested(tmp_path / "n", tested=[[0.9, None], [0.8, 0.8]], n_folds=3))
    assert found.estimate.mean == pytest.approx(0.85)
    text = "\n".join(found.sentences())
    assert "outer fold 0: of 2 seeds 1 diverged" in text
    assert "2 of 3 outer folds have been tested so far" in text


def test_nothing_tested_and_damage_are_said(tmp_path):
    paths = nested(tmp_path / "n", tested=[[None, None]] * 2)
    assert read_nested(paths).sentences() == ["no outer fold has test_accuracy, since no seed was completed"]
    with pytest.raises(RunFolderError, match="no outer fold that was tested"):
        read_nested(nested(tmp_path / "m", tested=[], n_folds=3))
    paths.summary.write_text('{"outer_folds": 1}')
    with pytest.raises(UnreadableFile, match="outer_folds must be 2 or more, got 1"):
        read_nested(paths)
