"""No cell of a CSV file is a formula for a spreadsheet, and every cell can be read back."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phalanx.core.csv_text import cell_value, csv_text

FORMULAS = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "--1", "'=1", "''@x"]


def read(text):
    return list(csv.reader(io.StringIO(text, newline="")))


@pytest.mark.parametrize("cell", FORMULAS)
def test_text_that_a_spreadsheet_would_run_is_protected(cell):
    ((found,),) = read(csv_text([[cell]]))
    assert found == f"'{cell}"
    assert cell_value(found) == cell


@pytest.mark.parametrize(
    "cell", [-0.5, -3, float("-inf"), "-0.5", "+1e-3", "plain", "it's", "'quoted'", "a=b", "", None]
)
def test_numbers_and_other_text_stay_as_they_are(cell):
    ((found,),) = read(csv_text([[cell]])) if cell not in ("", None) else (("",),)
    assert found == ("" if cell is None else str(cell))
    assert cell_value(found) == found


@given(st.lists(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0")), min_size=2, max_size=4))
def test_every_row_is_read_back(cells):
    (row,) = csv.reader(io.StringIO(csv_text([cells]), newline=""))
    assert [cell_value(cell) for cell in row] == cells
    assert not any(cell[:1] in "=+-@\t\r\n" and cell and not _number(cell) for cell in row)


def _number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True
