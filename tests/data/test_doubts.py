"""What makes an accuracy meaningless is noted, once, and usual tables have no note."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phalanx.data import DATASETS, load_dataset
from phalanx.data.csv_table import Csv

Notes = Callable[..., list[str]]


@pytest.fixture
def notes(tmp_path: Path) -> Notes:
    """The notes of a table that is given as lists by column; `kind` is the class."""

    def build(columns: dict[str, Any], **options: Any) -> list[str]:
        lines = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
        (tmp_path / "table.csv").write_text("\n".join(lines))
        spec = Csv(**{"path": str(tmp_path / "table.csv"), "target": "kind", **options})
        return list(load_dataset(spec).notes)

    return build


def noise(n: int, seed: int = 0) -> list[float]:
    return np.random.default_rng(seed).normal(size=n).round(6).tolist()


def sorted_by_class(n: int = 90) -> dict[str, Any]:
    return {"x": noise(n), "kind": ["abc"[3 * i // n] for i in range(n)]}


def test_a_usual_table_has_no_note(notes: Notes) -> None:
    assert notes(sorted_by_class()) == []
    assert notes({"id": range(90), "x": noise(90), "kind": ["abc"[i % 3] for i in range(90)]}) == []


@pytest.mark.parametrize("first", [0, 1, 1000])
def test_a_row_counter_in_a_file_sorted_by_class(first: int, notes: Notes) -> None:
    table = {"id": range(first, first + 90), **sorted_by_class()}
    assert notes(table) == [
        "column 'id' counts the rows, which are sorted by class: in new rows that says nothing, so type 'data.drop=[id]'"
    ]
    assert notes(table, drop=("id",)) == []


def test_a_row_counter_in_a_file_that_is_nearly_sorted(notes: Notes) -> None:
    kinds = list("a" * 60 + "b" * 60)
    kinds[10], kinds[100] = "b", "a"
    table = {"no": range(120, 0, -1), "x": noise(120), "old id": ["u"] * 119 + ["v"], "kind": kinds}
    (note,) = notes(table, drop=("old id",))
    assert note.startswith("column 'no' counts the rows")
    assert note.endswith("""type "data.drop=['old id','no']\"""")


def test_an_input_that_sorts_by_class(notes: Notes) -> None:
    kinds = ["abc"[i % 3] for i in range(60)]
    table = {
        "code": ["abc".index(kind) * 10 + i % 7 for i, kind in enumerate(kinds)],
        "copy": [f"class {kind}" for kind in kinds],
        "x": noise(60),
        "kind": kinds,
    }
    assert notes(table) == [
        "2 columns ('code', 'copy') each alone tell the class of every row; if that is made from the class, or not "
        "known of new rows, type 'data.drop=[code,copy]'"
    ]
    table["code"][5] = 0  # one row of class c among those of class a
    (note,) = notes(table)
    assert note.startswith("column 'copy' alone tells")


def test_texts_of_few_rows_each_tell_nothing(notes: Notes) -> None:
    table = {"name": [f"n{i}" for i in range(60)], "x": noise(60), "kind": ["ab"[i % 2] for i in range(60)]}
    assert not any("tells" in note for note in notes(table, max_categories=60))


def test_the_same_rows_in_training_and_test(notes: Notes) -> None:
    """As in KEEL's list of the Titanic's passengers: three features of few values."""
    draw = np.random.default_rng(0)
    columns = {name: draw.integers(0, 2, 300).tolist() for name in ("class", "age", "sex")}
    table = {**columns, "kind": draw.choice(["lost", "saved"], 300).tolist()}
    assert notes(table) == [
        "48 of 48 validation rows and 60 of 60 test rows have the same inputs as a training row: their accuracy says "
        "how well rows are remembered"
    ]


def test_few_repeated_rows_have_no_note(notes: Notes) -> None:
    table = {"x": noise(200), "kind": ["ab"[i % 2] for i in range(200)]}
    table["x"][:6] = [0.5] * 6
    assert notes(table) == []


@pytest.mark.parametrize(("n", "expected"), [(80, None), (90, "90.0%"), (99, "99.0%")])
def test_a_class_that_nearly_all_rows_have(n: int, expected: str | None, notes: Notes) -> None:
    table = {"x": noise(300), "kind": ["yes" if i % 100 < n else "no" for i in range(300)]}
    found = notes(table)
    if expected is None:
        assert found == []
    else:
        assert found[0] == f"{expected} of the rows have the class 'yes': whoever always says so has that accuracy"


@pytest.mark.parametrize(("n", "has_note"), [(160, False), (161, True)])
def test_a_class_with_more_than_four_times_the_samples_of_another(n: int, has_note: bool, notes: Notes) -> None:
    kinds = ["yes"] * n + ["no"] * 40 + ["maybe"] * 60
    random.Random(0).shuffle(kinds)
    assert (
        notes({"x": noise(len(kinds)), "kind": kinds})
        == [
            "class 'yes' has 161 samples and class 'no' 40, of which an accuracy hides the rare one: "
            "objective=val_balanced_accuracy counts both the same, and loss.class_weights=balanced trains so"
        ]
        * has_note
    )


def test_classes_that_differ_only_by_case_or_space(notes: Notes) -> None:
    kinds = ["Yes", "yes", "no", "maybe  so", "Maybe so", "maybe-so"]
    assert notes({"x": noise(120), "kind": [kinds[i % 6] for i in range(120)]}) == [
        "classes that differ only by case or space: 'Maybe so', 'maybe  so'; 'Yes', 'yes'; if they are the same, write "
        "them alike"
    ]


@pytest.mark.parametrize("name", ["digits", "wine", "clouds", "thresholds", "three_integers"])
def test_data_that_the_project_ships_have_no_notes(name: str) -> None:
    assert load_dataset(DATASETS[name]()).notes == ()
