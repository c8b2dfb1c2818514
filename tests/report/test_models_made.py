"""The page of a sweep lists the ensembles and refits in its folder, also those that are made later."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from support.trained_sweeps import write_sweep

from phalanx import MLP, TrainerSpec, TrialSpec
from phalanx.cli.main import main
from phalanx.data.wine import Wine
from phalanx.nn.optimizers.adam import Adam
from phalanx.runs.stored_run import read_stored_run

BASE = TrialSpec(data=Wine(), model=MLP(hidden=(4,)), optimizer=Adam(lr=0.01), trainer=TrainerSpec(epochs=2))


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep whose page was written before its ensemble and its refit were made."""
    sweep = write_sweep(
        tmp_path_factory.mktemp("made") / "s", [replace(BASE, seed=seed) for seed in range(2)], kept=[0, 1]
    )
    manifest = json.loads((sweep / "sweep.json").read_text())
    summary = {"status": "completed", "best": 0, "metrics": {}, "params": {}}
    (sweep / "sweep.json").write_text(json.dumps({**manifest, "summary": summary}))
    for command in (
        ["report"],
        ["ensemble"],
        ["refit"],
        ["ensemble", "--into", str(sweep / "my greedy"), "--how", "greedy"],
    ):
        assert main([command[0], str(sweep), *command[1:]]) == 0
    return sweep


@pytest.fixture
def sweep(listed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(listed, tmp_path / "s"))


def rows(sweep: Path) -> list[list[str]]:
    page = (sweep / "report.html").read_text()
    table = re.search("<!-- made -->(.*)<!-- end of made -->", page, re.DOTALL)
    assert table is not None
    return [re.findall("<td[^>]*>(.*?)</td>", row) for row in re.findall("<tr><td>.*?</tr>", table[1])]


def test_those_that_are_made_later_are_put_into_the_page(sweep) -> None:
    links = [row[0] for row in rows(sweep)]
    assert links == [
        '<a href="ensemble/">ensemble</a>', '<a href="refit/">refit</a>', '<a href="my%20greedy/">my greedy</a>',
    ]  # fmt: skip
    for row, name in zip(rows(sweep), ("ensemble", "refit", "my greedy"), strict=True):
        stored = read_stored_run(sweep / name)
        value, low_high = stored.metrics["test_accuracy"], stored.intervals["test_accuracy"]
        assert row[2] == f"{value:.4f} [{low_high[0]:.3f}, {low_high[1]:.3f}]"
        known = stored.metrics["val_accuracy"]
        assert row[1] == ("–" if known is None else f"{known:.4f}")
    assert "no longer the best" not in (sweep / "report.html").read_text()


def test_a_page_that_is_written_again_has_them_as_they_are_then(sweep, capsys) -> None:
    before = rows(sweep)
    assert main(["report", str(sweep)]) == 0
    assert rows(sweep) == before
    shutil.rmtree(sweep / "ensemble")
    assert main(["report", str(sweep / "refit")]) == 0
    assert main(["report", str(sweep)]) == 0
    assert rows(sweep)[0][0] == '<a href="refit/report.html">refit</a>'
    manifest = json.loads((sweep / "sweep.json").read_text())
    manifest["summary"]["best"] = 1
    (sweep / "sweep.json").write_text(json.dumps(manifest))
    assert main(["report", str(sweep)]) == 0
    assert "refit: Trained again" in (sweep / "report.html").read_text()
    assert "Note: of trial 0, which is no longer the best." in (sweep / "report.html").read_text()


def test_a_damaged_one_is_named_and_the_others_stay(sweep, capsys) -> None:
    (sweep / "my greedy" / "ensemble.json").write_text("{}")
    assert main(["report", str(sweep)]) == 1
    assert "my greedy/ensemble.json" in capsys.readouterr().err
    assert rows(sweep)[1][0] == '<a href="refit/">refit</a>'
    assert "Left out: " in (sweep / "report.html").read_text()


def test_what_is_made_outside_leaves_the_page_alone(sweep, tmp_path, capsys) -> None:
    before = (sweep / "report.html").read_text()
    assert main(["ensemble", str(sweep), "--into", str(tmp_path / "outside")]) == 0
    assert (sweep / "report.html").read_text() == before
    assert "listed in" not in capsys.readouterr().out
