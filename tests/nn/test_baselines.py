"""Baselines against scikit-learn by hand, their files, and what such a file must not do."""

from __future__ import annotations

import io
import json
import re
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, brier_score_loss, f1_score, log_loss
from sklearn.neighbors import KNeighborsClassifier

from phalanx import LOSSES, MODELS, OPTIMIZERS, RequestError, TrainerSpec, TrialSpec, load_dataset, train_cohort
from phalanx.core import baselines
from phalanx.core.errors import RunFolderError, TrainingInterrupted
from phalanx.data.digits import Digits
from phalanx.data.wine import Wine
from phalanx.jobs.run_progress import headline, opening
from phalanx.nn.models.estimator import STATE, EstimatorSpec
from phalanx.runs.model_file import load_model, save_model
from phalanx.runs.tensor_file import read_tensors, write_tensors
from phalanx.training.data_check import check_with_data
from phalanx.training.loop import train_trial
from phalanx.training.spec import config_digest, determining

DATA = {"digits": Digits(n_train=80, n_val=40, n_test=60), "wine": Wine()}
CASES = {
    "majority": ({}, lambda seed: DummyClassifier(strategy="most_frequent")),
    "logistic_regression": ({"C": 0.3}, lambda seed: LogisticRegression(C=0.3, max_iter=1000)),
    "random_forest": (
        {"n_estimators": 12, "max_depth": 4, "class_weight": "balanced"},
        lambda seed: RandomForestClassifier(12, max_depth=4, class_weight="balanced", random_state=seed),
    ),
    "hist_gradient_boosting": (
        {"max_iter": 2, "learning_rate": 0.2, "min_samples_leaf": 5},
        lambda seed: HistGradientBoostingClassifier(max_iter=2, learning_rate=0.2, min_samples_leaf=5, random_state=seed),
    ),
    "nearest_neighbours": (
        {"n_neighbors": 7, "weights": "distance"},
        lambda seed: KNeighborsClassifier(7, weights="distance", algorithm="kd_tree"),
    ),
}  # fmt: skip


def spec_of(name, data="wine", seed=3):
    return TrialSpec(data=DATA[data], model=MODELS[name](**CASES[name][0]), seed=seed)


@pytest.fixture(scope="module")
def trained():
    """The result of each baseline on the wine data."""
    return {name: train_trial(spec_of(name), load_dataset(DATA["wine"])) for name in CASES}


def test_every_baseline_is_listed_and_has_a_case():
    assert set(baselines.NAMES) == {n for n, cls in MODELS.items() if issubclass(cls, EstimatorSpec)}
    assert set(CASES) == set(baselines.NAMES) - set(baselines.PACKAGES)  # those are in test_boosted.py


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("data", DATA)
def test_predictions_and_metrics_are_those_of_scikit_learn(name, data):
    spec, dataset = spec_of(name, data), load_dataset(DATA[data])
    result = train_trial(spec, dataset)
    train, test = dataset.train, dataset.test
    own = CASES[name][1](3).fit(train.x_ND.double().numpy(), train.y_N.numpy())
    predicted = spec.model.logits(result.weights, test.x_ND, dataset.n_classes).argmax(1)
    assert np.array_equal(predicted, own.predict(test.x_ND.double().numpy()))
    p_NC = own.predict_proba(test.x_ND.double().numpy())
    if name == "majority":
        p_NC = np.tile(train.y_N.bincount().numpy() / len(train), (len(test), 1))
    y_N = test.y_N.numpy()
    expected = {
        "test_accuracy": accuracy_score(y_N, predicted), "test_loss": log_loss(y_N, p_NC),
        "test_likelihood": np.exp(-log_loss(y_N, p_NC)), "test_f1_macro": f1_score(y_N, predicted, average="macro"),
        "test_brier": brier_score_loss(y_N, p_NC),
    }  # fmt: skip
    for metric, value in expected.items():
        assert result.metrics[metric] == pytest.approx(value, rel=1e-5, abs=1e-6), metric
    assert result.objective.value == result.metrics.val_accuracy == result.history[0].val_accuracy
    assert (result.epochs, result.best_epoch, result.way) == (1, 1, baselines.FITTED)


def test_a_class_without_a_training_row_has_the_lowest_probability():
    dataset = load_dataset(DATA["wine"])
    kept = dataset.train.y_N != 1
    part = replace(dataset, train=replace(dataset.train, x_ND=dataset.train.x_ND[kept], y_N=dataset.train.y_N[kept]))
    result = train_trial(spec_of("random_forest"), part)
    p_NC = MODELS["random_forest"]().logits(result.weights, dataset.test.x_ND, 3).exp()
    assert p_NC[:, 1].max() < 1e-15
    assert torch.allclose(p_NC.sum(1), torch.ones(len(p_NC)))


def test_the_seed_makes_the_forest_and_nothing_else_does():
    dataset, forest = load_dataset(DATA["wine"]), spec_of("random_forest")
    first, again, other = train_cohort([forest, forest, replace(forest, seed=4)], dataset)
    assert first.metrics == again.metrics != other.metrics
    before = torch.get_num_threads()
    assert train_trial(spec_of("logistic_regression", seed=0), dataset).metrics == (
        train_trial(spec_of("logistic_regression", seed=2**40), dataset).metrics
    )
    assert torch.get_num_threads() == before


def test_what_means_nothing_for_a_baseline_is_not_in_its_digest():
    plain = TrialSpec(model=MODELS["majority"]())
    other = TrialSpec(
        model=MODELS["majority"](),
        loss=LOSSES["mse"](),
        optimizer=OPTIMIZERS["sgd"](lr=9.0),
        trainer=TrainerSpec(epochs=3),
    )
    assert plain == other
    assert not {key.partition(".")[0] for key in determining(plain)} & set(baselines.UNUSED)
    assert config_digest(plain) == config_digest(other)
    assert config_digest(plain) != config_digest(replace(plain, data=Wine()))
    forests = [TrialSpec(model=MODELS["random_forest"](n_estimators=n)) for n in (10, 11)]
    assert len({config_digest(spec) for spec in forests}) == 2


def test_the_size_is_what_was_fitted(trained):
    assert trained["majority"].n_parameters == 3
    assert trained["logistic_regression"].n_parameters == 3 * 13 + 3
    assert trained["nearest_neighbours"].n_parameters == len(load_dataset(DATA["wine"]).train) * 13
    forest = CASES["random_forest"][1](3).fit(*map(torch.Tensor.numpy, vars(load_dataset(DATA["wine"]).train).values()))
    assert trained["random_forest"].n_parameters == sum(tree.tree_.node_count for tree in forest.estimators_)


def test_a_search_does_not_read_the_test_split():
    result = train_trial(spec_of("logistic_regression"), load_dataset(DATA["wine"]), test=False)
    assert result.metrics.test_loss is None
    assert result.classes.split == "val"


def test_an_interrupted_fit_has_no_value(monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(MODELS["majority"], "train", interrupted)
    with pytest.raises(TrainingInterrupted) as raised:
        train_cohort([spec_of("majority"), spec_of("majority", seed=1)], load_dataset(DATA["wine"]))
    assert [(str(r.status), r.objective.value, r.error) for r in raised.value.results] == [
        ("failed", None, "interrupted after epoch 0")
    ] * 2


def test_what_scikit_learn_warns_of_is_noted():
    spec = TrialSpec(data=DATA["wine"], model=MODELS["logistic_regression"](max_iter=1))
    notes = train_trial(spec, load_dataset(DATA["wine"])).notes
    assert any("scikit-learn: lbfgs failed to converge after 1 iteration" in note for note in notes), notes


def test_the_first_and_the_last_line_of_a_run_say_what_a_baseline_is(trained):
    first = opening(spec_of("random_forest"), load_dataset(DATA["wine"]), 0)
    options = "n_estimators=12 max_depth=4 min_samples_leaf=1 max_features=sqrt class_weight=balanced"
    assert first.endswith(f"test)  random_forest  {options}  seed 3")
    assert re.fullmatch(
        r"done: fitted in \d+\.\d\d s \(cpu \(1 thread\)\), 3 parameters", headline(trained["majority"])
    )


# Files


def saved(folder, name, trained):
    path = folder / "model.safetensors"
    save_model(path, spec_of(name), load_dataset(DATA["wine"]), trained[name])
    return path


@pytest.mark.parametrize("name", CASES)
def test_a_model_file_gives_back_the_same_probabilities(tmp_path, trained, name):
    dataset = load_dataset(DATA["wine"])
    model = load_model(saved(tmp_path, name, trained))
    x_ND = dataset.test.x_ND
    together = model.logits(x_ND)
    fitted, _ = spec_of(name).model.train(dataset.train.x_ND, dataset.train.y_N, 3)
    assert torch.equal(together, spec_of(name).model.log_probabilities(fitted, x_ND, 3))
    assert torch.equal(together[4:5], model.logits(x_ND[4:5]))  # alone as among others


def changed(path, change):
    """Writes the model file with another state."""
    about, tensors = read_tensors(path)
    write_tensors(path, change(tensors), about)


def with_bytes(content):
    return {STATE: torch.frombuffer(bytearray(content), dtype=torch.uint8)}


def test_a_file_that_asks_for_other_types_is_refused(tmp_path, trained):
    import os

    import skops.io

    path = saved(tmp_path, "logistic_regression", trained)
    changed(path, lambda tensors: with_bytes(skops.io.dumps({"coef": os.path.join})))
    with pytest.raises(RunFolderError, match=r"types that model=logistic_regression does not have.*posixpath\.join"):
        load_model(path)
    changed(path, lambda tensors: with_bytes(skops.io.dumps(DummyClassifier().fit([[0]], [0]))))
    with pytest.raises(RunFolderError, match="a DummyClassifier instead of a LogisticRegression"):
        load_model(path)
    changed(path, lambda tensors: with_bytes(b"no archive"))
    with pytest.raises(RunFolderError, match="cannot be read: BadZipFile"):
        load_model(path)


def with_array(content, change):
    """The bytes of an estimator in which one array is another one."""
    source, target = zipfile.ZipFile(io.BytesIO(content)), io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name in source.namelist():
            data = source.read(name)
            if name.endswith(".npy"):
                array, out = np.load(io.BytesIO(data), allow_pickle=False), io.BytesIO()
                np.save(out, change(array.copy()))
                data = out.getvalue()
            archive.writestr(name, data)
    return target.getvalue()


@pytest.mark.parametrize(
    ("name", "column", "value"),
    [("random_forest", "left_child", 10**6), ("random_forest", "right_child", 0), ("random_forest", "feature", 13),
     ("hist_gradient_boosting", "left", 10**6), ("hist_gradient_boosting", "right", 0),
     ("hist_gradient_boosting", "feature_idx", 13), ("hist_gradient_boosting", "is_categorical", 1)],
)  # fmt: skip
def test_a_tree_that_would_leave_its_own_nodes_is_refused(tmp_path, trained, name, column, value):
    def change(array):
        if array.dtype.names and column in array.dtype.names and len(array) > 1:
            array[column][0] = value
        return array

    path = saved(tmp_path, name, trained)
    changed(path, lambda tensors: with_bytes(with_array(tensors[STATE].numpy().tobytes(), change)))
    with pytest.raises(RunFolderError, match=r"is not sound: tree 0 (has a node|splits by)"):
        load_model(path)


def test_neighbours_of_other_rows_are_refused(tmp_path, trained):
    path = saved(tmp_path, "nearest_neighbours", trained)
    for change, words in (
        (lambda t: {**t, "y": t["y"] + 1}, "classes that the data do not have"),
        (lambda t: {**t, "x": t["x"][:, :5]}, "is not sound: rows"),
        (lambda t: {**t, "x": t["x"][:6], "y": t["y"][:6]}, "7 neighbours"),
        (lambda t: {"x": t["x"]}, "has its training rows as state"),
    ):
        path = saved(tmp_path, "nearest_neighbours", trained)
        changed(path, change)
        with pytest.raises(RunFolderError, match=words):
            load_model(path)


def test_a_file_holds_no_pickle(tmp_path, trained):
    for name in CASES:
        _, tensors = read_tensors(saved(tmp_path, name, trained))
        if STATE in tensors:
            archive = zipfile.ZipFile(io.BytesIO(tensors[STATE].numpy().tobytes()))
            assert {one.rpartition(".")[2] for one in archive.namelist()} <= {"json", "npy"}
            assert json.loads(archive.read("schema.json"))["__class__"] == type(spec_of(name).model.new(0)).__name__


# Bad input


def test_faults_of_options_are_named_at_once():
    with pytest.raises(RequestError) as raised:
        MODELS["random_forest"](n_estimators=0, max_depth=0, max_features="third", class_weight="some")
    for key in ("n_estimators", "max_depth", "max_features", "class_weight"):
        assert f"model.{key} must be" in str(raised.value)


def test_more_neighbours_than_rows_are_refused_with_the_largest_number():
    dataset = load_dataset(DATA["wine"])
    most = len(dataset.train)
    check_with_data(TrialSpec(data=DATA["wine"], model=MODELS["nearest_neighbours"](n_neighbors=most)), dataset)
    with pytest.raises(RequestError, match=rf"at most {most}, .*got {most + 1}; try model\.n_neighbors={most}$"):
        check_with_data(TrialSpec(data=DATA["wine"], model=MODELS["nearest_neighbours"](n_neighbors=most + 1)), dataset)


def test_a_regression_needs_two_classes():
    dataset = load_dataset(DATA["wine"])
    kept = dataset.train.y_N == 1
    one = replace(dataset, train=replace(dataset.train, x_ND=dataset.train.x_ND[kept], y_N=dataset.train.y_N[kept]))
    check_with_data(spec_of("majority"), one)
    with pytest.raises(RequestError, match=r"rows of one class.*try model=majority"):
        check_with_data(spec_of("logistic_regression"), one)
