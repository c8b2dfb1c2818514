"""The mean of the networks of all folds, against averaging by hand."""

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
from phalanx.runs.layout import SweepPaths
from phalanx.runs.model_file import save_model

N_FOLDS = 3
WORSE, BETTER = 4, 6  # hidden units


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep over folds, two seeds and two widths, as a grid leaves it; the narrow network came first."""
    root = tmp_path_factory.mktemp("sweep")
    (root / "sweep.json").write_text(json.dumps({"search": False}))
    specs = [
        TrialSpec(data=Wine(resampling="kfold", folds=N_FOLDS, fold=fold), model=MLP(hidden=(width,)), seed=seed,
                  trainer=TrainerSpec(epochs=1))
        for width in (WORSE, BETTER) for fold in range(N_FOLDS) for seed in range(2)
    ]  # fmt: skip
    data = [load_dataset(spec.data) for spec in specs]
    for number, (spec, dataset, trained) in enumerate(zip(specs, data, train_cohort(specs, data), strict=True)):
        (width,) = spec.model.hidden
        typed = (f"model.width={width}", f"data.fold={spec.data.fold}", f"seed={spec.seed}", "tracking.keep=12")
        content = result(0.7 + 0.01 * width + 0.1 * (number == 0), spec.seed, overrides=typed)
        write_run(root / str(number), content, overrides=typed)
        save_model(SweepPaths(root).trial(number).model, spec, dataset, trained)
    return root


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Wines with the usual sizes of their measurements."""
    x_ND = Wine().read().x[::20]
    np.save(tmp_path / "rows.npy", x_ND)
    return tmp_path / "rows.npy"


def printed(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[np.ndarray, str]:
    """The probabilities that `phalanx predict` prints, and what it says beside them."""
    assert main(["predict", *arguments, "--format", "json"]) == 0
    said = capsys.readouterr()
    classes = ("0", "1", "2")
    return np.array([[row["p"][f"class_{c}"] for c in classes] for row in json.loads(said.out)]), said.err


def test_the_networks_of_all_folds_and_seeds_of_the_best_setting_predict_by_their_mean(models, rows, capsys) -> None:
    found, said = printed([str(models), str(rows), "--folds"], capsys)
    alone = [predict_file(models / str(number), rows).p_NC for number in range(6, 12)]
    assert np.ptp(alone, axis=0).max() > 0.01
    np.testing.assert_allclose(found, np.mean(alone, axis=0), rtol=2e-6, atol=1e-9)
    assert "the mean of 6 networks predicts, trials 6, 7, 8, 9, 10, 11: model.width=6" in said
    best, said = printed([str(models), str(rows)], capsys)  # without --folds it is one network, as before
    np.testing.assert_allclose(best, predict_file(models / "0", rows).p_NC, rtol=2e-6, atol=1e-9)


def test_what_is_missing_is_said(models, rows, tmp_path, capsys) -> None:
    kept = models / "7" / "model.safetensors"
    kept.rename(tmp_path / "aside")
    try:
        assert main(["predict", str(models), str(rows), "--folds"]) == 2
        said = " ".join(capsys.readouterr().err.split())
        assert "all 6 trials of a setting, and trial 7 of" in said
        assert "tracking.keep=12" in said
    finally:
        (tmp_path / "aside").rename(kept)
    assert main(["predict", str(models / "3"), str(rows), "--folds"]) == 2
    assert "--folds needs the folder of a sweep over folds" in " ".join(capsys.readouterr().err.split())
