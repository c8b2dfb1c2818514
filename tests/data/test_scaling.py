"""`data.scaling`: each against scikit-learn or a plain loop, and what holds for all of them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import QuantileTransformer, RobustScaler

from phalanx import DATASETS, TrialSpec, load_dataset
from phalanx.core.errors import DataError, SpecError
from phalanx.data.encoders import features_from_json
from phalanx.data.scaled_arrays import ScaledArrayFeatures
from phalanx.data.scaling import N_BINS, SCALINGS, scaled, scaling_points
from phalanx.data.table_columns import NumericColumn, ScaledColumn
from phalanx.data.table_encoder import TableFeatures
from phalanx.training.spec import config_digest

OTHERS = SCALINGS[1:]
DRAW = np.random.default_rng(0)
COLUMNS = {
    "normal": DRAW.normal(size=3000),
    "heavy tails": DRAW.standard_cauchy(500),
    "few values": DRAW.integers(0, 5, 400).astype(float),
    "mostly one value": np.where(DRAW.random(400) < 0.9, 2.0, DRAW.normal(size=400)),
    "far from zero": 1e9 + DRAW.normal(size=300),
    "three rows": np.array([1.0, 5.0, 7.0]),
}


@pytest.fixture(params=COLUMNS, name="values")
def _values(request):
    return COLUMNS[request.param]


def elsewhere(values):
    """Values of later rows: those of training, between them, and far outside."""
    width = np.ptp(values)
    outside = [values.min() - 9 * width, values.min() - 1, values.max() + 1, values.max() + 9 * width]
    return np.concatenate([values[:200], values[:200] + width / 7, outside])


def test_quantile_is_that_of_scikit_learn(values):
    theirs = QuantileTransformer(n_quantiles=min(1000, len(values)), output_distribution="normal")
    theirs.fit(values[:, None])
    ours = scaled("quantile", scaling_points("quantile", values), elsewhere(values))
    np.testing.assert_allclose(ours, theirs.transform(elsewhere(values)[:, None]), rtol=1e-9, atol=1e-9)


def test_robust_is_that_of_scikit_learn_drawn_in(values):
    theirs = RobustScaler().fit_transform(values[:, None])
    ours = scaled("robust", scaling_points("robust", values), values)
    if np.diff(np.quantile(values, [0.25, 0.75])):
        np.testing.assert_allclose(ours, theirs / np.sqrt(1 + (theirs / 3) ** 2), rtol=1e-12, atol=1e-12)
    else:  # half of the range instead
        z = (values - np.median(values)) / ((values.max() - values.min()) / 2)
        np.testing.assert_allclose(ours[:, 0], z / np.sqrt(1 + z**2 / 9), rtol=1e-12)
    assert np.abs(scaled("robust", scaling_points("robust", values), np.array([1e300, -1e300]))).max() <= 3


def test_piecewise_linear_is_the_loop_of_the_paper(values):
    points = scaling_points("piecewise_linear", values)
    assert points == tuple(sorted({float(np.quantile(values, k / N_BINS)) for k in range(N_BINS + 1)}))
    found = elsewhere(values)
    ours = scaled("piecewise_linear", points, found)
    assert ours.shape == (len(found), len(points) - 1)
    for row, x in zip(ours, found, strict=True):
        for t in range(1, len(points)):
            if x < points[t - 1] and t > 1:
                expected = 0.0
            elif x >= points[t] and t < len(points) - 1:
                expected = 1.0
            else:
                expected = (x - points[t - 1]) / (points[t] - points[t - 1])
            assert row[t - 1] == pytest.approx(expected, rel=1e-12)


def table(n=120):
    draw = np.random.default_rng(1)
    frame = pd.DataFrame({
        "age": draw.integers(18, 90, n).astype(float), "pay": np.exp(draw.normal(8, 2, n)), "same": 4.0,
        "flag": draw.integers(0, 2, n), "colour": draw.choice(["red", "blue"], n),
        "grade": np.array(["a", "b"])[np.arange(n) % 2],
    })  # fmt: skip
    frame.loc[::9, "pay"] = np.nan
    return frame


@pytest.fixture(params=OTHERS, name="spec")
def _spec(request, tmp_path):
    table().to_csv(tmp_path / "table.csv", index=False)
    path = str(tmp_path / "table.csv")
    return DATASETS["csv"](path=path, target="grade", missing="impute", scaling=request.param)


def test_a_table_has_the_statistics_of_its_training_rows_alone(spec):
    data = load_dataset(spec)
    rows = table().drop(columns="grade")
    held_out = [*data.row_numbers["val"], *data.row_numbers["test"]]
    train = rows.drop(index=held_out)
    kinds = {column.name: type(column) for column in data.features.columns}
    assert kinds["age"] is kinds["pay"] is ScaledColumn
    assert kinds["same"] is kinds["flag"] is NumericColumn  # one or two values
    age = scaled(spec.scaling, scaling_points(spec.scaling, train["age"].to_numpy()), rows["age"].to_numpy())
    pay = train["pay"].dropna().to_numpy()
    pay = scaled(spec.scaling, scaling_points(spec.scaling, pay), rows["pay"].fillna(pay.mean()).to_numpy())
    flag = (rows["flag"] - train["flag"].mean()) / train["flag"].std(ddof=0)
    colour = np.stack([rows["colour"] == "blue", rows["colour"] == "red"], 1)
    expected = np.concatenate([age, pay, np.zeros((len(rows), 1)), flag.to_numpy()[:, None], colour], 1)
    np.testing.assert_allclose(data.features.transform(rows), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(data.val.x_ND, expected[data.row_numbers["val"]], rtol=1e-5, atol=1e-6)
    assert len(data.feature_names) == data.n_features == len(set(data.feature_names))
    assert f"4 numeric (2 by {spec.scaling} scaling)" in data.inputs


def test_a_stored_encoder_gives_one_row_the_bits_that_it_has_among_many(spec):
    features, rows = load_dataset(spec).features, table().drop(columns="grade")
    again = features_from_json(json.loads(json.dumps(features.to_json())))
    assert again == features
    alone = np.concatenate([again.transform(rows.iloc[place : place + 1]) for place in range(0, 120, 10)])
    assert alone.tobytes() == features.transform(rows)[::10].tobytes()


def test_an_earlier_version_refuses_what_it_would_scale_otherwise(spec):
    stored = load_dataset(spec).features.to_json()
    assert stored["kind"] == TableFeatures.scaled_kind not in ("array", "table")  # those that it knows


def test_standard_is_what_it_was(spec):
    standard = replace(spec, scaling="standard")
    stored = load_dataset(standard).features.to_json()
    assert stored["kind"] == "table"
    assert "scaling" not in stored
    assert features_from_json(stored).scaling == "standard"
    assert config_digest(TrialSpec(data=standard)) != config_digest(TrialSpec(data=spec))
    assert len({load_dataset(replace(spec, scaling=scaling)).digest for scaling in SCALINGS}) == 4


def test_folds_have_statistics_of_their_own(spec):
    folds = [load_dataset(replace(spec, resampling="kfold", folds=3, fold=fold)).features for fold in (0, 1)]
    assert folds[0].columns[0].points != folds[1].columns[0].points


@pytest.mark.parametrize("scaling", OTHERS[:2])
def test_arrays_are_scaled_column_by_column(tmp_path, scaling):
    x = np.stack([COLUMNS["few values"][:300], COLUMNS["far from zero"], np.ones(300)], 1)
    np.savez(tmp_path / "file.npz", x=x, y=np.arange(300) % 3)
    data = load_dataset(DATASETS["npz"](path=str(tmp_path / "file.npz"), scaling=scaling))
    held_out = np.concatenate([data.row_numbers["val"], data.row_numbers["test"]])
    train = np.delete(x, held_out, 0)
    for column in (0, 1):
        expected = scaled(scaling, scaling_points(scaling, train[:, column]), x[data.row_numbers["test"], column])
        np.testing.assert_allclose(data.test.x_ND[:, column], expected[:, 0], rtol=1e-5, atol=1e-6)
    assert not data.test.x_ND[:, 2].any()
    again = features_from_json(json.loads(json.dumps(data.features.to_json())))
    assert isinstance(again, ScaledArrayFeatures)
    assert again == data.features
    assert again.transform(x[:1]).tobytes() == data.features.transform(x)[:1].tobytes()
    assert (
        data.features.notes(x * 1e-4) == data.features.notes(x[:0]) == []
    )  # three columns, which may be small by chance
    with pytest.raises(DataError, match="rows must have 3 features, got 2"):
        again.transform(x[:, :2])


def test_what_cannot_be_is_refused_with_what_to_type():
    with pytest.raises(SpecError) as caught:
        DATASETS["wine"](scaling="piecewise_linear", normalize="global")
    assert "data.scaling must be one of standard, robust, quantile" in str(caught.value)
    with pytest.raises(SpecError, match=r"must be feature with data\.scaling=robust, got 'none'"):
        DATASETS["csv"](path="x.csv", target="y", scaling="robust", normalize="none")
    with pytest.raises(SpecError, match=r"got 'robust'; try data\.scaling=robust"):
        DATASETS["csv"](path="x.csv", target="y", encoding="robust")
