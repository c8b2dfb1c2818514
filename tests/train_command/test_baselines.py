"""Networks and baselines in one grid and in one search: what they leave, and what is said."""

from __future__ import annotations

import json

import optuna
import pytest
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from support.forked import train
from support.train_command import only, result_of

from phalanx.analysis.compare.comparison import compare_runs
from phalanx.analysis.compare.sources import read_sources
from phalanx.analysis.predict import predict_file
from phalanx.cli.main import main
from phalanx.core.baselines import FITTED, NOTE
from phalanx.data.cache import dataset_of
from phalanx.data.csv_table import Csv
from phalanx.report.build import write_report
from phalanx.runs.layout import RunPaths
from phalanx.runs.run_folder import read_run
from phalanx.runs.stored_run import read_stored_run
from phalanx.training.loop import train_trial

MODELS = ("mlp2", "logistic_regression", "random_forest")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Four columns of the wine data, without an order."""
    frame = load_wine(as_frame=True).frame.sample(frac=1, random_state=0)
    file = tmp_path_factory.mktemp("table") / "wine.csv"
    frame[["alcohol", "hue", "ash", "proline", "target"]].to_csv(file, index=False)
    return file


@pytest.fixture(scope="module")
def data(table):
    return ["data=csv", f"data.path={table}", "data.target=target", "tracking=none"]


@pytest.fixture(scope="module")
def grid(tmp_path_factory, data):
    """A grid of networks and baselines, and what the command said."""
    folder = tmp_path_factory.mktemp("grid")
    swept = [f"model={','.join(MODELS)}", "loss=nll,mse", "seed=0,1,2", "trainer.epochs=3", "tracking.keep=1"]
    done = train("-m", *data, *swept, cwd=folder, check=0)
    return only(folder / "outputs" / "sweeps"), done.stdout


def test_a_grid_trains_networks_and_baselines_and_says_once_what_means_nothing(grid):
    sweep, said = grid
    results = [result_of(sweep / str(number)) for number in range(18)]
    assert [r["status"] for r in results] == ["completed"] * 18
    assert " ".join(said.split()).count(f"note: {NOTE}") == 1
    assert said.index("note: baselines") < said.index("\ntrial 0 ")
    digests = [[r["config_digest"] for r in results[start : start + 6]] for start in range(0, 18, 6)]
    assert [len(set(found)) for found in digests] == [2, 1, 1]  # the loss makes another network alone
    assert len({r["data_digest"] for r in results}) == 1


def test_networks_and_baselines_are_compared_with_paired_tests(grid):
    (part,) = compare_runs(read_sources([str(grid[0])]).runs).parts
    labels = {group.label: len(group.values) for group in part.groups}
    names = ["logistic_regression/loss=–", "mlp/mse", "mlp/nll", "random_forest/loss=–"]
    assert labels == dict.fromkeys(names, 3)
    assert len(part.differences) == 6
    assert any("6 runs with the configuration and seed of another one: counted once" in note for note in part.notes)
    assert any(note.startswith("logistic_regression gives the same at every seed") for note in part.notes)


def test_a_loss_is_compared_where_it_is_cross_entropy(grid):
    runs = read_sources([str(grid[0])]).runs
    with_other = compare_runs(runs, metric="test_loss").parts[0]
    assert not with_other.differences
    assert any("means something else where loss.name differs" in note for note in with_other.notes)
    baselines = compare_runs([run for run in runs if run.config["model.name"] != "mlp"], metric="test_loss").parts[0]
    assert len(baselines.differences) == 1


def test_a_run_folder_serves_all_commands(grid, table, tmp_path, capsys):
    (run,) = (path.parent for path in grid[0].glob("*/model.safetensors"))  # of the best trial
    assert read_stored_run(run).way == FITTED
    assert {path.name for path in (run / "plots").iterdir()} == {"confusion.png", "mistakes.png", "reliability.png"}
    dataset = dataset_of(Csv(path=str(table), target="target"))
    own = LogisticRegression(max_iter=1000).fit(dataset.train.x_ND.double(), dataset.train.y_N)
    x_ND = dataset.features.transform(Csv(path=str(table), target="target").read().x).astype(float)
    assert predict_file(run, table).p_NC == pytest.approx(own.predict_proba(x_ND), abs=1e-6)
    assert main(["inspect", str(run)]) in (None, 0)
    said = " ".join(capsys.readouterr().out.split())
    assert "model=logistic_regression is fitted by scikit-learn and has no layers" in said
    assert main(["inspect", str(run), "--figure", str(tmp_path / "layers.png")]) == 2
    assert "no layers to draw" in capsys.readouterr().err
    write_report(run, tmp_path / "run.html")
    assert "logistic_regression" in (tmp_path / "run.html").read_text()
    stored, again = read_run(RunPaths(run))[2], train_trial(read_run(RunPaths(run))[0], dataset)
    assert again.metrics == stored.metrics  # its configuration trains it again


def test_a_pruner_knows_nothing_of_baselines_and_the_report_has_two_of_them(tmp_path, table, data):
    search = [
        "hydra/sweeper=optuna", "hydra/sweeper/pruner=median", "hydra.sweeper.study_name=s", "hydra.sweeper.n_trials=2",
        "hydra/sweeper/sampler=brute_force", "model=choice(mlp2,logistic_regression)", "trainer.epochs=2",
    ]  # fmt: skip
    said = train("-m", *data, *search, cwd=tmp_path, check=0).stdout
    assert "; no pruner stops them" in " ".join(said.split())
    sweep = tmp_path / "outputs" / "sweeps" / "s"
    trials = optuna.load_study(study_name="s", storage=f"sqlite:///{sweep / 'study.db'}").trials
    assert {trial.params["model"]: len(trial.intermediate_values) for trial in trials} == {
        "mlp2": 2, "logistic_regression": 0,
    }  # fmt: skip
    lines = json.loads((sweep / "sweep.json").read_text())["baselines"]
    (value,) = [t.value for t in trials if t.params["model"] == "logistic_regression"]
    assert lines["logistic_regression"] == value
    train_y, val_y = (getattr(dataset_of(Csv(path=str(table), target="target")), name).y_N for name in ("train", "val"))
    assert lines["majority"] == pytest.approx(float((val_y == train_y.mode().values).double().mean()))
    assert "logistic regression" in (sweep / "report.html").read_text()


def test_more_neighbours_than_rows_are_refused_before_anything_is_trained(tmp_path, data):
    done = train(*data, "model=nearest_neighbours", "model.n_neighbors=116", cwd=tmp_path, check=2)
    assert "at most 115, the number of training rows, got 116; try model.n_neighbors=115" in done.stderr
    assert not (tmp_path / "outputs").exists()
