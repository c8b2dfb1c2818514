"""What predicts for the folder of a nested search, against averaging by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.run_folders import result, write_run

from phalanx import MLP, TrainerSpec, TrialSpec, load_dataset, train_cohort
from phalanx.analysis.predict import predict_file
from phalanx.cli.main import main
from phalanx.data.wine import Wine
from phalanx.runs.layout import NestedPaths
from phalanx.runs.model_file import save_model

N_FOLDS = 3


@pytest.fixture
def nested(tmp_path: Path) -> NestedPaths:
    """A nested search of one trial in each outer fold, with the networks that the outer folds tested."""
    paths = NestedPaths(tmp_path / "n")
    for fold in range(N_FOLDS):
        data = Wine(outer_folds=N_FOLDS, outer_fold=fold)
        spec = TrialSpec(data=data, model=MLP(hidden=(4,)), seed=fold, trainer=TrainerSpec(epochs=1))
        sweep, dataset = paths.outer(fold), load_dataset(data)
        write_run(sweep.trial(0).root, result(0.9), overrides=["loss=mse"])
        sweep.manifest.write_text(json.dumps({"search": True}))
        seed = {"seed": 1, "status": "completed", "value": 0.8, "best_epoch": 1, "metrics": {"test_accuracy": 0.8},
                "epochs": 1}  # fmt: skip
        write_run(sweep.final(0).root, result(repeats=[seed]))
        save_model(sweep.final(0).model, spec, dataset, train_cohort([spec], [dataset])[0])
    paths.summary.write_text(json.dumps({"outer_folds": N_FOLDS}))
    np.save(tmp_path / "rows.npy", Wine().read().x[::20])
    return paths


def test_the_networks_that_the_outer_folds_tested_predict_by_their_mean(nested, tmp_path, capsys) -> None:
    rows = tmp_path / "rows.npy"
    assert main(["predict", str(nested.root), str(rows), "--format", "json"]) == 0
    printed = capsys.readouterr()
    alone = [predict_file(nested.outer(fold).final(0).root, rows).p_NC for fold in range(N_FOLDS)]
    found = np.array([[row["p"][f"class_{c}"] for c in range(3)] for row in json.loads(printed.out)])
    assert np.abs(found - np.mean(alone, axis=0)).max() < 1e-6
    assert np.abs(alone[0] - alone[1]).max() > 1e-3  # so the mean is none of them
    assert "the mean of 3 networks predicts, one of each outer fold" in printed.err


def test_a_nested_search_that_is_not_whole_says_what_is_there(nested, tmp_path, capsys) -> None:
    rows = str(tmp_path / "rows.npy")
    nested.outer(1).final(0).model.unlink()
    assert main(["predict", str(nested.root), rows]) == 2
    said = capsys.readouterr().err
    assert f"{nested.outer(1).final(0).model} does not exist" in said
    assert f"such as {nested.outer(0).final(0).root}" in said
    nested.outer(1).manifest.unlink()  # its search has not begun
    assert main(["predict", str(nested.root), rows]) == 0
    assert "the mean of 2 of 3 networks predicts" in capsys.readouterr().err


def test_where_a_run_is_needed_a_nested_search_names_its_runs(nested, capsys) -> None:
    assert main(["inspect", str(nested.root)]) == 2
    said = capsys.readouterr().err
    assert "is the folder of a nested search" in said
    assert str(nested.outer(2).final(0).root) in said
    for fold in range(N_FOLDS):
        nested.outer(fold).final(0).result.unlink()
    assert main(["inspect", str(nested.root)]) == 2
    assert "none of them has tested its choice yet" in capsys.readouterr().err
