"""Every stored study runs, found by looking into the folder, so that none can rot."""

from __future__ import annotations

import csv

import pytest
from conftest import ROOT
from test_train_command import only, train

STUDIES = sorted(path.stem for path in (ROOT / "experiments").glob("*/experiment/*.yaml"))


def test_there_are_stored_studies():
    assert STUDIES


@pytest.mark.parametrize("name", STUDIES)
def test_the_study_has_a_page_with_its_command(name):
    page = (ROOT / "experiments" / name / "README.md").read_text()
    assert f"experiment={name}" in page


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDIES)
def test_the_study_runs_small(name, tmp_path):
    train("-m", f"experiment={name}", "debug=limit", cwd=tmp_path, check=0)
    rows = list(csv.DictReader(open(only(tmp_path / "outputs" / "sweeps") / "trials.csv")))
    assert rows
    assert all(row["status"] == "completed" for row in rows)
