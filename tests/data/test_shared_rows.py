"""Splits that hold their rows once and scale them when asked: the bits of the encoder."""

from __future__ import annotations

import gc
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.given_rows import spec_of

from phalanx import load_dataset
from phalanx.data import Split, shared_rows
from phalanx.data.encoders import ArrayFeatures
from phalanx.data.scaled_arrays import ScaledArrayFeatures
from phalanx.data.shared_rows import TableSplit, shared_splits
from phalanx.data.table_encoder import TableFeatures

PREPARED = Split(torch.zeros(40, 1), torch.zeros(40, dtype=torch.int64))


@st.composite
def arrays(draw):
    """Rows of every type, some with a constant column or one of large numbers."""
    stream = np.random.default_rng(draw(st.integers(0, 99)))
    x = stream.normal(size=(60, draw(st.sampled_from([1, 3, 16])))) * draw(st.sampled_from([1.0, 60.0, 1e-4]))
    x[:, 0] = draw(st.sampled_from([x[:, 0], np.full(60, 7.0), np.full(60, -0.0)]))
    dtype = draw(st.sampled_from([np.uint8, np.int16, np.int64, np.float32, np.float64, np.bool_]))
    features = ArrayFeatures(draw(st.sampled_from(["feature", "global", "none"])), draw(st.sampled_from([1.0, 255.0])))
    return features, np.clip(x, 0, 255).astype(dtype) if dtype == np.uint8 else x.astype(dtype)


@st.composite
def tables(draw):
    """Numbers, truth values and texts; missing cells, and columns that training has with one value only."""
    stream = np.random.default_rng(draw(st.integers(0, 99)))
    wide = stream.normal(size=60) * draw(st.sampled_from([1.0, 1e9, 1e-9]))
    n = stream.integers(0, draw(st.sampled_from([2, 300, 70_000])), 60)
    rows = pd.DataFrame({"wide": wide, "n": n, "one": np.full(60, 3.5), "word": stream.choice(["a", "b"], 60)})
    rows["flag"] = stream.random(60) < 0.5
    if draw(st.booleans()):
        rows["holes"] = np.where(stream.random(60) < 0.2, np.nan, wide)
    rows["rare"] = np.where(np.arange(60) < draw(st.sampled_from([40, 60])), "usual", "later")
    return TableFeatures(draw(st.sampled_from(["feature", "none"])), "impute"), rows


@given(st.one_of(arrays(), tables()), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_a_split_has_the_bits_of_its_encoder(case, random):
    encoder, rows = case
    index = random.sample(range(60), 40)
    taken = rows.iloc[index] if isinstance(rows, pd.DataFrame) else rows[index]
    fitted = encoder.fit(taken)
    expected = torch.from_numpy(fitted.transform(taken)).view(torch.int32)
    (split,) = shared_splits(fitted, [(rows, np.array(index))], [PREPARED])
    assert split.x_ND.view(torch.int32).equal(expected)
    at = torch.tensor([[3, 0], [5, 3]])
    assert split.rows(at, 2).view(torch.int32).equal(expected[at])
    assert torch.cat([x for x, _ in split.parts(7)]).view(torch.int32).equal(expected)
    assert (split.n_features, split.n_bytes) == (expected.shape[1], 4 * expected.numel())


def test_splits_of_equal_rows_share_one_table_as_long_as_there_is_one():
    x = np.arange(120, dtype=np.uint8).reshape(60, 2)
    halves = [np.arange(40), np.arange(20, 60)]
    fitted = [ArrayFeatures().fit(x[half]) for half in halves]
    first, second = (
        shared_splits(f, [(x.copy(), half)], [PREPARED])[0] for f, half in zip(fitted, halves, strict=True)
    )
    assert first.table is second.table
    assert first.table.values_ND.dtype == torch.uint8
    both = TableSplit.joined([first, second], [first, second])
    at = torch.tensor([[0, 39], [40, 79]])
    apart = torch.stack([first.x_ND[[0, 39]], second.x_ND[[0, 39]]])
    assert both.rows(at, 2).equal(apart)
    known = len(shared_rows._tables)
    del first, second, both
    gc.collect()
    assert len(shared_rows._tables) < known


def test_the_type_of_a_table_is_the_narrowest_that_has_its_values():
    for values, expected in {
        (0.0, 255.0): np.uint8, (0.0, 256.0): np.int16, (-0.0, 1.0): np.float32, (0.1, 1.0): np.float64,
        (np.nan, 1.0): np.float32, (2.0**53, 1.0): np.float32, (1e30, 1.0): np.float64,
    }.items():  # fmt: skip
        rows = pd.DataFrame({"a": np.tile(values, 20)})
        assert shared_rows._values(TableFeatures(missing="impute").fit(rows), rows).dtype == expected


def test_what_is_more_than_scaling_is_held_apart():
    x = np.random.default_rng(0).normal(size=(40, 2))
    coarse = x + np.array([0, 1e9])
    rows = [(x, ScaledArrayFeatures("quantile")), (coarse, ArrayFeatures())]
    table = pd.DataFrame(x, columns=["a", "b"])
    rows.append((table, TableFeatures(scaling="robust")))
    for values, encoder in rows:
        assert shared_splits(encoder.fit(values), [(values, np.arange(40))], [PREPARED]) == [PREPARED]


@pytest.mark.parametrize("official", [False, True])
def test_only_large_data_of_a_cross_validation_and_images_are_shared(official, monkeypatch):
    x = np.random.default_rng(1).normal(size=(60, 4)).astype(np.float32)
    test = (x[:9] + 1, np.arange(9) % 3) if official else (None, None)
    spec = spec_of((np.arange(60) % 3).tolist(), x, test, resampling="kfold", folds=3)
    prepared = load_dataset(spec)
    monkeypatch.setattr("phalanx.data.shared_rows.LARGEST_BYTES", 0)
    shared = load_dataset(spec)
    assert (prepared.train.table, shared.digest) == (None, prepared.digest)
    for name in ("train", "val", "test"):
        assert isinstance(getattr(shared, name), TableSplit)
        assert getattr(shared, name).x_ND.equal(getattr(prepared, name).x_ND)
        assert getattr(shared, name).y_N.equal(getattr(prepared, name).y_N)
    assert load_dataset(held_out(spec, x)).train.table is None
    images = load_dataset(held_out(spec, (x * 40).astype(np.uint8)))
    assert images.train.table.values_ND.dtype == torch.uint8


def held_out(spec, x):
    """The same source without folds, with these rows."""
    without = replace(spec, resampling="holdout")
    object.__setattr__(without, "raw", replace(spec.raw, x=x, test_x=None, test_y=None))
    return without
