"""Damaged files of runs and sweeps: a few cases of `make fuzz-folders`, and what each of them should say."""

from __future__ import annotations

import json
import random

import pytest
from support.damage import inside, whole
from support.folder_commands import BROKEN_OFF, GRID, IN_PROCESS, RUN, SEARCH, Outcome, commands
from support.folder_fuzzer import Case, Workplace, faults, fuzz
from support.phalanx_command import phalanx_command
from support.run_folders import write_grid

from phalanx.cli.main import main

N_CASES = 80
ACCURACY = {"mse": {0: 0.8, 1: 0.81, 2: 0.82}, "nll": {0: 0.9, 1: 0.91, 2: 0.92}}


@pytest.mark.slow
def test_no_damaged_file_ends_a_command_with_a_traceback_or_takes_others_with_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # as it was when the test has ended
    place, draw = Workplace(tmp_path, RUN, GRID), random.Random(0)
    pairs = [(case, name) for case in place.cases(5, draw) for name in commands(case.root) if name in IN_PROCESS]
    found: list[str] = []
    counts = fuzz(place, draw.sample(pairs, N_CASES), found.append)
    assert found == []
    assert sum(n for name, n in counts.items() if name.startswith("command ")) == N_CASES


@pytest.mark.slow
def test_no_damaged_file_misleads_a_resume_or_a_sweep_that_is_started_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    place, draw = Workplace(tmp_path, BROKEN_OFF, GRID), random.Random(1)
    pairs = [
        (case, name) for case in place.cases(2, draw) for name in commands(case.root) if name in ("resume", "again")
    ]
    found: list[str] = []
    fuzz(place, draw.sample(pairs, 10), found.append)
    assert found == []


@pytest.fixture
def grid(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_grid(tmp_path / "grid", ACCURACY)


@pytest.mark.parametrize("file", ["result.json", ".hydra/overrides.yaml", "config.yaml", "metrics.csv"])
def test_the_report_shows_the_other_trials_and_names_the_damaged_file(grid, file, capsys):
    (grid / "1" / file).write_bytes(b"\xff\x00 garbage")
    assert main(["report", "grid"]) == 1
    said = capsys.readouterr()
    assert said.out == "wrote grid/report.html\n"
    assert said.err.startswith(f"phalanx: the report is whole, but for:\n  - grid/1/{file} is damaged")
    page = (grid / "report.html").read_text()
    assert f"grid/1/{file} is damaged" in page
    assert all(f"trial {number}: completed" in page for number in (0, 2, 3, 4, 5))


def shorten(run):
    """Removes the last epoch."""
    lines = (run / "metrics.csv").read_text().splitlines(keepends=True)
    (run / "metrics.csv").write_text("".join(lines[:-1]))


def test_a_curve_that_lacks_epochs_is_named_and_no_result_is_left_out(grid, capsys):
    assert main(["compare", "grid", "--by", "loss"]) == 0
    before = capsys.readouterr().out
    assert "lacks" not in before
    shorten(grid / "1")
    fault = "grid/1/metrics.csv is damaged: it has 1 of the 2 epochs that its result.json names"
    assert main(["compare", "grid", "--by", "loss"]) == 0
    said = capsys.readouterr().out
    assert f"{fault}; its result is compared all the same" in " ".join(said.split())
    assert before.rstrip() in said
    assert main(["compare", "grid/1"]) == 0
    assert fault in " ".join(capsys.readouterr().out.split())
    assert main(["report", "grid"]) == 1
    assert fault in capsys.readouterr().err
    assert "trial 1: completed" in (grid / "report.html").read_text()
    assert main(["report", "grid/1"]) == 2
    assert fault in capsys.readouterr().err
    for number in range(6):
        (grid / str(number) / "metrics.csv").write_text("epoch\n")
    assert main(["compare", "grid", "--by", "loss"]) == 0
    assert "1 more curves lack epochs" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("text", ["[]", '"text"', "7", "null", '{"search": "yes"}', '{"ending": 3}'])
def test_a_manifest_of_another_form_is_named(grid, text, capsys):
    (grid / "sweep.json").write_text(text)
    assert main(["report", "grid"]) == 1
    assert "grid/sweep.json is damaged" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("key", "value"),
    [("epochs", "NaN"), ("train_seconds", "Infinity"), ("seed", '"one"'), ("n_parameters", "9" * 400), ("metrics", "[1]"),
     ("best_epoch", "2.5"), ("device", "3"), ("status", "null"), ("objective", "0.5"), ("epochs", "9" * 5000)],
)  # fmt: skip
def test_a_value_of_another_type_leaves_out_its_trial_alone(grid, key, value, capsys):
    file = grid / "1" / "result.json"
    content = json.loads(file.read_text())
    content[key] = "HERE"
    file.write_text(json.dumps(content).replace('"HERE"', value))
    assert main(["report", "grid"]) == 1
    assert "grid/1/result.json is" in capsys.readouterr().err
    assert "trial 2: completed" in (grid / "report.html").read_text()


def test_the_same_in_a_process_of_its_own(grid):
    (grid / "1" / "result.json").write_text("[" * 100_000)
    done = phalanx_command("report", "grid", cwd=grid.parent)
    assert (done.returncode, done.stdout) == (1, "wrote grid/report.html\n")
    assert "grid/1/result.json is damaged" in done.stderr


def test_the_fuzzer_knows_a_fault_when_it_sees_one(grid, monkeypatch):
    """Its oracle refuses a traceback, a silent loss, and a sweep that one trial takes with it."""
    damage = next(d for d in whole(grid / "1" / "result.json") if d.kind == "garbage")
    case, before = Case(GRID, "1/result.json", damage), Outcome(0, "six trials", "")
    bad = [
        Outcome("KeyError", "", "Traceback (most recent call last):\nKeyError: 'a'"), Outcome(0, "five trials", ""),
        Outcome(2, "", "grid/1/result.json is damaged"), Outcome(1, "", "something is damaged"),
    ]  # fmt: skip
    assert all(list(faults(case, "report", outcome, before)) for outcome in bad)
    assert not list(faults(case, "report", Outcome(1, "five trials", "1/result.json is damaged"), before))
    ended = Outcome(2, "", "s/final/1/result.json is damaged")  # a point of the final is a trial too
    assert list(faults(Case(SEARCH, "final/1/result.json", damage), "again", ended, before))


def test_every_damage_changes_the_file(grid):
    for file in (grid / "1" / "result.json", grid / "1" / "config.yaml", grid / "1" / "metrics.csv"):
        good = file.read_bytes()
        for damage in [*whole(file), *inside(file)]:
            damage.apply(file)
            assert not file.is_file() or file.read_bytes() != good, damage
            if file.is_dir():
                (file / "inside").rmdir()
                file.rmdir()
            elif file.is_symlink():
                file.unlink()
            file.write_bytes(good)
