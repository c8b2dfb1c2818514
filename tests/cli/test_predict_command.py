"""`phalanx predict`: its outputs and options."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.phalanx_command import assert_refused
from support.saved_models import SHAPE

from phalanx.analysis.predict import predict_file
from phalanx.cli.main import main

pytest_plugins = ("support.saved_models",)


def test_output_file_is_written_whole(run: Path, images: np.ndarray, tmp_path: Path, capsys: Any) -> None:
    np.save(tmp_path / "x.npy", images)
    out = tmp_path / "new folder" / "out.csv"
    assert main(["predict", str(run), str(tmp_path / "x.npy"), "--output", str(out)]) == 0
    assert capsys.readouterr().out == f"wrote 11 predictions to {out}\n"
    assert out.read_text(encoding="utf-8") == predict_file(run, tmp_path / "x.npy").to_csv()
    assert os.listdir(out.parent) == ["out.csv"]


@pytest.mark.parametrize("form", ["csv", "json", "table"])
def test_formats_on_a_pipe(form: str, run: Path, images: np.ndarray, tmp_path: Path, capsys: Any) -> None:
    np.save(tmp_path / "x.npy", images)
    assert main(["predict", str(run), str(tmp_path / "x.npy"), "--format", form, "--top", "2"]) == 0
    found = predict_file(run, tmp_path / "x.npy")
    expected = {"csv": found.to_csv(2), "json": found.to_json(2), "table": found.to_text(2)}[form]
    assert capsys.readouterr().out == expected


@pytest.mark.parametrize(("columns", "shown"), [(120, "p_über"), (60, "class_2"), (40, "predicted")])
def test_terminal_gets_a_table_that_fits(
    columns: int, shown: str, run: Path, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(1).integers(0, 256, (60, *SHAPE)))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main(["predict", str(run), str(tmp_path / "x.npy")]) == 0
    out = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert shown in out
    assert re.search(r" 1 +(cat|dog, big|über) +0\.\d{4} ", out)
    assert max(map(len, out.splitlines())) <= columns
    assert " 50 " in out
    assert " 51 " not in out
    assert "first 50 of 60 rows" in " ".join(out.split())


@pytest.mark.parametrize("options", [["--top", "0"], ["--top", "x"], ["--format", "xml"], ["--outputs", "x"]])
def test_bad_options_are_refused(options: list[str], capsys: Any) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["predict", "run", "x.csv", *options])
    assert stopped.value.code == 2
    assert "usage: phalanx" in capsys.readouterr().err


def test_output_that_is_a_folder_is_refused(run: Path, tmp_path: Path, capsys: Any) -> None:
    assert_refused(capsys, [run, tmp_path / "x.npy", "--output", tmp_path], "is a folder")
