"""Arrow divides a table into the same cells as the csv module, or leaves it to it."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phalanx.core.errors import DataError
from phalanx.data import table_cells
from phalanx.data.plain_table import plain_columns
from phalanx.data.table_cells import Cells, read_cells
from phalanx.data.table_layout import Layout


def outcome(text: str, layout: Layout, *, plain: bool) -> dict[str, Any] | str:
    """What `read_cells` makes of a text, with Arrow or without; the message of a refusal."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table_cells, "_SAMPLE", 2)  # else the csv module reads all of a small text, and sees its faults
        if not plain:
            patch.setattr(table_cells, "plain_columns", lambda *_: None)
        try:
            return parts(read_cells(text, layout, "the file"))
        except DataError as error:
            return str(error)


def parts(cells: Cells) -> dict[str, Any]:
    own = {name: getattr(cells, name) for name in ("layout", "header_line", "header", "renamed", "hint")}
    texts = [(name, column.cat.codes.tolist(), column.cat.categories.tolist()) for name, column in cells.frame.items()]
    return {**own, "texts": texts, "lines": cells.lines.tolist(), "index": cells.frame.index.tolist()}


LAYOUTS = st.builds(
    Layout,
    delimiter=st.sampled_from([None, ",", ";", "\t", "|", " ", "§", "whitespace"]),
    comment=st.sampled_from([None, None, "#"]),
    skip_lines=st.integers(0, 2),
    header=st.booleans(),
)
# What csv files quarrel about: quotation marks anywhere, blank and missing cells, line ends, other blanks, a byte order
# mark, signs between thousands, marks of missing values.
CHARACTERS = st.sampled_from(
    [*'ab1.,,,;\t|"" #?\r\n\n\n', "\r\n", "\ufeff", "\xa0", "\x0b", "\x85", "\u2028", "é", '""']
)


@settings(max_examples=500, deadline=None)
@given(text=st.lists(CHARACTERS, min_size=1, max_size=60).map("".join), layout=LAYOUTS)
def test_any_text_is_divided_alike(text: str, layout: Layout) -> None:
    assert outcome(text, layout, plain=True) == outcome(text, layout, plain=False)


CELLS = st.sampled_from(
    ["", " ", "1", "1.5", "-2e3", "1,234", "1.234,5", "?", "NA", " red", "red", "a;b", "größe", "007", "\xa05", "True"]
)
ODD_LINES = [
    "{x}",  # one cell
    "{row}{d}{x}",  # a cell more than the others
    "{row}{d}",
    "",
    " ",
    "\t \t",
    "{blank}",
    "# {x}",
    '"{x}\n{x}"{d}{rest}',
    '{most}"{x}',  # which nothing closes
    '{x}{d} "{x}"',
    '{x}{d}"{x}""{x}"',
    '{x}{d}{x}"{x}"',
    '"{x}"{x}{d}{rest}',
    '"{x}" {d}{rest}',
    "\ufeff{row}",
    "{row}\r{row}",
]


@st.composite
def tables(draw: st.DrawFn) -> tuple[str, Layout]:
    """A table as a program writes it, with one odd line or none."""
    width, delimiter = draw(st.integers(2, 4)), draw(st.sampled_from([",", ";", "\t", " ", "§"]))
    quoting, end = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])), draw(st.sampled_from(["\n", "\r\n"]))
    lines = []
    for _ in range(draw(st.integers(1, 10))):
        out = io.StringIO()
        writer = csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator="")
        writer.writerow(draw(st.lists(CELLS, min_size=width, max_size=width)))
        lines.append(out.getvalue())
    if draw(st.booleans()):
        rest = delimiter.join("x" * (width - 1))
        parts = {"x": "x", "d": delimiter, "row": f"x{delimiter}{rest}", "rest": rest}
        parts |= {"most": f"x{delimiter}" * (width - 1), "blank": delimiter * (width - 1)}
        lines.insert(
            draw(st.sampled_from([0, len(lines) // 2, len(lines)])), draw(st.sampled_from(ODD_LINES)).format(**parts)
        )
    above = draw(st.sampled_from([[], [], [], ["a title"], ["# said"], [f"sep={delimiter}"]]))
    text = end.join([*above, *lines]) + draw(st.sampled_from(["", end, end + end]))
    given_delimiter = draw(st.sampled_from([None, delimiter]))
    return text, Layout(given_delimiter, comment=draw(st.sampled_from([None, "#"])), header=draw(st.booleans()))


@settings(max_examples=600, deadline=None)
@given(tables())
def test_a_table_with_one_odd_line_is_divided_alike(table: tuple[str, Layout]) -> None:
    assert outcome(*table, plain=True) == outcome(*table, plain=False)


def test_comments_above_a_regular_table_need_no_csv_module(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "# made\nx,kind\n  # of rows\n1,red\n2,#blue # 3\n"
    wanted = outcome(text, Layout(comment="#"), plain=False)
    monkeypatch.setattr(table_cells, "_by_record", None)
    assert outcome(text, Layout(comment="#"), plain=True) == wanted


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("1,red\n2,\n1,red", [["1", "2", "1"], ["red", "", "red"]]),
        ("1 , red\r\n2,red \r\n\r\n", [["1", "2"], ["red", "red"]]),
        ('"1","a,b"\n"2",""\n', [["1", "2"], ["a,b", ""]]),
        ('"1"0,x\n2,"y"', [["10", "2"], ["x", "y"]]),
        ('"the ""1""",a "b"\n2,"c, d"', [['the "1"', "2"], ['a "b"', "c, d"]]),
    ],
)
def test_regular_tables_need_no_csv_module(text: str, columns: list[list[str]]) -> None:
    found = plain_columns(text, 1, ",", 2)
    assert found is not None
    assert [np.asarray(column).tolist() for column in found] == columns


@pytest.mark.parametrize(
    "text",
    [
        '1, "a,b"',  # a blank before one
        '1,"a\nb"\n2,c',
        '1,"a',
        "1,2\n3",
        "1,2\n3,4,5",
        "1,2\n\n3,4",
        "1,2\n , ",
        "1,2\r3,4",
        "\ufeff1,2",
        "",
    ],
)
def test_other_tables_are_left_to_the_csv_module(text: str) -> None:
    assert plain_columns(text, 1, ",", 2) is None


@pytest.mark.parametrize("delimiter", [" ", "§"])  # the csv module merges blanks; Arrow takes one byte
def test_delimiters_that_are_left_to_the_csv_module(delimiter: str) -> None:
    assert plain_columns(f"1{delimiter}2\n3{delimiter}4", 1, delimiter, 2) is None
