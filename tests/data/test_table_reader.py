"""What training saw of a row is what predict sees, whatever the table looks like."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phalanx.core.errors import DataError
from phalanx.data import load_dataset, table_cells
from phalanx.data.csv_table import Csv
from phalanx.data.encoders import features_from_json
from phalanx.data.table_encoder import TableFeatures
from phalanx.data.table_reader import TableReader

WORDS = st.sampled_from(
    ["red", "Red ", " blue", "007", "7", "None", "a;b", "x,y", 'say "x"', "two\nlines", "größe", "#1", "True"]
)
SIGNS = [(".", None), (".", ","), (",", None), (",", "."), (".", " "), (",", "'")]


def written(value: float, decimal: str, thousands: str | None) -> str:
    """A number as a spreadsheet writes it."""
    text = f"{value:,.3f}" if abs(value) >= 1000 and thousands else f"{value:.3f}"
    return text.replace(",", "T").replace(".", decimal).replace("T", thousands or "")


@st.composite
def tables(draw: st.DrawFn) -> dict[str, Any]:
    """The bytes of a table, the options that read it, and for each row the expected class, or None if it is left out."""
    decimal, thousands = draw(st.sampled_from(SIGNS))
    delimiter = draw(st.sampled_from([";", "\t", "|", ","]))
    missing = draw(st.sampled_from(["impute", "drop_rows"]))
    markers = draw(st.sampled_from([None, ["?"], []]))
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "cp1252", "utf-16"]))
    n, n_skip = draw(st.integers(8, 20)), draw(st.integers(0, 2))
    header, gap = draw(st.booleans()), "?" if markers == ["?"] else ""
    columns: dict[str, list[str]] = {
        "number": [written(draw(st.floats(-99999, 99999)), decimal, thousands) for _ in range(n)],
        "text": [draw(WORDS) for _ in range(n)],
        "truth": [draw(st.sampled_from(["True", "False"])) for _ in range(n)],
        "code": [str(draw(st.integers(0, 3))) for _ in range(n)],
        "constant": ["1"] * n,
        "class": ["ab"[i % 2] for i in range(n)],
    }
    for name in ("number", "text", "truth"):
        for row in draw(st.sets(st.integers(2, n - 1), max_size=2)):
            columns[name][row] = draw(st.sampled_from([gap, " "]))
    if (lost := draw(st.integers(4, n))) < n:
        columns["class"][lost] = gap
    order = draw(st.permutations(list(columns)))
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    out = io.StringIO()
    out.write("a title\n" * n_skip)
    writer = csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator=draw(st.sampled_from(["\n", "\r\n"])))
    if header:
        writer.writerow(order)
    for row in range(n):
        writer.writerow([columns[name][row] for name in order])
        if draw(st.integers(0, 9)) == 0:
            out.write("%a comment\n")
    names = dict(zip(order, order if header else [f"column_{i + 1}" for i in range(len(order))], strict=True))
    options = {
        "target": names["class"], "decimal": decimal, "thousands": thousands, "delimiter": delimiter, "missing": missing,
        "missing_markers": markers, "encoding": encoding.removesuffix("-sig"), "skip_lines": n_skip, "header": header,
        "comment": "%", "categorical": [names["code"]], "max_categories": 99,
    }  # fmt: skip
    return {"content": out.getvalue().encode(encoding), "options": options, "columns": columns, "names": names}


@pytest.mark.slow
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(table=tables())
def test_what_training_saw_of_a_row_is_what_predict_sees(table: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(table["content"])
    spec = Csv(path=str(path), **table["options"])
    try:
        raw = spec.read()
    except DataError as error:
        refusal = str(error)
    else:
        refusal = ""
    if refusal:  # what chance made ambiguous: texts that are mostly numbers, no row without a gap
        assert "; type " in refusal or ", type " in refusal or "one class only" in refusal
        return
    with pytest.MonkeyPatch.context() as patch:  # the csv module alone reads the same
        patch.setattr(table_cells, "plain_columns", lambda *_: None)
        slow = spec.read()
    pd.testing.assert_frame_equal(slow.x, raw.x)
    assert (slow.y.tolist(), slow.classes, slow.notes, slow.about) == (
        raw.y.tolist(),
        raw.classes,
        raw.notes,
        raw.about,
    )
    assert raw.features is not None
    encoder = raw.features.fit(raw.x)
    seen_ND = encoder.transform(raw.x)
    stored = features_from_json(json.loads(json.dumps(encoder.to_json())))
    assert isinstance(stored, TableFeatures)
    cells = stored.reader.read(str(path), "INPUT", stored.names)
    assert len(cells.frame) == len(table["columns"]["class"])
    used = np.ones(len(cells.frame), bool)
    checked = table["columns"] if spec.missing == "drop_rows" else ["class"]
    for name in checked:
        used &= ~stored.reader.notation.missing(cells.frame[table["names"][name]].to_numpy())
    frame = cells.frame[used]
    assert np.array_equal(stored.transform(frame), seen_ND)
    assert stored.notes(frame) == []
    for row in range(0, len(frame), 5):  # alone, and as a service gets it
        assert np.array_equal(stored.transform(frame.iloc[row : row + 1])[0], seen_ND[row])
        record = json.loads(json.dumps(frame.iloc[row].to_dict()))
        assert np.array_equal(stored.transform(pd.DataFrame([record]))[0], seen_ND[row])
    assert np.array_equal(stored.transform(raw.x), seen_ND)


Make = Callable[..., Csv]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def build(text: str, **options: Any) -> Csv:
        (tmp_path / "table.csv").write_text(text)
        return Csv(**{"path": str(tmp_path / "table.csv"), "target": "kind", **options})

    return build


def read(encoder: TableFeatures, path: Path, text: str) -> pd.DataFrame:
    path.write_text(text)
    return encoder.reader.read(str(path), "INPUT", encoder.names).frame


COLOURS = "colour,x,kind\n" + "".join(f"{['red', 'blue', 'dark green'][i % 3]},{i},{'ab'[i % 2]}\n" for i in range(60))


def test_texts_that_training_never_had_are_named_with_the_nearest(make: Make, tmp_path: Path) -> None:
    encoder = load_dataset(make(COLOURS)).features
    assert isinstance(encoder, TableFeatures)
    rows = read(encoder, tmp_path / "new.csv", "x,colour\n1,Red\n2,red\n3,Red\n4,dark-green\n5,zzz\n")
    assert encoder.notes(rows) == [
        "column 'colour': 4 rows with a text that training never had count as none of its categories: 'Red' (2 rows, "
        "nearest: 'red'), 'dark-green' (1 row, nearest: 'dark green'), 'zzz' (1 row)"
    ]
    assert encoder.transform(rows)[:, :3].sum(1).tolist() == [0, 1, 0, 0, 0]


def test_a_test_file_with_such_texts_has_a_note(make: Make, tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text("x,colour,kind\n1,Blue,a\n2,red,b\n")
    data = load_dataset(make(COLOURS, test_path=str(tmp_path / "test.csv")))
    assert [note.split(" (")[0] for note in data.notes] == [
        "test split: column 'colour': 1 row with a text that training never had count as none of its categories: 'Blue'"
    ]


@pytest.mark.parametrize("normalize", ["feature", "none"])
def test_a_column_that_is_constant_in_training_moves_nothing(normalize: str, make: Make, tmp_path: Path) -> None:
    text = "flag,one,x,kind\n" + "".join(f"0,always,{i},{'ab'[i % 2]}\n" for i in range(40))
    data = load_dataset(make(text, normalize=normalize))
    encoder = data.features
    assert isinstance(encoder, TableFeatures)
    assert data.inputs.endswith("; constant in training and so without effect: flag, one")
    rows = read(encoder, tmp_path / "new.csv", "flag,one,x\n0,always,5\n20,never,5\n-3,,5\n".replace(",,", ",other,"))
    x_ND = encoder.transform(rows)
    assert (x_ND == x_ND[0]).all()
    assert np.array_equal(data.train.x_ND[0, :2], x_ND[0, :2])
    assert encoder.notes(rows) == []


def test_a_blank_in_quotation_marks_is_missing_everywhere(make: Make, tmp_path: Path) -> None:
    cells = ["red", '" "', ""]
    text = "colour,kind\n" + "".join(f"{cells[i % 3]},{'ab'[i // 3 % 2]}\n" for i in range(60))
    data = load_dataset(make(text, missing="impute"))
    assert data.inputs == "1 text (colour: 2 categories); imputed: colour 40 (empty)"
    encoder = data.features
    assert isinstance(encoder, TableFeatures)
    rows = read(encoder, tmp_path / "new.csv", 'colour\n" "\n"x"\n')
    assert encoder.transform(rows).tolist() == [[1, 0], [0, 0]]


def test_values_of_a_service_are_those_of_the_file(make: Make) -> None:
    text = "code,flag,x,kind\n" + "".join(
        f"{i % 3},{['TRUE', 'FALSE'][i % 2]},{i},{'ab'[i // 2 % 2]}\n" for i in range(60)
    )
    spec = make(text, categorical=["code", "flag"])
    data = load_dataset(spec)
    encoder = data.features
    assert isinstance(encoder, TableFeatures)
    frame = pd.read_csv(spec.path)
    expected = encoder.transform(encoder.reader.read(spec.path, "INPUT", encoder.names).frame)
    assert np.array_equal(encoder.transform(frame), expected)
    assert np.array_equal(encoder.transform(frame.astype({"code": float})), expected)
    assert np.array_equal(encoder.transform(pd.DataFrame(json.loads(frame.to_json(orient="records")))), expected)


def test_the_file_to_predict_may_have_another_separator_and_no_title(make: Make, tmp_path: Path) -> None:
    encoder = load_dataset(make("a title\n\n" + COLOURS.replace(",", ";"), skip_lines=2)).features
    assert isinstance(encoder, TableFeatures)
    assert len(read(encoder, tmp_path / "new.txt", "x\tcolour\n1\tred\n2\tred\n")) == 2
    with pytest.raises(DataError, match=r"INPUT=.*new.txt lacks the columns 'colour', which the training file has"):
        read(encoder, tmp_path / "new.txt", "x\tcolor\n1\tred\n2\tred\n")


def test_a_title_above_the_rows_to_predict_is_for_their_owner_to_delete(make: Make, tmp_path: Path) -> None:
    encoder = load_dataset(make(COLOURS)).features
    assert isinstance(encoder, TableFeatures)
    with pytest.raises(DataError, match=r"line 1 \(New\) looks like a title.*; delete what is above line 3$"):
        read(encoder, tmp_path / "new.csv", "New\n\nx,colour\n1,red\n2,red\n")


def test_without_a_header_columns_are_found_by_place(make: Make, tmp_path: Path) -> None:
    text = "".join(f"{'ab'[i % 2]},{i},{i % 3}\n" for i in range(40))
    encoder = load_dataset(make(text, header=False, target="column_1")).features
    assert isinstance(encoder, TableFeatures)
    whole = read(encoder, tmp_path / "new.data", "a,5,1\nb,6,2\n")
    without = read(encoder, tmp_path / "new.data", "5;1\n6;2\n")
    assert np.array_equal(encoder.transform(whole), encoder.transform(without))
    with pytest.raises(
        DataError, match="has 4 columns and no header, and the training file has 3: give those, or those"
    ):
        read(encoder, tmp_path / "new.data", "a,5,1,1\nb,6,2,1\n")


def test_lines_that_training_skipped_are_not_lost_rows(make: Make, tmp_path: Path) -> None:
    text = "% a relation\n" + "".join(f"{i},{i % 3},{'ab'[i % 2]}\n" for i in range(40))
    encoder = load_dataset(make(text, header=False, skip_lines=1, target="column_3")).features
    assert isinstance(encoder, TableFeatures)
    with pytest.raises(DataError, match="line 1 looks like a row of data"):
        read(encoder, tmp_path / "new.data", "5,1\n6,2\n")
    assert len(read(encoder, tmp_path / "new.data", "\n5,1\n6,2\n")) == 2


def test_a_model_of_an_earlier_version_has_no_reader(make: Make, tmp_path: Path) -> None:
    lines = [f"{line},{['True', 'FALSE'][i % 2] if i else 'big'}" for i, line in enumerate(COLOURS.splitlines())]
    text = "\n".join(lines)
    new = load_dataset(make(text)).features
    assert isinstance(new, TableFeatures)
    stored = new.to_json()
    del stored["reader"]
    for column in stored["columns"]:
        column.pop("constant", None)
        column.pop("truth", None)
    old = features_from_json(json.loads(json.dumps(stored)))
    assert isinstance(old, TableFeatures)
    assert old.reader == TableReader()
    rows = read(old, tmp_path / "new.csv", text)
    assert np.array_equal(old.transform(rows), new.transform(rows))
    odd = old.decode(read(old, tmp_path / "new.csv", "colour,x,big\nred,1,maybe\n"))
    assert odd.faults(lambda row: f"line {row + 2}") == [
        "column 'big' must hold numbers, got text ('maybe'), in line 2"
    ]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("delimiter", ",,"),
        ("encoding", "base85"),
        ("comment", ""),
        ("skip_lines", "x"),
        ("decimal", "x"),
        ("thousands", "1"),
    ],
)
def test_a_stored_reader_that_cannot_be_used_is_refused(key: str, value: Any) -> None:
    with pytest.raises((ValueError, LookupError)):
        TableReader.from_json({**json.loads(json.dumps(TableReader().to_json())), key: value})
