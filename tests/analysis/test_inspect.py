"""`phalanx inspect`: the statistics, the dead units, the text histograms, the figures, on a real trained network."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from support.run_folders import result, write_run

from phalanx import MLP, TrainerSpec, TrialSpec, load_dataset, train_trial
from phalanx.analysis.inspect import BINS, hidden_layers, inspect_run, tensor_info
from phalanx.cli.inspect import BLOCKS, PLAIN, bars
from phalanx.cli.main import main
from phalanx.data.thresholds import Thresholds
from phalanx.report.run_figures.layers import LayerHistogram, LayersInfo, draw_layers
from phalanx.runs.layout import RunPaths
from phalanx.runs.model_file import load_model
from phalanx.runs.run_folder import write_run as write_real_run


def train(folder, hidden=(8, 6), activation="relu"):
    """A real run of two epochs on data of one feature, with the configuration that it needs."""
    spec = TrialSpec(data=Thresholds(), model=MLP(hidden=hidden, activation=activation), trainer=TrainerSpec(epochs=2))
    dataset = load_dataset(spec.data)
    write_real_run(RunPaths(folder), spec, dataset, train_trial(spec, dataset))
    content = {"data": {"name": "thresholds"}, "model": {"name": "mlp", "hidden": list(hidden)},
               "loss": {"name": "cross_entropy"}, "optimizer": {"name": "adam"}, "schedule": {"name": "constant"},
               "trainer": {}, "device": {}, "objective": "val_accuracy", "seed": 0}  # fmt: skip
    (folder / "config.yaml").write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train(tmp_path_factory.mktemp("runs") / "run")


def test_statistics_of_a_tensor():
    tensor = torch.tensor([[1.0, -3.0], [float("nan"), 2.0]])
    found = tensor_info("w", tensor)
    assert (found.shape, found.count, found.not_finite, found.low, found.high) == ((2, 2), 4, 1, -3, 2)
    assert (found.mean, found.std) == (pytest.approx(0), pytest.approx(np.std([1, -3, 2])))
    assert found.counts == tuple(np.histogram([1, -3, 2], BINS)[0])
    nothing = tensor_info("w", torch.full((3,), float("inf")))
    assert (nothing.not_finite, nothing.mean, sum(nothing.counts)) == (3, None, 0)
    assert sum(tensor_info("w", torch.zeros(5)).counts) == 5


def test_bars_are_full_at_the_highest_and_seen_where_anything_is():
    assert bars((0, 1, 50, 100), BLOCKS) == " ▁▄█"
    assert bars((0, 1, 50, 100), PLAIN) == " .=@"
    assert bars((0, 0), BLOCKS) == "  "


def test_shapes_and_counts_are_those_of_the_network(run):
    found, saved, dataset = inspect_run(run)
    assert [(t.name, t.shape) for t in found.tensors][:3] == [
        ("layers.0.weight", (8, 1)), ("layers.0.bias", (8,)), ("layers.1.weight", (6, 8)),
    ]  # fmt: skip
    assert found.n_parameters == json.loads((run / "result.json").read_text())["n_parameters"]
    weights = saved.weights["layers.1.weight"].double().numpy()
    assert found.tensors[2].std == pytest.approx(weights.std())
    assert (dataset.n_features, found.notes) == (1, ())


def test_dead_units_are_those_that_no_validation_sample_wakes(run, monkeypatch):
    saved = load_model(run)
    weights = {name: tensor.clone() for name, tensor in saved.weights.items()}
    x_ND = load_dataset(Thresholds()).val.x_ND
    weights["layers.0.weight"][:], weights["layers.0.bias"][:] = 1.0, 1.0 - float(x_ND.min())
    weights["layers.0.bias"][:3] = -1.0 - float(x_ND.max())  # below zero for all samples
    weights["layers.1.weight"][:], weights["layers.1.bias"][:] = 1.0, 1.0
    weights["layers.1.bias"][0] = -1e6
    found = hidden_layers(replace(saved, weights=weights), x_ND)
    assert [(layer.units, layer.dead) for layer in found] == [(8, 3), (6, 1)]
    # Across chunks a unit is dead only if no chunk wakes it.
    monkeypatch.setattr("phalanx.analysis.inspect.CHUNK_ROWS", 7)
    weights["layers.0.bias"][3] = -float(x_ND.median())
    assert hidden_layers(replace(saved, weights=weights), x_ND.sort(0).values)[0].dead == 3


def test_chunks_count_together(run, monkeypatch):
    saved, x_ND = load_model(run), load_dataset(Thresholds()).val.x_ND
    whole = hidden_layers(saved, x_ND)
    monkeypatch.setattr("phalanx.analysis.inspect.CHUNK_ROWS", 7)
    assert hidden_layers(saved, x_ND) == whole


def test_the_table_and_the_figures(run, tmp_path, capsys):
    target = tmp_path / "layers.png"
    assert main(["inspect", str(run), "--figure", str(target)]) == 0
    printed = capsys.readouterr().out
    for text in ("thresholds: mlp 1-8-6-3 relu", "layers.2.bias", "6 x 8", "dead units", "█", "wrote"):
        assert text in printed
    assert target.stat().st_size > 5000
    assert (tmp_path / "layers_hidden.png").stat().st_size > 5000  # the data have one feature


def test_the_figure_shows_every_value():
    shown = LayerHistogram("w", np.arange(10.0)), LayerHistogram("b", np.zeros(1)), LayerHistogram("v", np.array([]))
    figure = draw_layers(LayersInfo("t", shown))
    assert [sum(patch.get_height() for patch in axes.patches) for axes in figure.axes[:3]] == [10, 1, 0]
    assert figure.axes[0].get_title() == "w: 10 values"


def test_a_model_without_its_folder_is_shown_without_its_data(run, tmp_path, capsys):
    shutil.copy(run / "model.safetensors", tmp_path / "m.safetensors")
    assert main(["inspect", str(tmp_path / "m.safetensors")]) == 0
    printed = capsys.readouterr().out
    assert "dead units" not in printed
    assert "without its run folder a model has no data" in printed


def test_data_that_are_gone_or_changed_are_said(run, tmp_path):
    gone, other = tmp_path / "gone", tmp_path / "other"
    for copy in (gone, other):
        shutil.copytree(run, copy)
    config = json.loads((gone / "config.yaml").read_text())
    (gone / "config.yaml").write_text(json.dumps({**config, "data": {"name": "csv", "path": "no.csv", "target": "y"}}))
    found, _, dataset = inspect_run(gone)
    assert dataset is None
    assert "the data cannot be read" in found.notes[0]
    content = json.loads((other / "result.json").read_text())
    (other / "result.json").write_text(json.dumps({**content, "data_digest": "another"}))
    assert inspect_run(other)[0].notes == ("the data have changed since this run was trained",)


def test_units_are_dead_by_relu_alone(tmp_path, capsys):
    assert main(["inspect", str(train(tmp_path / "r", activation="tanh"))]) == 0
    printed = capsys.readouterr().out
    assert "dead units are told of relu alone; this network has tanh" in printed


def test_a_network_that_diverged_can_be_looked_at(run, tmp_path, capsys):
    shutil.copytree(run, tmp_path / "r")
    file = tmp_path / "r" / "model.safetensors"
    from safetensors import safe_open

    with safe_open(file, framework="pt") as stored:
        about = stored.metadata()
    weights = load_file(file)
    weights["layers.1.bias"][:] = float("nan")
    save_file(weights, file, metadata=about)
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
