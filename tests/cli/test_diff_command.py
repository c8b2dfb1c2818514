"""`phalanx diff`: what it prints and writes, and which requests it refuses."""

from __future__ import annotations

import csv
import json
import shutil

import pytest
from support.damage import inside, whole
from support.pairs import trained
from support.run_folders import config, result, write_grid, write_run

from phalanx.cli.main import main
from phalanx.core.console import plain_console


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    return trained(root / "a"), trained(root / "b", hidden=(6,))


@pytest.fixture
def made_up(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    write_run(tmp_path / "a", result(0.9), curve=[0.8, 0.9])
    write_run(tmp_path / "b", result(0.8), config(0, optimizer__lr=0.5), curve=[0.7, 0.8])
    return tmp_path


def test_it_prints_what_differs_and_writes_tables_and_curves(pair, tmp_path, capsys):
    table, figure = tmp_path / "d.csv", tmp_path / "c.svg"
    assert main(["diff", *map(str, pair), "--samples", "3", "--csv", str(table), "--figure", str(figure)]) == 0
    printed = capsys.readouterr().out
    for text in ("model.hidden", "[12]", "[6]", "data: the same", "McNemar's exact test", "the 3 most confident of"):
        assert text in printed
    found = list(csv.DictReader(table.open()))
    assert {"section": "configuration", "key": "model.hidden", "a": "[12]", "b": "[6]", "change": ""} in found
    assert len(list(csv.DictReader((tmp_path / "d_samples.csv").open()))) > 3
    assert "A, validation" in figure.read_text() or figure.stat().st_size > 10_000


def test_names_are_printed_as_they_are(made_up, capsys):
    cfg = config(0, model__name="[red]net[/red]", loss__name=":cat:", data__path="x\x1b[31m\ny")
    write_run(made_up / "[b]", result(0.8), cfg)
    assert main(["diff", "a", "[b]"]) == 0
    printed = capsys.readouterr().out
    assert "B  [b]" in printed
    assert "[red]net[/red]" in printed
    assert ":cat:" in printed
    assert "\x1b" not in printed


def test_no_interpolation_of_a_folder_is_resolved_and_no_password_is_shown(made_up, monkeypatch, capsys):
    monkeypatch.setenv("MY_OWN_WORD", "hunter2")
    cfg = config(0, data__path="${oc.env:MY_OWN_WORD}", data__root="https://user:pw123@host/x")
    write_run(made_up / "c", result(0.8), cfg)
    assert main(["diff", "a", "c"]) == 0
    said = capsys.readouterr().out
    assert "${oc.env:MY_OWN_WORD}" in said
    assert "hunter2" not in said
    assert "pw123" not in said


def test_tables_fit_80_columns(made_up, capsys, monkeypatch):
    monkeypatch.setattr("phalanx.cli.diff.console", lambda: plain_console(width=80))
    write_run(made_up / "c", result(0.8), config(0, data__path="p/" * 80))
    assert main(["diff", "a", "c"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(len(line) for line in lines if not line.startswith("note: ")) <= 80


@pytest.mark.parametrize(("arguments", "message"), [
    (["a", "a"], "are the same folder"), (["a", "absent"], "absent is not a folder"),
    (["a", "s"], "s is a sweep and a is a run"), (["a", "b", "--samples", "5"], "the samples cannot be compared"),
    (["s", "t", "--samples", "5"], "these are sweeps; give two of their trials"),
    (["a", "b", "--figure", "x.gif"], "must end in .png or .svg"), (["a", "b", "--csv", "a/result.json"], "would lose it"),
])  # fmt: skip
def test_a_wrong_request_ends_with_2(made_up, capsys, arguments, message):
    for name in "st":
        write_grid(made_up / name, {"mse": {0: 0.8}})
        (made_up / name / "sweep.json").write_text('{"search": false}')
    assert main(["diff", *arguments]) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.out == ""


def test_without_curves_no_figure_is_drawn(made_up, capsys):
    for name in "ab":
        (made_up / name / "metrics.csv").unlink()
    assert main(["diff", "a", "b", "--figure", "x.png"]) == 2
    assert "neither A nor B has a curve" in capsys.readouterr().err
    assert main(["diff", "a", "b"]) == 0


def test_a_damaged_file_of_a_run_ends_without_a_traceback(made_up, capsys):
    for file in ("result.json", "config.yaml", "metrics.csv"):
        for damage in [*whole(made_up / "a" / file), *list(inside(made_up / "a" / file))[::20]]:
            shutil.copytree(made_up / "a", made_up / "x")
            damage.apply(made_up / "x" / file)
            assert main(["diff", "x", "b"]) in (0, 2), (file, damage)
            shutil.rmtree(made_up / "x")
    assert "Traceback" not in capsys.readouterr().err


def test_a_trial_that_cannot_be_read_is_named_and_the_others_are_compared(made_up, capsys):
    for name in "st":
        write_grid(made_up / name, {"mse": {0: 0.8, 1: 0.7}, "nll": {0: 0.9}})
        (made_up / name / "sweep.json").write_text(json.dumps({"search": False}))
    (made_up / "s" / "1" / "result.json").write_text("{")
    assert main(["diff", "s", "t"]) == 1
    said = capsys.readouterr()
    assert "s/1/result.json" in said.out
    assert "1 result that cannot be read" in said.err
