"""A point of a final on several splits: its seeds' results as one."""

from __future__ import annotations

import json

import pytest
from support.run_folders import config, result, write_run

from phalanx.core.result import Status
from phalanx.runs.final_folder import combine_splits
from phalanx.runs.layout import RunPaths, SweepPaths
from phalanx.runs.stored_run import read_stored_run


def splits(root, values, statuses=None):
    """The folders of a point's splits; None stands for a split that has no result yet."""
    folders = {}
    for place, value in enumerate(values):
        split = place + 1
        folders[split] = SweepPaths(root).final_split(7, split)
        status = statuses[place] if statuses else "completed"
        if value is not None:
            content = result(value, seed=10 + place, status=status, data=f"d{split}", test=value - 0.1,
                             error="NaN" if status != "completed" else None)  # fmt: skip
            write_run(folders[split].root, content, config(10 + place, data__split_seed=split), ["optimizer.lr=0.1"])
    return folders


def test_the_point_is_the_mean_of_its_seeds_and_knows_each_ones_split(tmp_path):
    target = SweepPaths(tmp_path).final(7)
    combine_splits(target, splits(tmp_path, [0.8, 0.9, 0.7]))
    found = read_stored_run(target.root)
    assert (found.status, found.number, found.aggregate) == (Status.COMPLETED, 7, "mean")
    assert found.value == pytest.approx(0.8)
    assert found.metrics["test_accuracy"] == pytest.approx(0.7)
    assert found.metrics["test_loss"] is None
    assert [(seed.seed, seed.split_seed, seed.data_digest, seed.value) for seed in found.repeats] == [
        (10, 1, "d1", 0.8), (11, 2, "d2", 0.9), (12, 3, "d3", 0.7),
    ]  # fmt: skip
    assert (found.train_seconds, found.overrides) == (1.5, {"optimizer.lr": "0.1"})
    assert json.loads(target.config_resolved.read_text())["seed"] == 10


def test_one_seed_that_diverged_makes_the_point_diverge(tmp_path):
    target = SweepPaths(tmp_path).final(7)
    combine_splits(target, splits(tmp_path, [0.8, 0.9, 0.7], ["diverged", "completed", "completed"]))
    found = read_stored_run(target.root)
    assert (found.status, found.value) == (Status.DIVERGED, None)
    assert found.error == "split 1: NaN (1 of 3 seeds)"
    assert [seed.status for seed in found.repeats] == [Status.DIVERGED, Status.COMPLETED, Status.COMPLETED]
    assert found.objective.name == "val_accuracy"


def test_a_point_with_a_split_that_was_not_trained_has_no_result_yet(tmp_path):
    target = RunPaths(tmp_path / "final" / "7")
    assert combine_splits(target, splits(tmp_path, [0.8, None, 0.7])) is None
    assert not target.result.exists()


def test_a_row_of_a_search_says_nothing_of_splits(tmp_path):
    rows = [{"seed": s, "status": "completed", "value": 0.9, "metrics": {}, "best_epoch": 1, "epochs": 1, "error": None}
            for s in (1, 2)]  # fmt: skip
    folder = write_run(tmp_path / "0", result(repeats=rows))
    assert list(read_stored_run(folder).to_json()["repeats"]) == rows
