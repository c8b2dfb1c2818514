"""`phalanx predict`: its outputs and options."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.phalanx_command import assert_refused
from support.saved_models import N_FEATURES, SHAPE, save_run, write_csv, write_png

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


def test_the_name_of_the_output_chooses_its_format(run: Path, images: np.ndarray, tmp_path: Path, capsys: Any) -> None:
    np.save(tmp_path / "x.npy", images)
    found = predict_file(run, tmp_path / "x.npy")
    for name, form, expected in (
        ("x.json", [], found.to_json()), ("x.csv", [], found.to_csv()), ("x.json", ["--format", "csv"], found.to_csv()),
    ):  # fmt: skip
        assert main(["predict", str(run), str(tmp_path / "x.npy"), "--output", str(tmp_path / name), *form]) == 0
        assert (tmp_path / name).read_text(encoding="utf-8") == expected


def test_files_that_are_no_images_are_named(run: Path, images: np.ndarray, tmp_path: Path, capsys: Any) -> None:
    for i, image in enumerate(images[:3]):
        write_png(tmp_path / "scans" / f"{i}.png", image)
    for name in ("notes.txt", "3.gif", ".hidden"):
        (tmp_path / "scans" / name).write_text("x")
    assert main(["predict", str(run), str(tmp_path / "scans")]) == 0
    assert capsys.readouterr().err == "note: left out, since no .png .jpg .jpeg: 2 of 5 files (3.gif, notes.txt)\n"


@pytest.mark.parametrize("suffix", [".npy", ".csv"])
def test_pixels_in_other_units_have_a_note(suffix: str, images: np.ndarray, tmp_path: Path, capsys: Any) -> None:
    run, source = save_run(tmp_path / "run", largest=(255.0,) * N_FEATURES), tmp_path / f"x{suffix}"
    for rows, note in (
        (images, ""),
        (images / 255, "in every column less than 10%"),
        (images * 257.0, "over 10 times"),
    ):
        np.save(source, rows) if suffix == ".npy" else write_csv(source, rows)
        assert main(["predict", str(run), str(source)]) == 0
        captured = capsys.readouterr()
        assert len(captured.out.splitlines()) == 1 + len(images)
        assert captured.err.startswith("note: the values reach ") if note else captured.err == ""
        assert note in captured.err


def test_a_sweep_means_its_best_trial(run: Path, images: np.ndarray, tmp_path: Path, capsys: Any) -> None:
    np.save(tmp_path / "x.npy", images)
    sweep = tmp_path / "sweep"
    for number, value in ((0, 0.5), (1, 0.9), (2, 0.8), (3, 0.99)):
        shutil.copytree(run, sweep / str(number))
        (sweep / str(number) / "result.json").write_text(json.dumps(full_result(value)))
    (sweep / "3" / "model.safetensors").unlink()
    (sweep / "sweep.json").write_text("{}")
    assert main(["predict", str(sweep), str(tmp_path / "x.npy")]) == 0
    captured = capsys.readouterr()
    assert captured.err == "note: trial 1 is used, the best of the sweep\n"
    assert captured.out == predict_file(run, tmp_path / "x.npy").to_csv()
    (sweep / "final.json").write_text(json.dumps({"best": "trial 2"}))  # its final decides
    assert main(["predict", str(sweep), str(tmp_path / "x.npy")]) == 0
    assert capsys.readouterr().err == "note: trial 2 is used, the best of the sweep\n"
    for number in range(3):
        (sweep / str(number) / "model.safetensors").unlink()
    assert_refused(capsys, [sweep, tmp_path / "x.npy"], "none of its 4 trials keeps weights")


def full_result(value: float) -> dict[str, Any]:
    objective = {"name": "val_accuracy", "value": value, "direction": "maximize"}
    return {
        "status": "completed", "objective": objective, "metrics": {}, "best_epoch": 1, "epochs": 1, "train_seconds": 1.0,
        "seed": 0, "config_digest": "0", "data_digest": "0",
    }  # fmt: skip


def test_a_row_alone_has_the_same_last_bits_as_among_others(run: Path, images: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "all.npy", many := np.concatenate([images] * 60))
    whole = predict_file(run, tmp_path / "all.npy").p_NC
    for row in (0, 3, 511, 512, len(many) - 1):
        np.save(tmp_path / "one.npy", many[row : row + 1])
        assert np.array_equal(predict_file(run, tmp_path / "one.npy").p_NC[0], whole[row])
