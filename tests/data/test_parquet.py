"""Tables in Parquet files: their types decide, and everything else is as with the same table in a text file."""

from __future__ import annotations

import datetime
import decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet

from phalanx import MLP, TrialSpec, load_dataset, train_trial
from phalanx.analysis.predict import predict_file
from phalanx.core.errors import DataError
from phalanx.data.csv_table import Csv
from phalanx.data.parquet import Parquet
from phalanx.runs.model_file import save_model
from phalanx.training.spec import TrainerSpec

N = 60
DRAW = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {
        "size": DRAW.normal(size=N), "count": np.arange(N) % 7, "colour": np.array(["red", "blue", "grün"])[np.arange(N) % 3],
        "big": np.arange(N) % 4 == 0, "kind": np.array(["a", "b"])[np.arange(N) % 2],
    }
)  # fmt: skip


@pytest.fixture
def loaded(tmp_path):
    """Loads a table that was written as Parquet."""

    def load(table, **options):
        path = tmp_path / "table.parquet"
        if isinstance(table, pd.DataFrame):
            table.to_parquet(path)
        else:
            parquet.write_table(table, path)
        return load_dataset(Parquet(path=str(path), **{"target": "kind", **options}))

    return load


def with_column(values, kind=None):
    return pa.table({**{name: pa.array(FRAME[name]) for name in ("size", "kind")}, "extra": pa.array(values, kind)})


def test_it_is_the_same_table_as_in_a_text_file(loaded, tmp_path):
    FRAME.to_csv(tmp_path / "table.csv", index=False)
    text, typed = load_dataset(Csv(path=str(tmp_path / "table.csv"), target="kind")), loaded(FRAME)
    assert typed.inputs == text.inputs == "3 numeric, 1 text (colour: 3 categories)"
    assert typed.feature_names == text.feature_names
    assert typed.digest == text.digest
    assert torch.equal(typed.train.x_ND, text.train.x_ND)


@pytest.mark.parametrize(
    ("values", "kind", "names"),
    [
        (["07", "8"] * 30, pa.string(), ["extra=07", "extra=8"]),
        (["07", "8"] * 30, pa.large_string(), ["extra=07", "extra=8"]),
        (pa.array(["x", "y"] * 30).dictionary_encode(), None, ["extra=x", "extra=y"]),
        ([7, 2**60] * 30, pa.int64(), ["extra"]),
        ([7.5, -1.0] * 30, pa.float32(), ["extra"]),
        (np.array([7.5, -1.0] * 30, np.float16), pa.float16(), ["extra"]),
        ([decimal.Decimal("1.50"), decimal.Decimal("2.25")] * 30, None, ["extra"]),
        ([True, False] * 30, None, ["extra"]),
        ([datetime.date(2020, 1, 31), datetime.date(2020, 2, 1)] * 30, None, ["extra=2020-01-31", "extra=2020-02-01"]),
        ([datetime.datetime(2020, 1, 31, 5), datetime.datetime(2020, 2, 1)] * 30, None,
         ["extra=2020-01-31 05:00:00", "extra=2020-02-01 00:00:00"]),
    ],
)  # fmt: skip
def test_types_decide_what_a_column_holds(loaded, values, kind, names):
    assert loaded(with_column(values, kind)).feature_names == ("size", *names)


def test_categories_of_pandas_are_categories_even_if_they_are_numbers(loaded):
    frame = FRAME[["size", "kind"]].assign(extra=pd.Categorical([7, 8] * 30))
    assert loaded(frame).feature_names == ("size", "extra=7", "extra=8")
    assert loaded(frame, numeric=("extra",)).feature_names == ("size", "extra")


def test_a_text_column_of_numbers_becomes_numbers_if_that_is_asked_for(loaded):
    table = with_column([f"{value}.5" for value in range(N)])
    with pytest.raises(DataError, match=r"holds 60 different texts .* all are numbers: type 'data.numeric=\[extra\]'"):
        loaded(table)
    assert loaded(table, numeric=("extra",)).feature_names == ("size", "extra")
    wrong = with_column(["1", "x"] * 30)
    with pytest.raises(DataError, match=r"column 'extra' must hold numbers, got text \('x'\), row 2"):
        loaded(wrong, numeric=("extra",))


def test_null_and_nan_are_missing_and_words_are_not(loaded):
    table = with_column([None, float("nan"), 1.0] * 20)
    with pytest.raises(DataError, match=r"missing values in 40 of 60 rows: extra 40 \(empty\); the first is in row 1;"):
        loaded(table)
    assert loaded(table, missing="impute").inputs.endswith("imputed: extra 40 (empty)")
    whole = loaded(with_column([None, 2, 3] * 20, pa.int64()), missing="drop_rows")
    assert whole.inputs.endswith("20 of 60 rows left out, with missing extra 20 (empty)")
    words = with_column(["NA", "None", "SA"] * 20)
    assert loaded(words).feature_names == ("size", "extra=NA", "extra=None", "extra=SA")
    with pytest.raises(DataError, match=r"extra 20 \('NA'\)"):
        loaded(words, missing_markers=("NA",))


def test_an_index_of_pandas_is_no_input(loaded):
    plain = loaded(FRAME)
    for index in (FRAME.index[::-1], pd.Index(np.arange(N) % 5)):
        assert loaded(FRAME.set_index(index)).feature_names == plain.feature_names
    named = loaded(FRAME.set_index(pd.Index(np.arange(N) % 5, name="id")))
    assert named.feature_names == plain.feature_names
    assert named.inputs.endswith("; index left out: id")
    assert loaded(FRAME.set_index("kind")).feature_names == plain.feature_names
    assert "count" in loaded(FRAME.set_index("count"), numeric=("count",)).feature_names


BAD = {
    "lists": (with_column([[1.0, 2.0]] * N), {}, "no numbers, texts or truth values: 'extra' list<element: double>; type 'data.drop=[extra]'"),
    "bytes": (with_column([b"x"] * N), {}, "'extra' binary; type 'data.drop=[extra]'"),
    "nothing": (with_column([None] * N), {}, "no value in column 'extra'; type 'data.drop=[extra]'"),
    "infinite": (with_column([float("inf")] * N), {}, "got an infinite or too large number ('inf'), row 1"),
    "no rows": (with_column([1.0] * N).slice(0, 0), {}, "has no rows; its columns are size, kind, extra"),
    "twice": (pa.table([[1], [2]], names=["a", "a"]), {}, "column names that occur more than once: a; rename them"),
    "no target": (with_column([1.0] * N), {"target": "kin"}, "there is no column 'kin'; did you mean 'kind'?"),
    "alone": (with_column([1.0] * N).select(["size"]), {}, "data.target: there is no column 'kind'; the columns are 'size'"),
    "names": (with_column([f"n{i}" for i in range(N)]), {}, "column 'extra' holds 60 different texts such as 'n0'"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_used_is_said(loaded, case):
    table, options, words = BAD[case]
    with pytest.raises(DataError) as error:
        loaded(table, **options)
    assert words in str(error.value)
    assert "the file comes out" not in str(error.value)


def test_a_dropped_column_may_hold_anything(loaded):
    assert loaded(with_column([[1.0]] * N), drop=("extra",)).feature_names == ("size",)


def test_files_that_are_none(tmp_path):
    path = tmp_path / "table.parquet"
    spec = Parquet(path=str(path), target="kind")
    FRAME.to_parquet(tmp_path / "tables.parquet")
    with pytest.raises(DataError, match=r"there is no file .*table\.parquet; did you mean .*tables\.parquet\?"):
        spec.read()
    path.write_text("size,kind\n1,a\n")
    with pytest.raises(DataError, match="is not a Parquet file; if it is a text file with a table, type data=csv"):
        spec.read()
    whole = (tmp_path / "tables.parquet").read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="is damaged, or of a kind that cannot be read"):
        spec.read()
    with pytest.raises(DataError, match="is not a text file but Apache Parquet; type data=parquet"):
        Csv(path=str(tmp_path / "tables.parquet"), target="kind").read()


def test_a_test_file_is_read_by_the_types_of_training(loaded, tmp_path):
    FRAME.iloc[:8].assign(size=range(8)).to_parquet(tmp_path / "test.parquet")
    assert loaded(FRAME, test_path=str(tmp_path / "test.parquet")).official_test
    FRAME.iloc[:8].assign(size="much").to_parquet(tmp_path / "test.parquet")
    with pytest.raises(DataError, match=r"column 'size' must hold numbers, got text \('much'\), row 1"):
        loaded(FRAME, test_path=str(tmp_path / "test.parquet"))
    FRAME.drop(columns="size").to_parquet(tmp_path / "test.parquet")
    with pytest.raises(
        DataError, match="lacks the columns 'size', which the training file has; columns only here: none"
    ):
        loaded(FRAME, test_path=str(tmp_path / "test.parquet"))


@pytest.mark.parametrize("trained", [Csv, Parquet])
def test_a_model_of_a_table_predicts_rows_of_either_file(tmp_path, trained):
    paths = {Csv: tmp_path / "table.csv", Parquet: tmp_path / "table.parquet"}
    FRAME.to_csv(paths[Csv], index=False)
    FRAME.to_parquet(paths[Parquet])
    spec = TrialSpec(
        data=trained(path=str(paths[trained]), target="kind"), model=MLP(hidden=(4,)), trainer=TrainerSpec(epochs=1)
    )
    data = load_dataset(spec.data)
    save_model(tmp_path / "model.safetensors", spec, data, train_trial(spec, data))
    text, typed = (predict_file(tmp_path / "model.safetensors", path) for path in paths.values())
    np.testing.assert_array_equal(text.p_NC, typed.p_NC)
    assert len(typed.names) == N
    FRAME.drop(columns="colour").to_parquet(tmp_path / "lacking.parquet")
    with pytest.raises(DataError, match="lacks the columns 'colour'"):
        predict_file(tmp_path / "model.safetensors", tmp_path / "lacking.parquet")
    FRAME.assign(size=[None, *["x"] * (N - 1)]).to_parquet(tmp_path / "odd.parquet")
    with pytest.raises(DataError, match=r"column 'size' must hold numbers, got text \('x'\), in row 2"):
        predict_file(tmp_path / "model.safetensors", tmp_path / "odd.parquet")


def test_numbers_keep_all_their_digits(loaded, tmp_path):
    values = np.concatenate([DRAW.normal(size=N // 2), 10 ** DRAW.uniform(-30, 30, size=N - N // 2)])
    FRAME.assign(size=values).to_parquet(tmp_path / "table.parquet")
    raw = Parquet(path=str(tmp_path / "table.parquet"), target="kind").read()
    np.testing.assert_array_equal(raw.x["size"].to_numpy(), values)
