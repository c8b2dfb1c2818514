"""The data sources as a whole, their YAML files, and what `load_dataset` makes of rows."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.datasets
import torch
from omegaconf import OmegaConf
from support.given_rows import spec_of

from phalanx.core.errors import DataError, SpecError
from phalanx.core.specs import REQUIRED
from phalanx.data import DATASETS, load_dataset
from phalanx.data.clouds import Clouds
from phalanx.data.digits import Digits
from phalanx.data.encoders import ArrayFeatures, features_from_json
from phalanx.data.three_integers import ThreeIntegers
from phalanx.data.thresholds import Thresholds
from phalanx.data.wine import Wine

CONF = Path(__file__).parents[2] / "conf" / "data"


def test_every_source_is_found_by_its_name() -> None:
    assert list(DATASETS) == [
        "clouds", "csv", "digits", "fashion_mnist", "image_folder", "kmnist", "mnist", "npz", "parquet", "three_integers",
        "thresholds", "wine",
    ]  # fmt: skip


@pytest.mark.parametrize("name", DATASETS)
def test_the_yaml_lists_every_option_with_its_default_and_a_comment(name: str) -> None:
    text = (CONF / f"{name}.yaml").read_text()
    assert text.startswith(f"# python train.py data={name}")
    stored = OmegaConf.to_container(OmegaConf.create(text), resolve=False)
    assert stored.pop("name") == name
    fields = {f.name: f for f in dataclasses.fields(DATASETS[name])}
    assert set(stored) == set(fields)
    for key, value in stored.items():
        default = fields[key].default
        if key == "root":
            assert value == f"${{oc.env:PHALANX_DATA,'{default}'}}"
        elif default is dataclasses.MISSING:
            assert value == REQUIRED
        else:
            assert (tuple(value) if isinstance(value, list) else value) == default
    assert all("#" in line for line in text.splitlines())


def test_the_root_in_the_yaml_comes_from_the_environment_or_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = OmegaConf.load(CONF / "mnist.yaml")
    monkeypatch.delenv("PHALANX_DATA", raising=False)
    assert stored.root == "~/.cache/phalanx"
    monkeypatch.setenv("PHALANX_DATA", "/data")
    assert stored.root == "/data"


SIZES = {
    "digits": (1149, 288, 360, 64, 10), "wine": (114, 28, 36, 13, 3), "thresholds": (100, 100, 100, 1, 3),
    "three_integers": (1000, 500, 1000, 3, 3), "clouds": (1000, 500, 500, 32, 10),
}  # fmt: skip


@pytest.mark.parametrize("name", SIZES)
def test_embedded_sources_give_three_standardised_splits(name: str) -> None:
    data = load_dataset(DATASETS[name]())
    assert (len(data.train), len(data.val), len(data.test), data.n_features, data.n_classes) == SIZES[name]
    for split in (data.train, data.val, data.test):
        assert split.x_ND.dtype == torch.float32
        assert split.y_N.dtype == torch.int64
        assert torch.isfinite(split.x_ND).all()
        assert set(split.y_N.tolist()) == set(range(data.n_classes))
    if name not in ("thresholds", "clouds"):  # x as it is
        assert data.train.x_ND.mean().abs() < 1e-5
        assert data.train.x_ND.std() == pytest.approx(1, abs=0.01)


def test_wine_is_standardised_feature_by_feature_and_named_by_its_source() -> None:
    data = load_dataset(Wine())
    assert data.classes == ("class_0", "class_1", "class_2")
    assert data.train.x_ND.mean(0).abs().max() < 1e-5
    assert torch.allclose(data.train.x_ND.std(0, correction=0), torch.ones(13), atol=1e-5)


@pytest.mark.parametrize(("source", "loader"), [(Digits(), "load_digits"), (Wine(), "load_wine")])
@pytest.mark.parametrize("found", [True, False])
def test_embedded_data_are_those_that_scikit_learn_gives(source, loader, found, monkeypatch) -> None:
    if not found:  # scikit-learn keeps its files elsewhere
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    raw, theirs = source.read(), getattr(sklearn.datasets, loader)()
    assert np.array_equal(raw.x, theirs.data)
    assert np.array_equal(raw.y, theirs.target)
    assert raw.classes == tuple(map(str, theirs.target_names))


def test_thresholds_follow_the_rule_and_the_sizes_asked_for() -> None:
    data = load_dataset(Thresholds(n_train=200, n_val=30, n_test=70))
    assert (len(data.train), len(data.val), len(data.test)) == (200, 30, 70)
    for split in (data.train, data.val, data.test):
        x_N = split.x_ND[:, 0]
        assert ((x_N >= 0) & (x_N < 10)).all()
        assert torch.equal(split.y_N, (x_N >= 3).long() + (x_N >= 6).long())
    assert data.train.x_ND.max() > 9
    assert data.train.x_ND.min() < 1


def test_thresholds_are_drawn_by_split_seed_and_their_numbers_are_required() -> None:
    first, again, other = (Thresholds(split_seed=s).read().x for s in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    with pytest.raises(SpecError, match=r"data\.n_val must be a whole number of at least 1, got None"):
        Thresholds(n_val=None)


def test_three_integers_follow_the_rule_in_the_shares_that_geometry_gives() -> None:
    raw = ThreeIntegers(largest=99, n_train=6000).read()
    a, b, c = raw.x.T
    assert np.array_equal(raw.y, np.where(a > b + c, 0, np.where(b > a + c, 1, 2)))
    assert raw.x.min() == 0
    assert raw.x.max() == 99
    shares = np.bincount(raw.y) / len(raw.y)
    assert shares == pytest.approx([1 / 6, 1 / 6, 2 / 3], abs=0.02)  # four standard errors of 7,500 points


def test_clouds_lie_around_their_centres_and_every_class_is_as_frequent() -> None:
    raw = Clouds(n_classes=40, n_inputs=8, noise=0.1, n_train=400, n_val=80, n_test=80).read()
    assert np.bincount(raw.y).tolist() == [14] * 40
    centres = np.stack([raw.x[raw.y == label].mean(0) for label in range(40)])
    assert raw.x - centres[raw.y] == pytest.approx(0, abs=0.6)
    assert (raw.x - centres[raw.y]).std() == pytest.approx(0.1, rel=0.1)
    assert centres.std() == pytest.approx(1, rel=0.2)


def test_ten_thousand_classes_load_in_a_moment_and_all_are_learnable() -> None:
    data = load_dataset(Clouds(n_classes=10_000, n_inputs=2, n_train=10_000, n_val=10_000, n_test=10_000))
    for split in (data.train, data.val, data.test):
        assert torch.bincount(split.y_N).tolist() == [1] * 10_000


@pytest.mark.parametrize("official", [False, True])
def test_no_statistic_comes_from_validation_or_test_rows(official: bool) -> None:
    y, x = [0, 1] * 50, np.random.default_rng(0).normal(size=(100, 3))
    test = (x[:20] + 1, np.array(y[:20])) if official else (None, None)
    before = load_dataset(spec_of(y, x, test))
    kept = (before.train.x_ND.numpy() * before.features.std + before.features.mean)[:, 0]
    others = ~np.isclose(x[:, :1], kept[None, :], atol=1e-5).any(1)
    assert others.sum() == 100 - len(before.train) >= 20
    changed = np.where(others[:, None], x * 1000 + 5, x)
    after = load_dataset(spec_of(y, changed, (test[0] * -77, test[1]) if official else test))
    assert after.features == before.features
    assert torch.equal(after.train.x_ND, before.train.x_ND)
    assert not torch.equal(after.val.x_ND, before.val.x_ND)
    assert not torch.equal(after.test.x_ND, before.test.x_ND)
    assert after.digest != before.digest


def test_splits_share_no_row_and_the_split_seed_moves_them() -> None:
    def rows_of(seed: int) -> list[list[int]]:
        data = load_dataset(spec_of([0, 1] * 50, split_seed=seed))
        parts = (data.train, data.val, data.test)
        return [
            (p.x_ND[:, 0].double() * data.features.std[0] + data.features.mean[0]).round().long().tolist()
            for p in parts
        ]

    assert sorted(row for part in rows_of(0) for row in part) == list(range(100))
    assert [set(p) for p in rows_of(0)] == [set(p) for p in rows_of(0)] != [set(p) for p in rows_of(1)]


def test_n_train_takes_a_part_and_n_test_a_part_of_the_official_split() -> None:
    y = [0, 1, 2] * 40
    test = (np.ones((30, 1)), np.array([0, 1, 2] * 10))
    data = load_dataset(spec_of(y, official=test, n_train=30, n_val=12, n_test=9))
    for split, n in ((data.train, 30), (data.val, 12), (data.test, 9)):
        assert torch.bincount(split.y_N).tolist() == [n // 3] * 3


@pytest.mark.parametrize(
    ("key", "asked", "most"), [("n_test", 99, 98), ("n_val", 80, 79), ("n_train", 65, 64)], ids=lambda v: str(v)
)
def test_a_split_larger_than_the_data_is_refused_with_the_limit(key: str, asked: int, most: int) -> None:
    with pytest.raises(DataError, match=rf"data\.{key} must be at most {most} .*got {asked}; try data\.{key}="):
        load_dataset(spec_of([0, 1] * 50, **{key: asked}))
    assert load_dataset(spec_of([0, 1] * 50, **{key: most if key == "n_train" else most - 10}))


def test_all_splits_that_are_too_large_are_named_at_once_with_numbers_that_work() -> None:
    with pytest.raises(DataError) as caught:
        load_dataset(spec_of([0, 1] * 20, n_test=30, n_val=30, n_train=60))
    lines = str(caught.value).splitlines()
    assert [line.split()[0] for line in lines] == ["data.n_val", "data.n_train"]
    typed = dict(line.split("; try data.")[1].split("=") for line in lines)
    load_dataset(spec_of([0, 1] * 20, n_test=30, **{key: int(value) for key, value in typed.items()}))


def test_a_class_that_training_never_sees_is_refused_with_its_counts() -> None:
    test = (np.zeros((5, 1)), np.array([0, 1, 2, 2, 2]))
    with pytest.raises(DataError) as caught:
        load_dataset(spec_of([0, 1] * 20 + [2], official=test, n_val=20, n_train=2))
    message = str(caught.value)
    assert "'class 2' (3 in the test split)" in message
    assert "class 0" not in message
    assert "2 rows" in message
    assert "data.split_seed=1" in message


def test_one_class_is_refused() -> None:
    with pytest.raises(DataError, match="one class only"):
        load_dataset(spec_of([0] * 10))


def test_the_smallest_table_still_has_a_row_in_each_split() -> None:
    data = load_dataset(spec_of([0, 1, 0, 1]))
    assert (len(data.train), len(data.val), len(data.test)) == (2, 1, 1)


@pytest.mark.parametrize("normalize", ["global", "feature", "none"])
def test_an_array_encoder_is_the_same_after_json(normalize: str) -> None:
    rows = np.random.default_rng(0).integers(0, 255, (20, 4)).astype(np.uint8)
    encoder = ArrayFeatures(normalize=normalize, scale=255.0).fit(rows)
    restored = features_from_json(json.loads(json.dumps(encoder.to_json())))
    assert restored == encoder
    assert isinstance(restored, ArrayFeatures)
    assert np.array_equal(restored.transform(rows), encoder.transform(rows))


def test_pixels_are_scaled_then_standardised() -> None:
    rows = np.array([[0, 100], [200, 100]], np.uint8)
    scaled = rows / 200
    plain = ArrayFeatures(normalize="none", scale=200.0).fit(rows).transform(rows)
    assert plain == pytest.approx(scaled)
    whole = ArrayFeatures(normalize="global", scale=200.0).fit(rows).transform(rows)
    assert whole == pytest.approx((scaled - scaled.mean()) / scaled.std())
    each = ArrayFeatures(normalize="feature", scale=200.0).fit(rows).transform(rows)
    assert each == pytest.approx(np.array([[-1, 0], [1, 0]]))  # the constant feature becomes 0


@pytest.mark.parametrize("normalize", ["feature", "global"])
def test_numbers_that_differ_little_beside_their_size_are_told_apart(normalize: str) -> None:
    for offset, step in ((1e15, 1.0), (1e9, 1.0), (0.0, 1e-15), (1.7e9, 5e-4)):
        rows = offset + step * np.array([[0.0], [1.0]] * 20)
        encoder = ArrayFeatures(normalize=normalize, scale=2.0).fit(rows)
        encoded = encoder.transform(rows)
        assert encoded == pytest.approx(np.array([[-1], [1]] * 20), abs=0.2)  # float64 itself has few digits left
        restored = features_from_json(json.loads(json.dumps(encoder.to_json())))
        assert np.array_equal(restored.transform(rows), encoded)


def test_constant_numbers_become_zero_and_one_beyond_float32_is_refused() -> None:
    rows = np.tile([0.1, 1e15, 3.0, 1.1e30], (7, 1))
    encoder = ArrayFeatures().fit(rows)
    assert np.array_equal(encoder.transform(rows), np.zeros((7, 4)))
    with pytest.raises(DataError, match=r"feature 3 in row 2 is not a finite number in float32"):
        encoder.transform(np.array([rows[0], [0.1, 1e15, 1e39, 1.1e30]]))


def test_an_unknown_kind_of_encoder_and_rows_of_another_width_are_refused() -> None:
    with pytest.raises(DataError, match="of kind array, scaled_array, table or scaled_table, got 'image'"):
        features_from_json({"kind": "image"})
    with pytest.raises(DataError, match="rows must have 2 features, got 3"):
        ArrayFeatures().fit(np.zeros((2, 2))).transform(np.zeros((1, 3)))


def test_more_clouds_than_training_points_are_refused_with_a_number_that_works() -> None:
    small = {"n_train": 40, "n_val": 20, "n_test": 20}  # of debug=limit
    with pytest.raises(
        SpecError, match=r"data\.n_classes must be at most data\.n_train, 40, .*got 10000; try"
    ) as caught:
        Clouds(n_classes=10_000, **small)
    load_dataset(Clouds(n_classes=int(str(caught.value).split("data.n_classes=")[1]), **small))


def test_of_many_classes_that_training_never_sees_the_first_are_named() -> None:
    test = (np.zeros((30, 1)), np.arange(30))
    with pytest.raises(DataError, match=r"split\) and \d\d more; give more rows") as caught:
        load_dataset(spec_of([0, 1] * 20 + list(range(2, 30)), official=test, n_val=20, n_train=2))
    assert str(caught.value).count("split)") == 5


@pytest.mark.parametrize("test_rows", [(np.zeros((2, 1)), None), (None, np.zeros(2)), (np.zeros((3, 1)), np.zeros(2))])
def test_rows_without_classes_and_classes_without_rows_are_refused(test_rows: tuple[Any, Any]) -> None:
    with pytest.raises(DataError, match="must be as many"):
        spec_of([0, 1] * 10, official=test_rows)
    with pytest.raises(DataError, match="must be as many"):
        spec_of([0, 1] * 10, np.zeros((19, 1)))
