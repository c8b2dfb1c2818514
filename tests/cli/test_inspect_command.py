"""`phalanx inspect`: its table, histograms, figures and messages, on a real trained network."""

from __future__ import annotations

import json
import shutil

import pytest
from support.run_folders import result, write_run
from support.trained_runs import train

from phalanx.cli.inspect import BLOCKS, PLAIN, bars
from phalanx.cli.main import main
from phalanx.runs.tensor_file import read_tensors, write_tensors


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train(tmp_path_factory.mktemp("runs") / "run")


def test_bars_are_full_at_the_highest_and_seen_where_anything_is():
    assert bars((0, 1, 50, 100), BLOCKS) == " ▁▄█"
    assert bars((0, 1, 50, 100), PLAIN) == " .=@"
    assert bars((0, 0), BLOCKS) == "  "


def test_the_table_and_the_figures(run, tmp_path, capsys):
    target = tmp_path / "layers.png"
    assert main(["inspect", str(run), "--figure", str(target)]) == 0
    printed = capsys.readouterr().out
    for text in ("thresholds: mlp 1-8-6-3 relu", "layers.2.bias", "6 x 8", "dead units", "█", "wrote"):
        assert text in printed
    assert target.stat().st_size > 5000
    assert (tmp_path / "layers_hidden.png").stat().st_size > 5000  # the data have one feature


def test_a_model_without_its_folder_is_shown_without_its_data(run, tmp_path, capsys):
    shutil.copy(run / "model.safetensors", tmp_path / "m.safetensors")
    assert main(["inspect", str(tmp_path / "m.safetensors")]) == 0
    printed = capsys.readouterr().out
    assert "dead units" not in printed
    assert "without its run folder a model has no data" in printed


@pytest.mark.parametrize("command", ["inspect", "calibrate"])
def test_a_sweep_means_its_best_trial(command, run, tmp_path, capsys):
    for number, value in ((0, 0.5), (1, 0.9)):
        shutil.copytree(run, tmp_path / str(number))
        own = json.loads((run / "result.json").read_text())
        objective = {**own["objective"], "value": value, "direction": "maximize"}
        told = {**own, "objective": objective, "objectives": [objective]}
        (tmp_path / str(number) / "result.json").write_text(json.dumps(told))
    (tmp_path / "sweep.json").write_text("{}")
    assert main([command, str(tmp_path)]) == 0
    assert "note: trial 1 is used, the best of the sweep\n" in capsys.readouterr().out


def test_units_are_dead_by_relu_alone(tmp_path, capsys):
    assert main(["inspect", str(train(tmp_path / "r", activation="tanh"))]) == 0
    printed = capsys.readouterr().out
    assert "dead units are told of relu alone; this network has tanh" in printed


def test_a_network_that_diverged_can_be_looked_at(run, tmp_path, capsys):
    shutil.copytree(run, tmp_path / "r")
    file = tmp_path / "r" / "model.safetensors"
    about, weights = read_tensors(file)
    weights["layers.1.bias"][:] = float("nan")
    write_tensors(file, weights, about)
    assert main(["inspect", str(tmp_path / "r"), "--figure", str(tmp_path / "f.svg")]) == 0
    assert "6 not finite" in capsys.readouterr().out


@pytest.mark.parametrize(("arguments", "message"), [
    (["absent"], "absent is not a folder"), (["kept"], "this run kept no weights"),
    (["kept", "--figure", "x.gif"], "must end in .png or .svg"),
    (["bad.safetensors"], "is not a model written by Phalanx"),
])  # fmt: skip
def test_a_wrong_request_ends_with_2(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "kept", result())
    (tmp_path / "bad.safetensors").write_bytes(b"x")
    assert main(["inspect", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_a_curve_that_lacks_epochs_is_noted(run, tmp_path, capsys):
    shutil.copytree(run, tmp_path / "r")
    metrics = tmp_path / "r" / "metrics.csv"
    metrics.write_text("".join(metrics.read_text().splitlines(keepends=True)[:2]))
    assert main(["inspect", str(tmp_path / "r")]) == 0
    assert "metrics.csv is damaged: it has 1 of the 2 epochs that its result.json names" in capsys.readouterr().out
    metrics.unlink()
    assert main(["inspect", str(tmp_path / "r")]) == 0
    assert "note: " not in capsys.readouterr().out
