"""Rows in other units than the training rows are noted, wherever they come from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from phalanx.data import load_dataset
from phalanx.data.csv_table import Csv
from phalanx.data.encoders import ArrayFeatures, features_from_json


def images(n: int = 60) -> np.ndarray:
    """Grey levels 0 to 255 of 6 x 6 pixels with an empty border."""
    draw = np.random.default_rng(0)
    pixels = np.zeros((n, 6, 6), np.uint8)
    pixels[:, 1:5, 1:5] = draw.integers(0, 256, (n, 4, 4)) * (draw.random((n, 4, 4)) < 0.6)
    pixels[:, 2, 2] = 255
    return pixels.reshape(n, 36)


OTHER_UNITS = [
    (lambda x: x / 255, "the values reach 1, in every column less than"),
    (lambda x: x / 127.5 - 1, "the values reach 1, in every column less than"),
    (lambda x: (x / 255 - 0.1307) / 0.3081, "the values reach 2.82"),
    (lambda x: x * 257.0, "the values reach 65535, in most columns over 10 times"),
]
SAME_UNITS = [lambda x: x, lambda x: x * 0.5, lambda x: 255 - x, lambda x: x * 0, lambda x: x / 4 + 1]


@pytest.fixture(params=["global", "feature", "none"])
def encoder(request: pytest.FixtureRequest) -> ArrayFeatures:
    fitted = ArrayFeatures(request.param, scale=255.0).fit(images())
    stored = features_from_json(json.loads(json.dumps(fitted.to_json())))
    assert stored == fitted
    assert isinstance(stored, ArrayFeatures)
    return stored


@pytest.mark.parametrize(("change", "start"), OTHER_UNITS)
@pytest.mark.parametrize("n", [1, 30])
def test_pixels_in_other_units(change: Any, start: str, n: int, encoder: ArrayFeatures) -> None:
    (note,) = encoder.notes(change(images()[:n].astype(float)))
    assert note.startswith(start)
    assert note.endswith("which reached 255: give them in the units of the training data")


@pytest.mark.parametrize("change", SAME_UNITS)
@pytest.mark.parametrize("n", [1, 30])
def test_pixels_in_the_same_units(change: Any, n: int, encoder: ArrayFeatures) -> None:
    assert encoder.notes(change(images()[:n].astype(float))) == []


def test_a_model_of_an_earlier_version_says_nothing() -> None:
    stored = ArrayFeatures(scale=255.0).fit(images()).to_json()
    del stored["largest"]
    assert features_from_json(stored).notes(images() / 255) == []


@pytest.fixture
def table(tmp_path: Path) -> Csv:
    """The images as a table, as they are often passed on."""
    frame = pd.DataFrame(images(), columns=[f"pixel{i}" for i in range(36)]).assign(label=[i % 2 for i in range(60)])
    frame.to_csv(tmp_path / "table.csv", index=False)
    return Csv(path=str(tmp_path / "table.csv"), target="label")


@pytest.mark.parametrize(("change", "start"), OTHER_UNITS)
def test_a_table_in_other_units(change: Any, start: str, table: Csv) -> None:
    encoder = load_dataset(table).features
    frame = pd.DataFrame(change(images(5).astype(float)), columns=[f"pixel{i}" for i in range(36)])
    assert encoder.notes(frame)[0].startswith(start)
    assert encoder.notes(frame.astype(str))[0].startswith(start)


@pytest.mark.parametrize("change", SAME_UNITS)
def test_a_table_in_the_same_units(change: Any, table: Csv) -> None:
    encoder = load_dataset(table).features
    assert encoder.notes(pd.DataFrame(change(images(5)), columns=[f"pixel{i}" for i in range(36)])) == []


def test_a_test_file_in_other_units_has_a_note(table: Csv, tmp_path: Path) -> None:
    frame = pd.read_csv(table.path)
    (frame / ([255] * 36 + [1])).astype({"label": int}).to_csv(tmp_path / "test.csv", index=False)
    data = load_dataset(Csv(path=table.path, target="label", test_path=str(tmp_path / "test.csv")))
    assert [note.split(",")[0] for note in data.notes] == ["test split: the values reach 1"]


def test_columns_of_large_and_small_numbers_are_no_units(tmp_path: Path) -> None:
    """One row with a small income, and one with a large one."""
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"age": draw.integers(18, 90, 90), "income": draw.lognormal(8, 2, 90).round()})
    for i in range(3):
        frame[f"x{i}"] = draw.normal(size=90)
    frame.assign(kind=["ab"[i % 2] for i in range(90)]).to_csv(tmp_path / "table.csv", index=False)
    encoder = load_dataset(Csv(path=str(tmp_path / "table.csv"), target="kind")).features
    for income in (0, 1, 10**9):
        assert encoder.notes(frame.iloc[[0]].assign(income=income)) == []
