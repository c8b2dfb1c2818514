"""What a search makes of its trials when it has ended: an ensemble, and its best point trained again."""

from __future__ import annotations

import json

import numpy as np
import pytest
from support.forked import train
from support.train_command import result_of

from hydra_plugins.phalanx._options import Options
from phalanx.analysis.ensemble.build import make_ensemble
from phalanx.analysis.ensemble.predictions import read_predictions
from phalanx.analysis.predict import predict_file
from phalanx.core.errors import SpecError
from phalanx.data.wine import Wine
from phalanx.runs.layout import SweepPaths
from phalanx.runs.model_file import load_model
from phalanx.runs.tensor_file import read_tensors


def test_a_search_makes_an_ensemble_and_a_refit_of_its_trials(tmp_path) -> None:
    said = train(
        "-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=4", "hydra.sweep.dir=s", "hydra.sweeper.ensemble=greedy",
        "hydra.sweeper.refit=true", "optimizer.lr=interval(0.001,0.01)", "data=wine", "trainer.epochs=2", "tracking=none",
        "tracking.keep=1", cwd=tmp_path, check=0,
    ).stdout  # fmt: skip
    sweep = tmp_path / "s"
    assert "ensemble of " in said
    assert "test of the refit  accuracy" in said
    assert not any((sweep / str(number) / "validation.safetensors").exists() for number in range(4))
    kept = read_predictions(SweepPaths(sweep))
    assert sorted(kept) == [(number, 0) for number in range(4)]
    assert all(result_of(sweep / str(number))["metrics"]["test_accuracy"] is None for number in range(4))
    assert [(sweep / str(number) / "model.safetensors").is_file() for number in range(4)].count(True) == 1
    # Without the predictions all trials are trained again, and the ensemble is the same to the bit.
    (sweep / "validation.safetensors").unlink()
    make_ensemble(sweep, "greedy", None, tmp_path / "again", lambda text: None)
    folders = sweep / "ensemble", tmp_path / "again"
    (about, tensors), (again, same) = (read_tensors(folder / "model.safetensors") for folder in folders)
    assert about == again
    assert all(np.array_equal(tensors[name], same[name]) for name in {*tensors, *same})
    # The refit is what predicts for the sweep.
    rows = Wine().read().x[:5]
    np.save(tmp_path / "rows.npy", rows)
    found = predict_file(sweep, tmp_path / "rows.npy")
    np.testing.assert_array_equal(found.p_NC, load_model(sweep / "refit").predict(rows))
    record = json.loads((sweep / "refit" / "refit.json").read_text())
    assert record["best"] == json.loads((sweep / "sweep.json").read_text())["summary"]["best"]


def test_wrong_values_are_named_all_at_once() -> None:
    with pytest.raises(SpecError) as error:
        Options(sampler={"_target_": "x"}, ensemble="gredy", refit=0, repeats=2, vary=("init", "order", "split"))
    said = str(error.value)
    assert "hydra.sweeper.ensemble must be one of seeds, greedy, best or null, got 'gredy'" in said
    assert (
        "hydra.sweeper.refit must be true, false or a number of seeds, 1 or more, got 0; try hydra.sweeper.refit=true"
        in said
    )
    assert "hydra.sweeper.ensemble needs members with the same split of the data" in said
