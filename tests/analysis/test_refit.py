"""A refit against plain PyTorch on rows that are joined and standardised here."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score
from sklearn.preprocessing import StandardScaler
from support import reference
from support.phalanx_command import refusal
from support.train_command import temporaries
from support.trained_sweeps import write_run_of, write_sweep

import phalanx.analysis.refit as refitting
from phalanx import MLP, TrainerSpec, TrialSpec, load_dataset
from phalanx.analysis.predict import predict_file
from phalanx.analysis.refit import lines, refit
from phalanx.cli.main import main
from phalanx.data.wine import Wine
from phalanx.nn.schedules.cosine import Cosine
from phalanx.report.run_figures.curves import curves_info
from phalanx.runs.metrics_csv import read_metrics
from phalanx.runs.model_file import load_model
from phalanx.runs.stored_run import read_stored_run
from phalanx.runs.sweep_folder import run_locations
from phalanx.tracking.records import read_records

SPEC = TrialSpec(
    data=Wine(), model=MLP(hidden=(8,)), schedule=Cosine(), trainer=TrainerSpec(epochs=9, patience=2), seed=3
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of nine epochs whose best one is said to be the sixth."""
    folder = write_run_of(tmp_path_factory.mktemp("runs") / "wine", SPEC)
    content = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps({**content, "best_epoch": 6}))
    return folder


def quietly(run: Path, folder: Path, n_seeds: int = 1):
    return refit(run, n_seeds, folder, lambda text: None)


def joined() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, np.ndarray]:
    """Training and validation rows one behind the other, with their classes, and the test rows with theirs."""
    raw, data = Wine().read(), load_dataset(Wine())
    test, val = data.row_numbers["test"], data.row_numbers["val"]
    rest = np.setdiff1d(np.arange(len(raw.y)), np.concatenate([test, val]))
    scaled = StandardScaler().fit(raw.x[rest]).transform(raw.x).astype(np.float32)
    places = [int(np.abs(scaled[rest] - row).sum(1).argmin()) for row in data.train.x_ND.numpy()]
    rows = np.concatenate([rest[places], val])
    scaler = StandardScaler().fit(raw.x[rows])
    x_ND, test_x_ND = (torch.from_numpy(scaler.transform(raw.x[at]).astype(np.float32)) for at in (rows, test))
    return x_ND, torch.from_numpy(raw.y[rows].astype(np.int64)), test_x_ND, raw.y[test]


def test_it_is_a_plain_training_on_the_joined_rows(run, tmp_path) -> None:
    found = quietly(run, tmp_path / "r")
    x_ND, y_N, test_x_ND, test_y_N = joined()
    assert len(y_N) == len(found.dataset.train) == 142
    assert (found.spec.trainer.keep, found.spec.trainer.patience) == ("last", None)  # nothing chooses, nothing stops it
    # The schedule is planned for nine epochs, and the training left after the sixth.
    net = reference.train(
        (x_ND, y_N), (test_x_ND, torch.from_numpy(test_y_N)), (13, 8, 3), optimizer_options={"lr": SPEC.optimizer.lr},
        schedule="cosine", epochs=9, stop_after=6, seed=3,
    )[1]  # fmt: skip
    with torch.no_grad():
        p_NC = net(test_x_ND).softmax(1).numpy()
    rows = Wine().read().x[load_dataset(Wine()).row_numbers["test"]]
    np.testing.assert_allclose(load_model(tmp_path / "r").predict(rows), p_NC, rtol=2e-4, atol=1e-6)
    assert found.stored.metrics["test_accuracy"] == pytest.approx(accuracy_score(test_y_N, p_NC.argmax(1)))
    validated = read_stored_run(run).metrics
    assert found.validated["test_accuracy"] == validated["test_accuracy"]
    assert found.stored.data_digest == read_stored_run(run).data_digest  # the same test split
    assert found.stored.config_digest != read_stored_run(run).config_digest


def test_validation_is_null_and_everything_copes(run, tmp_path, capsys) -> None:
    folder = tmp_path / "r"
    assert main(["refit", str(run), "--into", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert "trained again on 142 rows for 6 epochs, seed 3" in printed
    assert "test of the validated training  accuracy" in printed
    assert "test of the refit  accuracy" in printed
    stored = read_stored_run(folder)
    assert {name for name, value in stored.metrics.items() if value is None} == {
        name for name in stored.metrics if name.startswith("val_")
    }
    assert (stored.value, stored.best_epoch, stored.epochs, stored.data.n_val) == (None, 6, 6, 0)
    history = read_metrics(folder / "metrics.csv", stored.n_rows)
    assert all(math.isnan(row.val_loss) and math.isfinite(row.train_loss) for row in history)
    drawn = curves_info(history, stored.best_epoch)
    assert (drawn.diverged_epoch, drawn.validated) == (None, False)
    assert sorted(path.stem for path in (folder / "plots").iterdir())[:2] == ["confusion", "curves"]
    for command in (["inspect", folder], ["report", folder], ["report", run], ["diff", run, folder],
                    ["compare", run, folder, "--by", "refit"]):  # fmt: skip
        assert main([*map(str, command)]) == 0, command
    page = (folder / "report.html").read_text()
    assert "Trained again on training and validation rows for 6 epochs, seed 3" in page
    assert main(["calibrate", str(folder)]) == 2
    assert "trained on its validation samples too" in capsys.readouterr().err
    (location,) = run_locations(folder)
    (record,) = read_records(location)
    assert record.params["refit"] == 6
    assert record.metrics["test_accuracy"] == stored.metrics["test_accuracy"]


def test_several_seeds_predict_by_their_mean(run, tmp_path) -> None:
    found = quietly(run, tmp_path / "three", 3)
    alone = []
    for seed in (3, 4, 5):
        other = write_run_of(tmp_path / f"run-{seed}", replace(SPEC, seed=seed))
        content = json.loads((other / "result.json").read_text())
        (other / "result.json").write_text(json.dumps({**content, "best_epoch": 6}))
        alone.append(quietly(other, tmp_path / f"refit-{seed}"))
    rows = Wine().read().x
    mean_NC = np.mean([load_model(one.folder).predict(rows) for one in alone], axis=0)
    np.testing.assert_allclose(load_model(tmp_path / "three").predict(rows), mean_NC, rtol=1e-5, atol=1e-7)
    assert [own["test_loss"] for own in found.own] == [one.stored.metrics["test_loss"] for one in alone]
    assert found.stored.metrics["val_accuracy"] is None
    assert found.stored.n_parameters == 3 * alone[0].stored.n_parameters


def test_of_a_sweep_the_best_point_trains_for_the_median_of_its_best_epochs(tmp_path) -> None:
    folds = [
        replace(SPEC, data=Wine(resampling="kfold", folds=3, fold=fold), model=MLP(hidden=(width,)))
        for width in (1, 8) for fold in range(3)
    ]  # fmt: skip
    sweep = write_sweep(tmp_path / "folds", folds)
    best = [read_stored_run(sweep / str(number)).best_epoch for number in (3, 4, 5)]
    first, *_ = lines(quietly(sweep, sweep / "refit"))
    assert first.endswith(f"the median of the best epochs {', '.join(map(str, best))}, seed 3")
    record = json.loads((sweep / "refit" / "refit.json").read_text())
    assert (record["trials"], record["epochs"]) == ([3, 4, 5], sorted(best)[1])
    assert record["validated"]["test_accuracy"] is not None  # though a search has not read the test split
    rows = tmp_path / "rows.npy"
    np.save(rows, Wine().read().x[:9])
    found = predict_file(sweep, rows)
    assert found.notes[0] == "the refit of the sweep's best point is used"
    np.testing.assert_array_equal(found.p_NC, load_model(sweep / "refit").predict(np.load(rows)))


def test_what_cannot_be_trained_again_is_said(run, tmp_path, capsys) -> None:
    refused = partial(refusal, capsys, "refit")
    assert "is there already" in refused(run, "--into", run)
    assert "is not a folder" in refused(tmp_path / "none")
    quietly(run, tmp_path / "r")
    assert "was trained on its validation rows already" in refused(tmp_path / "r")
    content = json.loads((run / "result.json").read_text())
    for change, message in ({"best_epoch": None}, "has no best epoch"), ({"status": "diverged"}, "is diverged"):
        (run / "result.json").write_text(json.dumps({**content, **change}))
        assert message in refused(run)
    (run / "result.json").write_text(json.dumps(content))


def test_a_kill_leaves_nothing_half_written(run, tmp_path) -> None:
    def child() -> None:
        refitting.write_run = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
        quietly(run, tmp_path / "r")

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert not (tmp_path / "r").exists()
    assert temporaries(tmp_path)
    quietly(run, tmp_path / "r")
    assert [path.name for path in tmp_path.iterdir()] == ["r"]
