"""The inspection of a really trained network: statistics of its tensors, dead units, and its data."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.trained_runs import train

from phalanx import load_dataset
from phalanx.analysis.inspect import BINS, hidden_layers, inspect_run, tensor_info
from phalanx.data.thresholds import Thresholds
from phalanx.runs.model_file import load_model


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
    assert inspect_run(other)[0].notes == (
        f"the data have changed since this run was trained: their digest was another and is {content['data_digest']} now",
    )
