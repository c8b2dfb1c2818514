"""Counts of classes in MLflow: a tag that `phalanx compare --classes` reads again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.trained_sweeps import write_run_of

from phalanx import MLP, TrainerSpec, TrialSpec
from phalanx.analysis.class_scores import class_scores
from phalanx.analysis.compare.mlflow_runs import _run
from phalanx.core.result import ClassCounts
from phalanx.data.wine import Wine
from phalanx.runs.layout import RunPaths
from phalanx.runs.stored_run import SeedResult, read_stored_run, write_stored_run
from phalanx.runs.sweep_folder import RunLocation
from phalanx.tracking.class_tag import CLASSES, class_tag, read_class_tag
from phalanx.tracking.records import RunRecord, read_records

COUNTS = ClassCounts("test", (3, 0, 7), (4, 1, 5), (2, 0, 5))


def tracked(record: RunRecord) -> SimpleNamespace:
    """The run as MLflow gives it back."""
    params = {key: str(value) for key, value in record.params.items()}
    return SimpleNamespace(params=params, tags=record.tags, metrics={}, run_id="r", status="FINISHED", parent=None)


def test_the_scores_of_a_run_in_mlflow_are_those_of_its_folder(tmp_path: Path) -> None:
    run = write_run_of(tmp_path / "run", TrialSpec(data=Wine(), model=MLP(hidden=(4,)), trainer=TrainerSpec(epochs=1)))
    stored = read_stored_run(run)
    (record,) = read_records(RunLocation(RunPaths(run)))
    assert _run(tracked(record), {}).classes == class_scores(stored, stored.classes) != {}
    # Of several seeds each run has its own, and the mean of them none.
    metrics = dict(stored.metrics)
    rows = tuple(
        SeedResult(seed, stored.status, 0.5, metrics, 1, 1, classes=replace(COUNTS, hit=(seed, 0, 1)))
        for seed in range(2)
    )
    write_stored_run(RunPaths(run), replace(stored, classes=None, repeats=rows))
    mean, *seeds = read_records(RunLocation(RunPaths(run)))
    assert CLASSES not in mean.tags
    assert [read_class_tag(seed.tags)[1].hit for seed in seeds] == [(0, 0, 1), (1, 0, 1)]


def test_what_would_be_cut_or_is_damaged_is_none() -> None:
    names = ["a", 'ü "quoted"', "c,\n"]
    assert read_class_tag(class_tag(names, COUNTS)) == (names, COUNTS)
    many = ClassCounts("val", *((1,) * 2000,) * 3)
    assert class_tag([f"class {i}" for i in range(2000)], many) == {}
    assert class_tag(names[:2], COUNTS) == class_tag(names, None) == {}


@pytest.mark.parametrize("text", ["", "[]", '{"split": "test", "names": ["a"], "true": ["1"], "predicted": [1], "hit": [1]}', "{}", "7", '{"split": "test", "true": [1], "predicted": [], "hit": [1]}',
                                  '{"split": "test", "true": [1], "predicted": [1], "hit": [1]}'])  # fmt: skip
def test_a_tag_that_somebody_changed_is_none(text: str) -> None:
    assert read_class_tag({CLASSES: text}) == ((), None)
