"""The contract of a data source. Axes: N samples, D features."""

import json
from dataclasses import replace
from typing import cast

import numpy as np
import pytest
import torch

from phalanx.core.reading import parse_json
from phalanx.core.specs import Spec
from phalanx.data import Dataset, DataSpec, load_dataset
from phalanx.data.encoders import Rows, features_from_json
from phalanx.testing.option import OptionContract


def _first(rows: Rows, n: int) -> Rows:
    return rows.iloc[:n] if hasattr(rows, "iloc") else rows[:n]


class DataContract(OptionContract):
    """Checks a `DataSpec`: its rows, its encoder and its splits. Take a small number of samples, for speed."""

    @pytest.fixture
    def dataset(self, spec: DataSpec) -> Dataset:
        """The source itself."""
        return load_dataset(spec)

    def small_dataset(self, spec: Spec, n_features: int, n_val: int) -> Dataset:
        """The source itself, whatever the sizes."""
        return load_dataset(cast(DataSpec, spec))

    def test_classes_are_indices(self, spec: DataSpec) -> None:
        raw = spec.read()
        for y_N in (raw.y, raw.test_y):
            if y_N is not None:
                assert y_N.ndim == 1
                assert np.issubdtype(y_N.dtype, np.integer)
                assert set(np.unique(y_N)) <= set(range(len(raw.classes)))
        assert len(set(raw.classes)) == len(raw.classes) >= 2

    def test_reading_again_gives_the_same(self, spec: DataSpec, dataset: Dataset) -> None:
        assert load_dataset(spec).digest == dataset.digest

    def test_another_split_seed_gives_another_split(self, spec: DataSpec, dataset: Dataset) -> None:
        assert load_dataset(replace(spec, split_seed=spec.split_seed + 1)).digest != dataset.digest

    def test_features_are_finite(self, spec: DataSpec, dataset: Dataset) -> None:
        for split in (dataset.train, dataset.val, dataset.test):
            assert len(split) > 0
            assert (split.x_ND.dtype, split.y_N.dtype) == (torch.float32, torch.int64)
            assert split.x_ND.shape == (len(split), dataset.n_features)
            assert split.x_ND.isfinite().all()

    def test_a_row_is_encoded_by_itself_and_the_same_after_json(self, spec: DataSpec, dataset: Dataset) -> None:
        rows, encoder = spec.read().x, dataset.features
        encoded_ND = encoder.transform(_first(rows, 5))
        np.testing.assert_array_equal(encoder.transform(_first(rows, 1)), encoded_ND[:1])
        again = features_from_json(parse_json(json.dumps(encoder.to_json()), "the encoder"))
        np.testing.assert_array_equal(again.transform(_first(rows, 5)), encoded_ND)
