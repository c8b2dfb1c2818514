"""A user's table: reading, encoding, and every way in which it can be wrong."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from phalanx.core.errors import DataError, SpecError
from phalanx.data import load_dataset
from phalanx.data.csv_table import Csv
from phalanx.data.encoders import features_from_json
from phalanx.data.table_encoder import TableFeatures
from phalanx.data.table_reader import TableReader

Make = Callable[..., Csv]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A spec for a file of the given text, and a test file where `test` is given; target `kind`."""

    def build(text: str | bytes, test: str | None = None, **options: Any) -> Csv:
        path = tmp_path / "table.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        if test is not None:
            (tmp_path / "test.csv").write_text(test)
            options["test_path"] = str(tmp_path / "test.csv")
        return Csv(**{"path": str(path), "target": "kind", **options})

    return build


def table(n: int = 40) -> str:
    """A number, a text, a truth value and the class in `n` rows."""
    rows = [f"{i * 0.5},{['red', 'green', 'blue'][i % 3]},{i % 4 == 0},{'ab'[i % 2]}" for i in range(n)]
    return "\n".join(["size,colour,big,kind", *rows, ""])


def test_only_a_test_file_of_its_own_is_an_official_test_split(make: Make) -> None:
    assert load_dataset(make(table(), test=table(8))).official_test
    assert load_dataset(make(table(), test=table(8), n_test=4)).official_test
    assert not load_dataset(make(table())).official_test


def test_numbers_are_standardised_text_is_one_hot_and_truth_is_a_number(make: Make) -> None:
    data = load_dataset(make(table()))
    assert (len(data.train), len(data.val), len(data.test)) == (26, 6, 8)
    assert data.features.column_names == ("size", "colour=blue", "colour=green", "colour=red", "big")
    assert data.features.n_features == data.n_features == 5
    assert data.classes == ("a", "b")
    assert data.name == "csv"
    assert data.image_shape is None
    x_ND = data.train.x_ND
    assert x_ND.dtype == torch.float32
    for column in (0, 4):
        assert x_ND[:, column].mean().abs() < 1e-6
        assert x_ND[:, column].std(correction=0) == pytest.approx(1)
    assert set(x_ND[:, 1:4].unique().tolist()) == {0.0, 1.0}
    assert (x_ND[:, 1:4].sum(1) == 1).all()


def test_values_are_where_they_belong(make: Make) -> None:
    spec = make("size,colour,big,kind\n1,red,True,a\n2,blue,False,b\n4,red,False,a\n9,blue,True,b\n", normalize="none")
    raw = spec.read()
    encoded = spec.features().fit(raw.x).transform(raw.x)
    assert encoded.tolist() == [[1, 0, 1, 1], [2, 1, 0, 0], [4, 0, 1, 0], [9, 1, 0, 1]]
    assert raw.y.tolist() == [0, 1, 0, 1]
    assert raw.y.dtype == np.int64


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_delimiters_line_ends_and_byte_order_marks(delimiter: str, end: str, mark: bytes, make: Make) -> None:
    plain = load_dataset(make(table()))
    other = load_dataset(make(mark + table().replace(",", delimiter).replace("\n", end).encode()))
    assert other.digest == plain.digest
    assert torch.equal(other.train.x_ND, plain.train.x_ND)


def test_decimal_commas_do_not_hide_the_delimiter(make: Make) -> None:
    text = "size;note;kind\n" + "\n".join(f"{i};1,5;{'ab'[i % 2]}" for i in range(9))
    assert list(make(text, decimal=",").read().x.columns) == ["size", "note"]


def test_other_delimiters_in_the_header_do_not_hide_the_one_between_columns(make: Make) -> None:
    text = '"size, in mm";"a|b";kind\n' + "\n".join(f"{i};{i}.5;{'ab'[i % 2]}" for i in range(9))
    assert list(make(text).read().x.columns) == ["size, in mm", "a|b"]
    with pytest.raises(DataError, match="no samples"):  # nothing to decide by: a comma
        make("x,y;kind\n").read()


@pytest.mark.parametrize("typed", ["\t", "tab", "\\t"])
def test_a_tab_can_be_typed(typed: str, make: Make) -> None:
    text = "x\tnote\tkind\n" + "\n".join(f"{i}\ta,b;c\t{'ab'[i % 2]}" for i in range(9))
    assert list(make(text, delimiter=typed).read().x.columns) == ["x", "note"]


def test_space_around_names_values_and_blank_lines_do_not_count(make: Make) -> None:
    text = "\n size , colour,kind \n1, red,a\n\n2,red , b\n3, blue,a \n  \n4,blue,b\n"
    raw = make(text).read()
    assert list(raw.x.columns) == ["size", "colour"]
    assert raw.classes == ("a", "b")
    assert make(text).features().fit(raw.x).column_names == ("size", "colour=blue", "colour=red")


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (["10", "9", "2"], ("2", "9", "10")),
        (["-1", "1", "0"], ("-1", "0", "1")),
        (["1.0", "2.0", "3.0"], ("1", "2", "3")),
        (["10", "9", "x"], ("10", "9", "x")),
        (["no", "yes", "Yes"], ("Yes", "no", "yes")),
        (["True", "False", "True"], ("False", "True")),
    ],
)
def test_classes_are_sorted_as_numbers_or_by_the_alphabet(values: list[str], classes: tuple[str], make: Make) -> None:
    raw = make("x,kind\n" + "".join(f"{i},{values[i % 3]}\n" for i in range(12))).read()
    assert raw.classes == classes
    names = [raw.classes[label] for label in raw.y]
    assert names == [v.removesuffix(".0") for v in values * 4]


def test_drop_leaves_columns_out(make: Make) -> None:
    spec = make(table(), drop=["size", "big"])
    assert load_dataset(spec).features.column_names == ("colour=blue", "colour=green", "colour=red")


def test_a_test_file_is_the_test_split_and_its_unseen_text_is_all_zeros(make: Make) -> None:
    test = "kind,other,colour,size,big\na,1,violet,0.5,True\nb,1,red,3,False\n"
    data = load_dataset(make(table(), test=test))
    assert (len(data.train), len(data.val), len(data.test)) == (32, 8, 2)
    assert data.test.x_ND[:, 1:4].tolist() == [[0, 0, 0], [0, 0, 1]]
    assert data.test.y_N.tolist() == [0, 1]


def test_text_of_the_training_file_is_text_in_the_test_file(make: Make) -> None:
    text = "zip,kind\n" + "01,a\n7,b\nX,a\n" * 10 + "X,b\n"
    data = load_dataset(make(text, test="zip,kind\n01,a\n7,b\n", categorical=["zip"]))
    assert data.features.column_names == ("zip=01", "zip=7", "zip=X")
    assert data.test.x_ND.tolist() == [[1, 0, 0], [0, 1, 0]]


def test_classes_that_look_like_numbers_in_the_test_file_only(make: Make) -> None:
    raw = make("x,kind\n" + "1,01\n2,B\n" * 5, test="x,kind\n3,01\n").read()
    assert raw.classes == ("01", "B")
    assert raw.test_y.tolist() == [0]


GAPS = "size,colour,big,kind\n" + "1,red,True,a\n3,,False,b\n,red,,a\n2,blue,True,b\n" * 5


def test_impute_takes_the_training_mean_and_a_category_of_its_own(make: Make) -> None:
    spec = make(GAPS, missing="impute", normalize="none")
    raw = spec.read()
    encoder = spec.features().fit(raw.x.iloc[:3])
    assert encoder.column_names == ("size", "colour=missing", "colour=red", "big")
    assert encoder.transform(raw.x.iloc[:3]).tolist() == [[1, 0, 1, 1], [3, 1, 0, 0], [2, 0, 1, 0.5]]
    standardised = TableFeatures(missing="impute").fit(raw.x).transform(raw.x)
    assert standardised[2, 0] == pytest.approx(0)  # the mean itself


def test_drop_rows_leaves_out_rows_with_gaps_also_in_the_target(make: Make) -> None:
    raw = make(GAPS + "5,red,True,\n", test=GAPS, missing="drop_rows").read()
    assert len(raw.x) == len(raw.y) == len(raw.test_x) == len(raw.test_y) == 10
    assert not raw.x.isna().any(axis=None)
    assert raw.classes == ("a", "b")


def test_no_statistic_or_category_comes_from_validation_or_test_rows(make: Make) -> None:
    n = 60
    rows = [f"{i},{'ab'[i % 2]}" for i in range(n)]
    before = load_dataset(make("\n".join(["x,kind", *rows])))
    column = before.features.columns[0]
    kept = set((before.train.x_ND[:, 0].double() * column.std + column.mean).round().long().tolist())
    assert len(kept) == len(before.train) < n

    def with_values_elsewhere(value: str) -> TableFeatures:
        changed = [f"{i if i in kept else value},t{i if i in kept else value},{'ab'[i % 2]}" for i in range(n)]
        return load_dataset(make("\n".join(["x,text,kind", *changed]), max_categories=100)).features

    assert with_values_elsewhere("1") == with_values_elsewhere("99999")
    assert with_values_elsewhere("1").columns[0] == column
    assert len(with_values_elsewhere("1").columns[1].categories) == len(kept)


def test_the_path_may_be_relative_or_in_the_home_folder(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(table())
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert len(Csv(path="table.csv", target="kind").read().y) == 40
    assert len(Csv(path="~/table.csv", target="kind").read().y) == 40


FEW = "1,red,a\n2,blue,b\n3,red,a\n4,blue,b\n"
HEAD = "size,colour,kind\n"
OK = HEAD + FEW
MANY = "id,kind\n" + "".join(f"n{i},{'ab'[i % 2]}\n" for i in range(60))
FAULTS: dict[str, tuple[str | bytes, dict[str, Any], list[str]]] = {
    "empty": ("", {}, ["is empty", "header line"]),
    "blank": (" \n\n", {}, ["is empty"]),
    "header only": (HEAD, {}, ["only a header (size, colour, kind)", "no samples"]),
    "latin-1": (HEAD.encode() + "1,grün,a\n".encode("latin-1"), {}, ["not UTF-8 text", "byte 0xfc in line 2", "UTF-8"]),
    "utf-16": (OK.encode("utf-16"), {}, ["UTF-16 text", "type data.encoding=utf-16"]),
    "workbook": (b"PK\x03\x04rest", {}, ["Excel workbook", "CSV"]),
    "zero bytes": (b"a,kind\n\x00,a\n", {}, ["not a text file", "zero bytes"]),
    "two equal names": ("size,x,size,kind\n1,2,3,a\n", {}, ["more than once: size", "rename"]),
    "nameless column": (
        "," + OK.replace("\n", "\n0,")[:-2], {"drop": ["size"]}, ["1 column(s)", "data.drop=['size','Unnamed: 0']"],
    ),
    "longer rows": (HEAD + "1,2,3,4\n" * 4, {}, ["header in line 1, which has 3 columns", "the first is line 2 with 4"]),
    "longer row": (OK + "1,2,3,4\n", {}, ["separated by ','", "1 line has more", "line 6 with 4"]),
    "open quote": (OK + '1,"red,a\n', {}, ["the quotation mark that opens a cell in line 6 is never closed"]),
    "target misspelt": (OK, {"target": "knd"}, ["data.target: there is no column 'knd'", "did you mean 'kind'?"]),
    "target unknown": (OK, {"target": "zzz"}, ["the columns are 'size', 'colour', 'kind'"]),
    "drop unknown": (OK, {"drop": ["sise"]}, ["data.drop: there is no column 'sise'", "did you mean 'size'?"]),
    "numeric unknown": (OK, {"numeric": ["zzz"]}, ["data.numeric: there is no column 'zzz'"]),
    "nothing left": (OK, {"drop": ["size", "colour"]}, ["no column is left", "size, colour, kind"]),
    "only the target": ("kind\na\nb\na\nb\n", {}, ["no column is left"]),
    "text in numeric": (
        "\n" + HEAD + '1,"two\nlines",a\n\n2,5,b\n3,six,a\n4,7,b\n',
        {"numeric": ["colour"]},
        ["column 'colour' must hold numbers, got text ('two\\nlines'), line 3"],
    ),
    "text after a two-line cell": (
        '\nnote,x,kind\n"two\nlines",5,a\n\nnone,5,b\n"""so""",six,a\nx,7,b\n',
        {"numeric": ["x"]},
        ["got text ('six'), line 7"],
    ),
    "inf": (OK + "inf,red,a\n", {}, ["column 'size' must hold numbers, got an infinite", "('inf'), line 6"]),
    "too large": (OK + "1e39,red,a\n", {}, ["column 'size'", "too large number ('1e39'), line 6"]),
    "missing": (OK + ",red,a\nNA,,b\n", {}, ["in 2 of 6 rows: size 2 (empty, 'NA'), colour 1 (empty);", "the first is in line 6", "type data.missing=impute"]),
    "target missing": (OK + "1,red,\n", {}, ["in 1 of 5 rows: kind 1 (empty);", "type data.missing=drop_rows"]),
    "target never there": (HEAD + "1,red,\n2,blue,\n", {"missing": "drop_rows"}, ["data.target=kind has no values"]),
    "no row left": (HEAD + ",red,a\n2,,b\n" * 2, {"missing": "drop_rows"}, ["leaves none of 4", "size 2 (empty), colour 2 (empty)", "type data.missing=impute"]),
    "continuous": (OK, {"target": "size"}, ["data.target=size has 4 different values in 4 rows", "colour, kind"]),
    "decimal numbers": ("x,kind\n1,2\n2,3.25\n3,2\n4,3.25\n", {}, ["2 different numbers such as 3.25", "continuous"]),
    "one class": (HEAD + "1,red,a\n2,red,a\n", {}, ["data.target=kind has one class only ('a')"]),
    "many texts": (MANY, {}, ["column 'id' holds 60 different texts such as 'n0'", "data.max_categories=50"]),
    "what to type": (MANY, {}, ["; type 'data.drop=[id]'", "to keep it, type data.max_categories=60"]),
    "what to type in addition": (
        MANY.replace("id,", "x,the id,").replace("\nn", "\n1,n"), {"drop": ["x"]}, ["\"data.drop=['x','the id']\""],
    ),
    "all at once": (OK + "inf,red,\ninf,red,a\n", {}, ["has 2 faults:", "line 7", "kind 1"]),
}  # fmt: skip


@pytest.mark.parametrize("case", FAULTS)
def test_a_table_that_cannot_be_used_is_refused_with_the_reason(case: str, make: Make) -> None:
    text, options, parts = FAULTS[case]
    with pytest.raises(DataError) as caught:
        load_dataset(make(text, **options))
    message = str(caught.value)
    assert message.startswith("data.path=")
    assert "table.csv" in message
    for part in parts:
        assert part in message


TEST_FAULTS: dict[str, tuple[str, list[str]]] = {
    "other column": ("size,color,kind\n1,red,a\n", ["lacks the columns 'colour',", "only here: color"]),
    "no target": ("size,colour\n1,red\n", ["lacks the columns 'kind',", "only here: none"]),
    "other class": (HEAD + "1,red,c\n1,red,a\n", ["data.target=kind has classes that data.path lacks: c; it has a, b"]),
    "text for numbers": (
        HEAD + "1,red,a\nsmall,red,a\n",
        ["column 'size' must hold numbers, got text ('small'), line 3"],
    ),
    "missing": (HEAD + ",red,a\n2,red,a\n", ["in 1 of 2 rows: size 1 (empty);", "data.missing=impute"]),
    "empty": ("", ["is empty"]),
}


@pytest.mark.parametrize("case", TEST_FAULTS)
def test_a_test_file_that_does_not_fit_is_refused_with_the_reason(case: str, make: Make) -> None:
    text, parts = TEST_FAULTS[case]
    with pytest.raises(DataError) as caught:
        make(OK, test=text).read()
    message = str(caught.value)
    assert message.startswith("data.test_path=")
    assert "test.csv" in message
    for part in parts:
        assert part in message


def test_an_absent_file_names_its_full_path_and_a_close_match(make: Make, tmp_path: Path) -> None:
    make(OK)
    with pytest.raises(DataError) as caught:
        Csv(path=str(tmp_path / "tabel.csv"), target="kind").read()
    assert f"no file {tmp_path / 'tabel.csv'}; did you mean {tmp_path / 'table.csv'}?" in str(caught.value)
    with pytest.raises(DataError, match="give the path of a CSV file"):
        Csv(path="/nowhere/at/all.csv", target="kind").read()


def test_a_fault_beside_a_cell_that_is_too_long_for_line_numbers_is_still_reported(make: Make) -> None:
    with pytest.raises(DataError, match=r"got text \('six'\), line 4"):
        make(f"x,note,kind\n0,short,b\n1,{'long' * 40_000},a\nsix,short,b\n", numeric=["x"]).read()


def test_a_folder_lists_the_tables_in_it(make: Make, tmp_path: Path) -> None:
    make(OK, test=OK)
    with pytest.raises(
        DataError, match=r"is a folder; give one file \(tables in it: table.csv, test.csv|test.csv, tab"
    ):
        Csv(path=str(tmp_path), target="kind").read()


def test_a_file_that_may_not_be_read_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    file = tmp_path / "x.csv"
    file.write_text("a,kind\n1,b\n")
    monkeypatch.setattr("os.open", denied)
    with pytest.raises(DataError, match=r"data\.path=.*x\.csv cannot be opened: Permission denied"):
        Csv(path=str(file), target="kind").read()


@pytest.mark.parametrize("name", ["pipe.csv", "zero.csv"])
def test_a_pipe_and_an_endless_device_are_refused(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "zero.csv").symlink_to("/dev/zero")
    with pytest.raises(DataError, match=rf"data\.path=.*{name} is not a regular file"):
        Csv(path=str(tmp_path / name), target="kind").read()


def test_a_link_to_a_table_elsewhere_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real.csv").write_text("a,kind\n" + "1,b\n2,c\n" * 9)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "link.csv").symlink_to(tmp_path / "real.csv")
    assert len(Csv(path=str(tmp_path / "data" / "link.csv"), target="kind").read().y) == 18


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delimiter": ";;"}, "data.delimiter must be one character, tab, whitespace or null, got ';;'"),
        ({"delimiter": '"'}, "data.delimiter must be one character, tab, whitespace or null"),
        ({"drop": ["kind"]}, "data.drop names 'kind', which is data.target"),
        ({"numeric": ["kind"]}, "data.numeric names 'kind', which is data.target"),
        ({"drop": ["a"], "numeric": ["a"]}, "'a' is in data.drop and in data.numeric"),
        ({"missing": "mean"}, "data.missing must be one of error, impute, drop_rows, got 'mean'"),
        ({"max_categories": 0}, "data.max_categories must be a whole number of at least 1"),
        ({"normalize": "global"}, "data.normalize must be one of feature, none"),
    ],
)
def test_options_that_cannot_be_meant_are_refused_before_reading(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        Csv(path="absent.csv", target="kind", **options)
    assert message in str(caught.value)


def test_a_class_of_one_member_that_training_misses_is_refused(make: Make) -> None:
    rare = "x,kind\n" + "1,a\n2,b\n" * 9 + "3,c\n"
    spec = make(rare, n_test=11, n_val=2)  # 11/19 of each class: 5.2, 5.2 and 0.58, which is rounded up
    with pytest.raises(DataError, match=r"none of class 'c' \(1 in the test split\).*data.split_seed=1"):
        load_dataset(spec)


def fitted() -> tuple[TableFeatures, pd.DataFrame]:
    rows = pd.DataFrame({"size": [1.0, 2.0, 6.0], "colour": ["red", "blue", "red"], "big": [True, False, True]})
    return TableFeatures().fit(rows), rows


def test_columns_are_found_by_name_whatever_else_is_there() -> None:
    encoder, rows = fitted()
    other = rows.assign(extra="x")[["extra", "big", "colour", "size"]]
    assert np.array_equal(encoder.transform(other), encoder.transform(rows))
    assert encoder.transform(rows[:0]).shape == (0, 4)


def test_a_table_encoder_is_the_same_after_json() -> None:
    encoder, rows = fitted()
    restored = features_from_json(json.loads(json.dumps(encoder.to_json())))
    assert restored == encoder
    assert isinstance(restored, TableFeatures)
    assert np.array_equal(restored.transform(rows), encoder.transform(rows))
    assert restored.names == ("size", "colour", "big")


def test_rows_to_predict_are_read_as_the_training_rows_were(tmp_path: Path) -> None:
    encoder = TableFeatures(normalize="none").fit(pd.DataFrame({"size": [1, 2], "zip": ["01", "X"]}))
    (tmp_path / "new.csv").write_text("zip;size\n01;5\n99;7\n")
    cells = TableReader().read(str(tmp_path / "new.csv"), "INPUT", encoder.names)
    assert encoder.transform(cells.frame).tolist() == [[5, 1, 0], [7, 0, 0]]


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda rows: rows.drop(columns=["size", "big"]), ["lacks the columns 'size', 'big'; it has colour"]),
        (
            lambda rows: rows.assign(size=["1", "two", "3"]),
            ["column 'size' must hold numbers, got text ('two'), in row 2"],
        ),
        (lambda rows: rows.assign(size=[1, 2, np.inf]), ["infinite or too large number ('inf'), in row 3"]),
        (
            lambda rows: rows.assign(size=[1, None, None], colour=None),
            ["'size' has 2 missing", "'colour' has 3 missing"],
        ),
        (lambda rows: rows.to_numpy(), ["must be a table with the columns size, colour, big, got ndarray"]),
    ],
)
def test_rows_that_cannot_be_encoded_are_refused_with_every_reason(
    change: Callable[[pd.DataFrame], Any], parts: list[str]
) -> None:
    encoder, rows = fitted()
    with pytest.raises(DataError) as caught:
        encoder.transform(change(rows))
    for part in parts:
        assert part in str(caught.value)


def test_a_constant_column_becomes_zero_and_an_empty_one_is_refused() -> None:
    rows = pd.DataFrame({"same": [0.1] * 7, "large": [1.1e30] * 7, "x": range(7)})
    assert np.array_equal(TableFeatures().fit(rows).transform(rows)[:, :2], np.zeros((7, 2)))
    almost = rows.assign(large=1.1e30 * (1 + 1e-15 * np.arange(7)))
    assert np.abs(TableFeatures().fit(almost).transform(almost)[:, 1]).max() < 1e-12
    encoder = TableFeatures(missing="impute", reader=TableReader(dropped=("id",)))
    with pytest.raises(DataError) as caught:
        encoder.fit(rows.assign(**{"none": np.nan, "no more": np.nan}))
    assert str(caught.value) == (
        "no value in the training rows: 'none', 'no more'; type \"data.drop=['id','none','no more']\""
    )


def test_large_offsets_keep_their_digits() -> None:
    rows = pd.DataFrame({"time": 1.7e9 + np.arange(5.0)})
    assert TableFeatures().fit(rows).transform(rows)[:, 0] == pytest.approx((np.arange(5) - 2) / np.sqrt(2))


@pytest.mark.parametrize(
    ("offset", "step"), [(1e15, 1.0), (2.0**53 - 9, 1.0), (1.7e9, 5e-4), (-1e15, 1.0), (1e-30, 1e-33)]
)
def test_values_that_differ_little_beside_their_size_are_told_apart(offset: float, step: float) -> None:
    rows = pd.DataFrame({"id": offset + step * np.array([0.0, 1.0] * 50), "x": range(100)})
    encoder = TableFeatures().fit(rows)
    encoded = encoder.transform(rows)[:, 0]
    exact = standardized(rows["id"])
    assert encoded == pytest.approx(exact, abs=1e-6 + np.spacing(abs(offset)) / (step / 2))  # float64 rounds the mean
    assert np.ptp(encoded) == pytest.approx(np.ptp(exact), rel=0.02)
    stored = TableFeatures.from_json(json.loads(json.dumps(encoder.to_json())))
    assert np.array_equal(stored.transform(rows)[:, 0], encoded)


def standardized(values: pd.Series) -> np.ndarray:
    """In rational numbers, up to the root."""
    exact = [Fraction(value) for value in values]
    mean = sum(exact) / len(exact)
    variance = sum((value - mean) ** 2 for value in exact) / len(exact)
    return np.array([float((value - mean) * 10**40) / math.sqrt(variance * 10**80) for value in exact])


@pytest.mark.parametrize("normalize", ["feature", "none"])
def test_a_value_beyond_float32_is_refused_with_row_and_column(normalize: str) -> None:
    rows = pd.DataFrame({"small": [1e-35, 2e-35, 3e-35], "x": [1, 2, 3]})
    encoder = TableFeatures(normalize=normalize).fit(rows)
    with pytest.raises(
        DataError, match=r"column 'x' must hold numbers, got an infinite or too large number \('1e\+39'\)"
    ):
        encoder.transform(rows.assign(x=[1, 1e39, 3]))
    if normalize == "feature":  # in float32 as it is, but not after the division
        with pytest.raises(DataError, match=r"column 'small' in row 2 is not a finite number in float32 after it"):
            encoder.transform(rows.assign(small=[1e-35, 1e10, 1e-35]))


def test_truth_values_with_gaps_are_numbers() -> None:
    rows = pd.DataFrame({"big": pd.Series([True, None, False, True], dtype=object)})
    assert TableFeatures(normalize="none", missing="impute").fit(rows).transform(rows)[:, 0] == pytest.approx(
        [1, 2 / 3, 0, 1]
    )
