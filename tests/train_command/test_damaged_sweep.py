"""A sweep that finds damaged files in its folder leaves them out, says so, and does the rest."""

from __future__ import annotations

import shutil

import pytest
from support.forked import train
from support.train_command import temporaries

pytestmark = pytest.mark.slow

GRID = [
    "-m", "seed=0,1", "data.n_train=60", "data.n_val=40", "data.n_test=40", "model.width=8", "trainer.epochs=1",
    "tracking=none", "tracking.keep=0", "hydra.sweep.dir=grid",
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


@pytest.mark.parametrize("name", ["result.json", ".hydra/overrides.yaml"])
def test_a_damaged_trial_is_trained_again(copy, name):
    (copy / "0" / name).write_bytes(b"\xff\xfe garbage")
    done = train(*GRID, cwd=copy.parent, check=0)
    assert f"grid/0/{name} is damaged" in done.stderr
    assert "1 trial was finished before" in done.stdout
    assert (copy / "trials.csv").read_text().count("completed") == 2
