"""Out-of-fold predictions of a sweep over folds, against scikit-learn's metrics and torch's own softmax."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score
from sklearn.preprocessing import StandardScaler
from support.places import ROOT

from phalanx import MLP, TrainerSpec, TrialSpec, load_dataset, train_cohort
from phalanx.analysis.out_of_fold import write_fold, write_out_of_fold
from phalanx.core.result import Objective, Status, TrialResult
from phalanx.data import Dataset
from phalanx.data.digits import Digits
from phalanx.data.wine import Wine
from phalanx.nn.optimizers.adam import Adam
from phalanx.runs.layout import SweepPaths
from phalanx.runs.stored_run import StoredRun

SPECS = [
    TrialSpec(
        data=Wine(resampling="kfold", folds=3, fold=fold), model=MLP(hidden=(5,)), seed=seed,
        trainer=TrainerSpec(epochs=2),
    )
    for seed in (0, 1)
    for fold in range(3)
]  # fmt: skip


@pytest.fixture(scope="module")
def trained() -> list[tuple[TrialSpec, Dataset, TrialResult]]:
    """Three folds with two seeds."""
    datasets = [load_dataset(spec.data) for spec in SPECS]
    return list(zip(SPECS, datasets, train_cohort(SPECS, datasets), strict=True))


@pytest.fixture
def sweep(trained: list[tuple[TrialSpec, Dataset, TrialResult]], tmp_path: Path) -> tuple[SweepPaths, list[StoredRun]]:
    paths, trials = SweepPaths(tmp_path), []
    for place, (spec, dataset, result) in enumerate(trained):
        paths.trial(place).root.mkdir()
        write_fold(paths.trial(place), spec, dataset, [result])
        overrides = {"data.fold": str(spec.data.fold), "seed": str(spec.seed)}
        trials.append(StoredRun(status=Status.COMPLETED, objective=Objective("val_accuracy", 0.5, "maximize"),
                                metrics={}, number=place, overrides=overrides))  # fmt: skip
    return paths, trials


def probabilities(dataset: Dataset, result: TrialResult) -> np.ndarray:
    """By torch's own layers."""
    w = list(result.weights.values())
    hidden = torch.relu(torch.nn.functional.linear(dataset.val.x_ND, w[0], w[1]))
    return torch.softmax(torch.nn.functional.linear(hidden, w[2], w[3]), 1).numpy()


def test_each_row_is_predicted_by_the_network_of_its_fold(trained, sweep) -> None:
    paths, trials = sweep
    write_out_of_fold(paths, trials)
    table = pd.read_csv(paths.out_of_fold)
    raw = SPECS[0].data.read()
    for place, (spec, dataset, result) in enumerate(trained):
        own = table[table.trial == place]
        order = np.argsort(dataset.row_numbers["val"])
        assert (own.row - 1).tolist() == dataset.row_numbers["val"][order].tolist()
        assert set(own.fold) == {spec.data.fold}
        assert own["class"].astype(str).tolist() == [dataset.classes[label] for label in raw.y[own.row - 1]]
        expected = probabilities(dataset, result)[order]
        np.testing.assert_allclose(own.filter(like="p_").to_numpy(), expected, rtol=1e-5, atol=1e-7)
    held_out = table[table.trial < 3].row
    assert held_out.is_unique
    assert len(held_out) == len(raw.y) - len(trained[0][1].test)


def test_a_fold_that_diverged_has_no_predictions(sweep) -> None:
    paths, trials = sweep
    write_out_of_fold(paths, trials)
    n_rows = len(pd.read_csv(paths.trial(2).out_of_fold))
    best = pd.read_csv(paths.out_of_fold_metrics).accuracy.idxmax()
    lost = 3 * int(best) + 2
    lines = write_out_of_fold(paths, [replace(t, status=Status.DIVERGED) if t.number == lost else t for t in trials])
    assert lost not in set(pd.read_csv(paths.out_of_fold).trial)
    assert "over 142 rows of 3 folds" in lines[0]
    assert f"over {142 - n_rows} rows of 2 folds" in lines[1]


def test_their_metrics_are_those_of_scikit_learn(sweep) -> None:
    paths, trials = sweep
    lines = write_out_of_fold(paths, trials)
    table, metrics = pd.read_csv(paths.out_of_fold), pd.read_csv(paths.out_of_fold_metrics)
    assert metrics.trials.tolist() == ["0 1 2", "3 4 5"]
    assert metrics.seed.tolist() == [0, 1]
    for numbers, found in zip(([0, 1, 2], [3, 4, 5]), metrics.to_dict("records"), strict=True):
        own = table[table.trial.isin(numbers)]
        p_NC, classes = own.filter(like="p_"), [name.removeprefix("p_") for name in own.filter(like="p_")]
        y_N = own["class"].astype(str).map(classes.index)
        predicted = p_NC.to_numpy().argmax(1)
        assert found["rows"] == len(own)
        assert found["accuracy"] == pytest.approx(accuracy_score(y_N, predicted))
        assert found["f1_macro"] == pytest.approx(f1_score(y_N, predicted, average="macro"))
        assert found["auroc"] == pytest.approx(
            roc_auc_score(y_N, p_NC.div(p_NC.sum(axis=1), axis=0), multi_class="ovr")
        )
        assert found["likelihood"] == pytest.approx(
            np.exp(np.log(p_NC.to_numpy()[np.arange(len(own)), y_N]).mean())
        )  # fmt: skip
    best = metrics.loc[metrics.accuracy.idxmax()]
    assert lines[0] == f"out of fold  accuracy {best.accuracy:.6g} over 142 rows of 3 folds  seed={best.seed}"
    assert len(lines) == 2


def test_several_seeds_of_a_trial_predict_by_their_mean(trained, tmp_path: Path) -> None:
    spec, dataset, first = trained[0]
    second = trained[3][2]
    paths = SweepPaths(tmp_path).trial(0)
    paths.root.mkdir()
    write_fold(paths, spec, dataset, [first, second, replace(first, weights=None)])
    mean = (probabilities(dataset, first) + probabilities(dataset, second)) / 2
    found = pd.read_csv(paths.out_of_fold).filter(like="p_").to_numpy()
    np.testing.assert_allclose(found, mean[np.argsort(dataset.row_numbers["val"])], rtol=1e-5, atol=1e-7)
    write_fold(paths, spec, dataset, [replace(first, weights=None)])
    assert not paths.out_of_fold.exists()


def test_a_sweep_without_folds_has_no_such_file(sweep) -> None:
    paths, trials = sweep
    write_out_of_fold(paths, trials)
    assert write_out_of_fold(paths, [replace(trial, overrides={"seed": "0"}) for trial in trials]) == []
    assert write_out_of_fold(paths, trials[:1]) == []
    assert not paths.out_of_fold.exists()
    assert not paths.out_of_fold_metrics.exists()


def test_a_job_of_a_grid_over_folds_writes_its_own_and_one_of_a_search_does_not(tmp_path: Path) -> None:
    from hydra import compose, initialize_config_dir

    from phalanx.jobs.job import Job
    from phalanx.jobs.run import run
    from phalanx.runs.config import register_resolvers
    from phalanx.runs.manifest import Manifest, Sweep

    register_resolvers()
    with initialize_config_dir(str(ROOT / "conf")):
        config = compose("config", ["debug=limit", "tracking=none", "data.resampling=kfold"])
    for number, search in enumerate((False, True)):
        job = Job(config, tmp_path / str(number), Sweep("s", number, Manifest(search=search)))
        job.folder.mkdir()
        run(job)
        assert job.paths.out_of_fold.is_file() is not search


def by_a_plain_loop(x_ND: np.ndarray, y_N: np.ndarray, train: np.ndarray, held: np.ndarray, seed: int) -> np.ndarray:
    """Which held-out samples a network of torch's own layers gets right, with an order and weights of its own."""
    generator = torch.Generator().manual_seed(1000 + seed)
    torch.manual_seed(2000 + seed)
    scaler = StandardScaler().fit(x_ND[train])
    x_BD, y_B = torch.from_numpy(scaler.transform(x_ND[train])).float(), torch.from_numpy(y_N[train])
    net = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.003)
    for _ in range(5):
        for batch in torch.randperm(len(train), generator=generator).split(32):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(x_BD[batch]), y_B[batch]).backward()
            optimizer.step()
    with torch.no_grad():
        return net(torch.from_numpy(scaler.transform(x_ND[held])).float()).argmax(1).numpy() == y_N[held]


def test_a_network_over_folds_is_as_good_out_of_fold_as_in_a_plain_loop(tmp_path: Path) -> None:
    specs = [
        TrialSpec(
            data=Digits(resampling="kfold", folds=5, fold=fold), model=MLP(hidden=(32,)), seed=seed,
            optimizer=Adam(lr=0.003), trainer=TrainerSpec(epochs=5, batch_size=32, keep="last"),
        )
        for seed in range(2)
        for fold in range(5)
    ]  # fmt: skip
    datasets = [load_dataset(spec.data) for spec in specs]
    raw, right, plain = specs[0].data.read(), [], []
    x_ND, y_N = np.asarray(raw.x).reshape(len(raw.y), -1).astype(np.float64), raw.y
    for place, (spec, dataset, result) in enumerate(zip(specs, datasets, train_cohort(specs, datasets), strict=True)):
        paths = SweepPaths(tmp_path).trial(place)
        paths.root.mkdir()
        write_fold(paths, spec, dataset, [result])
        own = pd.read_csv(paths.out_of_fold)
        predicted = own.filter(like="p_").to_numpy().argmax(1)
        right.append(predicted == y_N[own.row - 1])
        held, tested = np.sort(dataset.row_numbers["val"]), dataset.row_numbers["test"]
        train = np.setdiff1d(np.arange(len(y_N)), [*held, *tested])
        plain.append(by_a_plain_loop(x_ND, y_N, train, held, spec.seed))
    ours, theirs = np.concatenate(right), np.concatenate(plain)
    assert min(ours.mean(), theirs.mean()) > 0.9
    # McNemar: of the rows that only one of the two gets right, each has as many, within 4 standard errors.
    assert abs(ours.sum() - theirs.sum()) <= 4 * np.sqrt((ours != theirs).sum())
