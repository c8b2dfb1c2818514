"""A table on the command line: what is advised is typed into a shell until it trains, and everything tells the same."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from support.train_command import TRAIN, environment, only, result_of

from phalanx.runs.model_file import load_model


def typed(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """What a shell answers to a command line."""
    whole = f"{shlex.quote(sys.executable)} {command}"
    return subprocess.run(
        ["bash", "-c", whole], cwd=folder, capture_output=True, text=True, timeout=300, env=environment()
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table as a German spreadsheet writes it, and rows to predict."""
    folder = tmp_path_factory.mktemp("tables")
    gaps = {3: "k.A.", 50: "k.A.", 71: "#WERT!"}
    rows = [
        f"{i};{i % 7},5;{gaps.get(i, f'{1000 + i * i:,}'.replace(',', '.'))};{'mw'[i % 2]};0;{'ja' if i % 3 else 'nein'}"
        for i in range(90)
    ]
    text = "\n".join(["Umfrage 2026;;;;;", "lfd. Nr.;Größe (m);Gehalt;sex;flag;Antwort", *rows, ";;;;;", ""])
    (folder / "table.csv").write_bytes(text.encode("cp1252"))
    new = "flag;sex;Größe (m);Gehalt\n20;M;1,5;1.500\n0;m;2,5;1.600\n"
    (folder / "new.txt").write_bytes(new.encode("cp1252"))
    return folder


@pytest.mark.slow
def test_what_makes_an_accuracy_meaningless_is_told_everywhere(tmp_path: Path) -> None:
    """Noise beside a row counter in a file that is sorted by class, and a class that nearly all rows have."""
    rows = [f"{i},{i * 7919 % 1000},{'yes' if i < 186 else 'no'}" for i in range(200)]
    (tmp_path / "table.csv").write_text("\n".join(["id,noise,answer", *rows]))
    options = "data=csv data.path=table.csv data.target=answer trainer.epochs=2 tracking=none"
    done = typed(f"{shlex.quote(TRAIN)} {options}", tmp_path)
    assert done.returncode == 0, done.stderr
    notes = (
        "93.0% of the rows have the class 'yes': whoever always says so has that accuracy",
        "class 'yes' has 186 samples and class 'no' 14, of which an accuracy hides the rare one: "
        "objective=val_balanced_accuracy counts both the same, and loss.class_weights=balanced trains so",
        "column 'id' counts the rows, which are sorted by class: in new rows that says nothing, so type 'data.drop=[id]'",
    )
    run = only(tmp_path / "outputs" / "runs")
    assert tuple(result_of(run)["data"]["notes"]) == notes
    report = typed(f"-m phalanx report {shlex.quote(str(run))}", tmp_path)
    assert report.returncode == 0, report.stderr
    page = (run / "report.html").read_text().replace("&#39;", "'")
    for note in notes:
        assert done.stdout.count(f"\nnote: {note}\n") == 1
        assert page.count(note) == 1
    again = typed(f"{shlex.quote(TRAIN)} {options} {notes[2].rpartition('type ')[2]}", tmp_path)
    assert (again.returncode, again.stdout.count("\nnote: ")) == (0, 2), again.stderr


@pytest.mark.slow
def test_what_is_advised_is_typed_until_it_trains(folder: Path) -> None:
    options = {
        "data": "csv",
        "data.path": "table.csv",
        "data.target": "Antwort",
        "trainer.epochs": "2",
        "tracking": "none",
    }
    parts = {key: f"{key}={value}" for key, value in options.items()} | {"data.drop": "\"data.drop=['lfd. Nr.']\""}
    messages = []
    for _ in range(4):
        done = typed(f"{shlex.quote(TRAIN)} {' '.join(parts.values())}", folder)
        assert "Traceback" not in done.stderr
        if done.returncode == 0:
            break
        assert done.returncode == 2, done.stderr
        messages.append(done.stderr)
        advice = done.stderr.rpartition("type ")[2].strip()
        for word in shlex.split(advice):
            parts[word.split("=")[0]] = shlex.quote(word)
    else:
        pytest.fail("\n".join(messages))
    assert len(messages) == 2  # the encoding, then the title and all that the cells leave open
    line = (
        "3 numeric, 1 text (sex: 2 categories), left out: lfd. Nr.; constant in training and so without effect: flag; "
        "3 of 90 rows left out, with missing Gehalt 3 ('k.A.', '#WERT!')"
    )
    assert f"\ninputs: {line}\n" in done.stdout
    run = only(folder / "outputs" / "runs")
    assert result_of(run)["data"]["inputs"] == line
    report = typed(f"-m phalanx report {shlex.quote(str(run))}", folder)
    assert report.returncode == 0, report.stderr
    assert "constant in training and so without effect: flag" in (run / "report.html").read_text()
    reader = load_model(run).features.reader
    assert (reader.layout.encoding, reader.layout.delimiter, reader.notation.decimal) == ("cp1252", ";", ",")

    predicted = typed(f"-m phalanx predict {shlex.quote(str(run))} new.txt", folder)
    assert predicted.returncode == 0, predicted.stderr
    assert "note: column 'sex': 1 row with a text that training never had" in predicted.stderr
    assert "'M' (1 row, nearest: 'm')" in predicted.stderr
    assert len(predicted.stdout.splitlines()) == 3

    again = typed(f"{shlex.quote(TRAIN)} from_run={shlex.quote(str(run))} -m seed=0,1 hydra.sweep.dir=sweep", folder)
    assert again.returncode == 0, again.stderr
    assert again.stdout.count(f"inputs: {line}\n") == 1
    assert result_of(folder / "sweep" / "0")["metrics"] == result_of(run)["metrics"]
    assert line in (folder / "sweep" / "report.html").read_text().replace("&#39;", "'")
