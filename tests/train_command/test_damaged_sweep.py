"""A sweep that finds damaged files in its folder leaves them out, says so, and does the rest."""

from __future__ import annotations

import shutil
import sqlite3

import pytest
from support.forked import train
from support.train_command import result_of, temporaries

pytestmark = pytest.mark.slow

GRID = [
    "-m", "seed=0,1", "data.n_train=60", "data.n_val=40", "data.n_test=40", "model.width=8", "trainer.epochs=1",
    "tracking=none", "tracking.keep=0", "hydra.sweep.dir=grid",
]  # fmt: skip
SEARCH = [
    *GRID[:1], *GRID[2:8], "hydra/sweeper=optuna", "optimizer.lr=choice(0.001,0.01)", "hydra.sweeper.n_trials=2",
    "hydra/sweeper/sampler=grid", "hydra.sweeper.final={top: 2, seeds: 2}", "hydra.sweep.dir=search",
]  # fmt: skip
SUMMARY = ("best_config.yaml", "report.html", "sweep.json", "trials.csv")


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grid")
    train(*GRID, cwd=folder, check=0)
    return folder / "grid"


@pytest.fixture
def copy(grid, tmp_path):
    return shutil.copytree(grid, tmp_path / "grid")


@pytest.mark.parametrize("name", ["best_config.yaml", "report.html", "trials.csv"])
def test_a_file_that_cannot_be_written_leaves_the_others_as_they_should_be(copy, name):
    for file in SUMMARY[:2] + SUMMARY[3:]:
        (copy / file).unlink()
    (copy / name / "inside").mkdir(parents=True)
    done = train(*GRID, cwd=copy.parent, check=1)
    assert f"Is a directory: 'grid/{name}'" in done.stderr
    assert all((copy / file).is_file() for file in SUMMARY if file != name)
    assert "2 trials" in done.stdout
    assert temporaries(copy) == []


@pytest.mark.parametrize("text", ["[1]", "7", '{"repeats": "two"}', "{"])
def test_a_damaged_manifest_is_named_before_anything_is_trained(copy, text):
    (copy / "sweep.json").write_text(text)
    before = (copy / "trials.csv").stat()
    done = train(*GRID, cwd=copy.parent, check=2)
    assert "grid/sweep.json is damaged" in done.stderr
    assert (copy / "sweep.json").read_text() == text
    assert (copy / "trials.csv").stat() == before


def test_a_damaged_trial_is_trained_again(copy):
    (copy / "0" / "result.json").write_bytes(b"\xff\xfe garbage")
    done = train(*GRID, cwd=copy.parent, check=0)
    assert "grid/0/result.json is damaged" in done.stderr
    assert "1 trial was finished before" in done.stdout
    assert (copy / "trials.csv").read_text().count("completed") == 2


@pytest.fixture(scope="module")
def search(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    train(*SEARCH, cwd=folder, check=0)
    return folder / "search"


@pytest.mark.parametrize("damaged", [["result.json"], ["result.json", "split-2/result.json"]])
def test_a_damaged_point_of_the_final_is_named_and_trained_again(search, tmp_path, damaged):
    copy = shutil.copytree(search, tmp_path / "search")
    (copy / "study.db").unlink()
    with sqlite3.connect(search / "study.db") as one, sqlite3.connect(copy / "study.db") as other:
        one.backup(other)
    first, second = sorted((copy / "final").iterdir())
    before = result_of(first)
    for name in damaged:
        (first / name).write_bytes(b"\xff\xfe garbage")
    kept = [*second.rglob("result.json"), first / "split-1" / "result.json"]
    times = [file.stat().st_mtime_ns for file in kept]
    tables = [(copy / name).read_text() for name in ("final.csv", "final.json")]
    done = train(*SEARCH, cwd=copy.parent, check=0)
    assert all(f"search/final/{first.name}/{name} is damaged" in done.stderr for name in damaged)
    assert [file.stat().st_mtime_ns for file in kept] == times
    assert _numbers(result_of(first)) == _numbers(before)
    assert [(copy / name).read_text() for name in ("final.csv", "final.json")] == tables


def _numbers(result):
    return [result[key] for key in ("status", "metrics", "epochs", "repeats", "config_digest")]


def test_the_record_of_a_trial_is_its_result_and_not_what_hydra_wrote(copy):
    before = (copy / "trials.csv").read_text()
    (copy / "0" / ".hydra" / "overrides.yaml").write_text("[loss=mse, seed=7]\n")
    (copy / "1" / ".hydra" / "overrides.yaml").write_bytes(b"\xff\xfe garbage")
    done = train(*GRID, cwd=copy.parent, check=0)
    assert "2 trials were finished before" in done.stdout
    assert (copy / "trials.csv").read_text() == before
