"""Boosted trees of packages that may not be installed: against the package by hand, their files, and forged ones."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from phalanx import MODELS, RequestError, TrialSpec, load_dataset
from phalanx.core import baselines
from phalanx.core.errors import RunFolderError
from phalanx.data.digits import Digits
from phalanx.data.wine import Wine
from phalanx.nn.models.estimator import STATE
from phalanx.runs.model_file import load_model, save_model
from phalanx.runs.tensor_file import read_tensors, write_tensors
from phalanx.tracking.model_files import requirements_of_baselines
from phalanx.training.data_check import check_with_data
from phalanx.training.loop import train_trial

DATA = {"digits": Digits(n_train=80, n_val=40, n_test=60), "wine": Wine()}


def lightgbm_by_hand(x_ND, y_N):
    from lightgbm import LGBMClassifier

    return LGBMClassifier(
        n_estimators=3, num_leaves=5, min_child_samples=4, colsample_bytree=0.5, class_weight="balanced",
        random_state=3, n_jobs=1, verbosity=-1,
    ).fit(x_ND, y_N)  # fmt: skip


def xgboost_by_hand(x_ND, y_N):
    from xgboost import XGBClassifier

    options = {"n_estimators": 3, "max_depth": 3, "subsample": 0.7, "random_state": 3, "n_jobs": 1, "verbosity": 0}
    estimator = XGBClassifier(**options)
    return estimator.fit(x_ND, np.unique(y_N, return_inverse=True)[1])


def catboost_by_hand(x_ND, y_N):
    from catboost import CatBoostClassifier

    options = {"iterations": 3, "depth": 3, "auto_class_weights": "Balanced", "random_seed": 3, "thread_count": 1}
    return CatBoostClassifier(**options, verbose=False, allow_writing_files=False).fit(x_ND, y_N)


CASES = {
    "lightgbm": (
        {"n_estimators": 3, "num_leaves": 5, "min_child_samples": 4, "colsample_bytree": 0.5, "class_weight": "balanced"},
        lightgbm_by_hand,
    ),
    "catboost": ({"iterations": 3, "depth": 3, "auto_class_weights": "Balanced"}, catboost_by_hand),
    "xgboost": ({"n_estimators": 3, "max_depth": 3, "subsample": 0.7}, xgboost_by_hand),
}  # fmt: skip
INSTALLED = [
    pytest.param(name, marks=pytest.mark.skipif(importlib.util.find_spec(name) is None, reason=f"pip install {name}"))
    for name in CASES
]


def spec_of(name, data="wine", **more):
    return TrialSpec(data=DATA[data], model=MODELS[name](**{**CASES[name][0], **more}), seed=3)


def only_classes(dataset, *classes):
    """The data with training rows of these classes alone."""
    kept = torch.isin(dataset.train.y_N, torch.tensor(classes))
    return replace(dataset, train=replace(dataset.train, x_ND=dataset.train.x_ND[kept], y_N=dataset.train.y_N[kept]))


def test_every_such_baseline_has_a_case():
    assert set(CASES) == set(baselines.PACKAGES) <= set(baselines.NAMES)


@pytest.mark.parametrize("name", INSTALLED)
@pytest.mark.parametrize("data", DATA)
def test_predictions_are_those_of_the_package(name, data):
    spec, dataset = spec_of(name, data), load_dataset(DATA[data])
    result = train_trial(spec, dataset)
    own = CASES[name][1](dataset.train.x_ND.numpy(), dataset.train.y_N.numpy())
    p_NC = own.predict_proba(dataset.test.x_ND.numpy())
    assert spec.model.logits(result.weights, dataset.test.x_ND, dataset.n_classes).exp().numpy() == pytest.approx(p_NC, rel=1e-5)  # fmt: skip
    assert result.metrics.test_accuracy == pytest.approx((p_NC.argmax(1) == dataset.test.y_N.numpy()).mean())
    assert result.way == baselines.FITTED
    assert not result.notes


@pytest.mark.parametrize("name", INSTALLED)
def test_two_classes_of_three_fill_their_columns(name):
    dataset = only_classes(load_dataset(DATA["wine"]), 0, 2)
    result = train_trial(spec_of(name), dataset)
    p_NC = spec_of(name).model.logits(result.weights, dataset.test.x_ND, 3).exp().numpy()
    own = CASES[name][1](dataset.train.x_ND.numpy(), dataset.train.y_N.numpy())
    assert p_NC[:, [0, 2]] == pytest.approx(own.predict_proba(dataset.test.x_ND.numpy()), rel=1e-5)
    assert p_NC[:, 1].max() < 1e-15


@pytest.mark.parametrize("name", INSTALLED)
def test_nothing_is_said_and_no_file_is_left(name, capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train_trial(spec_of(name), load_dataset(DATA["wine"]))
    assert capfd.readouterr() == ("", "")
    assert not [*tmp_path.iterdir()]


def saved(folder, name):
    dataset = load_dataset(DATA["wine"])
    save_model(folder / "model.safetensors", spec_of(name), dataset, train_trial(spec_of(name), dataset))
    return folder / "model.safetensors"


@pytest.mark.parametrize("name", INSTALLED)
def test_a_model_file_gives_back_the_same_probabilities(tmp_path, name):
    dataset = load_dataset(DATA["wine"])
    model, x_ND = load_model(saved(tmp_path, name)), dataset.test.x_ND
    fitted, _ = spec_of(name).model.train(dataset.train.x_ND, dataset.train.y_N, 3)
    together = model.logits(x_ND)
    assert torch.equal(together, spec_of(name).model.log_probabilities(fitted, x_ND, 3))
    assert torch.equal(together[4:5], model.logits(x_ND[4:5]))  # alone as among others


DAMAGES = {
    "lightgbm": (
        (rb"split_feature=\d+", b"split_feature=13", "tree 0 has a node whose children or column"),
        (rb"left_child=-?\d+", b"left_child=100000", "tree 0 has a node whose children or column"),
        (rb"right_child=-?\d+", b"right_child=-99", "tree 0 has a node whose children or column"),
        (rb"left_child=-?\d+", b"left_child=0", "tree 0 has a node whose children or column"),
        (rb"decision_type=\d+", b"decision_type=1", "kind of split"),
        (rb"num_cat=0", b"num_cat=1", "splits by categories"),
        (rb"threshold=", b"threshold=1 ", "no row of as many numbers"),
        (rb"leaf_value=\S+", b"leaf_value=one", "no row of as many numbers"),
        (rb"num_leaves=\d+", b"num_leaves=99", "no row of as many numbers"),
        (rb"num_class=3", b"num_class=9", "does not say num_class=3"),
        (rb"feature_infos", b"forced_splits=a\nfeature_infos", "the lines above its trees"),
        (rb"\nis_linear=0", b"\nis_linear=1", "linear leaves"),
    ),
    "catboost": (
        (rb'"float_feature_index":\d+', b'"float_feature_index":13', "splits by a column that there is not"),
        (rb'"float_feature_index":\d+', b'"float_feature_index":-1', "splits by a column that there is not"),
        (rb'"split_type":"FloatFeature"', b'"split_type":"OnlineCtr"', "splits by a column that there is not"),
        (rb'"border":[^,]+', b'"border":77.5', "none of its column's borders"),
        (rb'"borders":\[[^]]*', b'"borders":[2,1', "not in order"),
        (rb'"flat_feature_index":0', b'"flat_feature_index":1', "column 0 is another one"),
        (rb'"leaf_values":\[', b'"leaf_values":[0,', "no row of as many numbers"),
        (rb'"leaf_values":\[[^,]+', b'"leaf_values":[1e999', "not finite"),
        (rb'"splits":\[', b'"splits":[' + b'{},' * 9, "deeper than 3"),
        (rb'"features_info":{', b'"features_info":{"ctrs":[],', "other columns than 13"),
        (rb'"scale_and_bias":\[1,\[0', b'"scale_and_bias":[1,[0,0', "bias is no row"),
    ),
    "xgboost": (
        (rb'"split_indices":\[\d+', b'"split_indices":[13', "tree 0 has a node whose children or column"),
        (rb'"left_children":\[1', b'"left_children":[100000', "tree 0 has a node whose children or column"),
        (rb'"left_children":\[1', b'"left_children":[0', "tree 0 has a node whose children or column"),
        (rb'"left_children":\[1', b'"left_children":[2', "tree 0 has a node whose children or column"),
        (rb'"right_children":\[2', b'"right_children":[-1', "tree 0 has a node whose children or column"),
        (rb'"parents":\[2147483647,0', b'"parents":[2147483647,1', "nodes of other parents"),
        (rb'"split_type":\[0', b'"split_type":[1', "splits by categories"),
        (rb'"categories":\[', b'"categories":[1', "splits by categories"),
        (rb'"base_weights":\[', b'"base_weights":[0,', "no row of as many numbers"),
        (rb'"base_weights":\[[^,]+', b'"base_weights":["a"', "no row of as many numbers"),
        (rb'"base_weights":\[[^,]+', b'"base_weights":[NaN', "not finite"),
        (rb'"base_weights":\[[^,]+', b'"base_weights":[1e999', "not finite"),
        (rb'"base_score":"\[?', b'"base_score":"[x', "base_score"),
        (rb'"name":"gbtree"', b'"name":"gblinear"', "no classifier of 3 classes by trees"),
        (rb'"name":"multi:softprob"', b'"name":"multi:softmax"', "no classifier of 3 classes by trees"),
    ),
}  # fmt: skip


def refused(path, tensors, about, content):
    """What loading the file says when its estimator is this."""
    write_tensors(path, {**tensors, STATE: torch.frombuffer(bytearray(content), dtype=torch.uint8)}, about)
    with pytest.raises(RunFolderError) as raised:
        load_model(path)
    return str(raised.value)


@pytest.mark.parametrize("name", INSTALLED)
def test_a_damaged_or_forged_file_is_refused_before_the_package_reads_it(tmp_path, name):
    path = saved(tmp_path, name)
    about, tensors = read_tensors(path)
    content = tensors[STATE].numpy().tobytes()
    for other in (b"no trees", b"\xff\xfe", b"tree", content + b"x", b"[" * 100_000):
        assert "is not sound or of another version" in refused(path, tensors, about, other)
    for end in range(len(content) - 1, 0, -len(content) // 60):
        assert "is not sound or of another version" in refused(path, tensors, about, content[:end])
    for pattern, new, words in DAMAGES[name]:
        assert words in refused(path, tensors, about, forged(content, pattern, new)), pattern


def forged(content, pattern, new):
    """The content with the first of what matches replaced; LightGBM's sizes of the trees are mended."""
    found = re.subn(pattern, new, content, count=1)
    assert found[1] == 1
    text = found[0]
    sizes = [len(b"Tree=" + tree) for tree in text.partition(b"end of trees")[0].split(b"Tree=")[1:]]
    return re.sub(rb"tree_sizes=[^\n]*", b"tree_sizes=" + b" ".join(b"%d" % size for size in sizes), text)


@pytest.mark.parametrize("name", INSTALLED)
def test_other_classes_and_other_tensors_are_refused(tmp_path, name):
    path = saved(tmp_path, name)
    about, tensors = read_tensors(path)
    for classes in ([0, 1, 3], [2, 1, 0], [0, 0, 1], [1]):
        write_tensors(path, {**tensors, "classes": torch.tensor(classes)}, about)
        with pytest.raises(RunFolderError, match=r"is not sound: its classes are"):
            load_model(path)
    write_tensors(path, {"estimator": tensors["estimator"]}, about)
    with pytest.raises(RunFolderError, match="has its state in the tensors estimator and classes"):
        load_model(path)


@pytest.mark.parametrize("name", CASES)
def test_a_missing_package_is_named_with_what_to_type(name, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda wanted: None)
    words = f"model={name} needs the package {name}; type pip install {baselines.PACKAGES[name][0]}"
    dataset = load_dataset(DATA["wine"])
    with pytest.raises(RequestError, match=words):
        check_with_data(spec_of(name), dataset)
    with pytest.raises(RequestError, match=words):
        train_trial(spec_of(name), dataset)
    state = {STATE: torch.zeros(3, dtype=torch.uint8), "classes": torch.tensor([0, 1, 2])}
    with pytest.raises(RequestError, match=words):
        spec_of(name).model.fitted(state, 13, 3)


@pytest.mark.parametrize("name", INSTALLED)
def test_rows_of_one_class_are_refused(name):
    with pytest.raises(RequestError, match=r"rows of one class.*try model=majority"):
        check_with_data(spec_of(name), only_classes(load_dataset(DATA["wine"]), 1))


def test_the_seed_counts_where_columns_are_drawn():
    assert baselines.seedless({"model.name": "lightgbm", "model.colsample_bytree": 1.0})
    assert not baselines.seedless({"model.name": "lightgbm", "model.colsample_bytree": 0.5})
    assert baselines.seedless({"model.name": "hist_gradient_boosting"})
    assert not baselines.seedless({"model.name": "mlp"})


@pytest.mark.parametrize("name", INSTALLED)
def test_a_registered_model_needs_the_package(name):
    found = requirements_of_baselines({name})
    assert {*found[:2]} == {"scikit-learn", "skops"}
    assert found[2] in baselines.PACKAGES[name]
    assert len(found) == 3
    assert requirements_of_baselines({"majority"}) == ["scikit-learn", "skops"]
    assert requirements_of_baselines({"mlp"}) == []


@pytest.mark.parametrize("name", CASES)
def test_listing_the_options_does_not_import_the_package(name):
    tree = ast.parse(Path(sys.modules[MODELS[name].__module__].__file__).read_text())
    imported = {alias.name for one in tree.body if isinstance(one, ast.Import) for alias in one.names}
    assert name not in imported | {one.module for one in tree.body if isinstance(one, ast.ImportFrom)}


def test_rows_that_draw_columns_differ_with_the_seed():
    pytest.importorskip("lightgbm")
    dataset = load_dataset(DATA["wine"])
    p = [
        MODELS["lightgbm"](**CASES["lightgbm"][0]).train(dataset.train.x_ND, dataset.train.y_N, seed)[0]
        for seed in (3, 3, 3 + 2**31, 4)
    ]
    values = [trees.predict_proba(dataset.test.x_ND.numpy()) for trees in p]
    assert np.array_equal(values[0], values[1])
    assert np.array_equal(values[0], values[2])
    assert not np.array_equal(values[0], values[3])


def test_rows_without_a_difference_are_refused_in_words():
    pytest.importorskip("catboost")
    dataset = load_dataset(DATA["wine"])
    x_ND = torch.ones_like(dataset.train.x_ND)
    with pytest.raises(RequestError, match=r"model=catboost cannot be fitted to these rows: All features are either"):
        spec_of("catboost").model.train(x_ND, dataset.train.y_N, 0)
