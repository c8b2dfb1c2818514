"""A table in several files of equal columns."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from phalanx import load_dataset
from phalanx.core.errors import DataError
from phalanx.core.labels import label_of_data
from phalanx.data.csv_table import Csv
from phalanx.data.parquet import Parquet
from phalanx.runs.trained_on import with_places

N = 60
FRAME = pd.DataFrame(
    {
        "size": np.arange(N) * 0.5,
        "colour": np.array(["red", "blue", "green"])[np.arange(N) // 20],
        "kind": ["a", "b"] * 30,
    }
)


@pytest.fixture
def parts(tmp_path):
    """Writes parts of the table, each to a file of its own; returns a spec for all of them."""

    def write(cls=Csv, frames=None, **options):
        for place, frame in enumerate(frames or (FRAME[:25], FRAME[25:26], FRAME[26:])):
            file = tmp_path / f"part {place}.{cls.name}"
            if cls is Parquet:
                frame.to_parquet(file)
            else:
                frame.to_csv(file, index=False, sep=",;"[place % 2])
        return cls(path=f"glob({tmp_path}/part *.{cls.name})", target="kind", **options)

    return write


@pytest.mark.parametrize("cls", [Csv, Parquet])
def test_the_files_are_one_table_in_the_order_of_their_names(parts, tmp_path, cls):
    whole = tmp_path / f"whole.{cls.name}"
    FRAME.to_csv(whole, index=False) if cls is Csv else FRAME.to_parquet(whole)
    wanted, found = load_dataset(cls(path=str(whole), target="kind")), load_dataset(parts(cls))
    assert found.digest == wanted.digest
    assert found.inputs == f"{wanted.inputs}; 3 files: part 0.{cls.name}, part 1.{cls.name}, part 2.{cls.name}"


def test_the_order_of_columns_may_differ(parts):
    found = load_dataset(parts(frames=(FRAME[:25], FRAME.iloc[25:, ::-1])))
    assert found.digest == load_dataset(parts()).digest


def test_files_with_other_columns_are_named_with_all_faults(parts, tmp_path):
    frames = (FRAME[:20], FRAME[20:40].drop(columns="size"), FRAME[40:].rename(columns={"colour": "color"}))
    with pytest.raises(DataError) as error:
        parts(frames=frames).read()
    file = f"data.path={tmp_path}/part"
    assert str(error.value).splitlines() == [
        f"data.path=glob({tmp_path}/part *.csv) cannot be read as one table:",
        f"  - {file} 1.csv lacks 'size', compared with {file} 0.csv",
        f"  - {file} 2.csv lacks 'colour' and has 'color' besides, compared with {file} 0.csv",
    ]


def test_files_that_cannot_be_read_are_named(parts, tmp_path):
    spec = parts()
    (tmp_path / "part 1.csv").write_text("")
    with pytest.raises(DataError, match=r"one table:\n  - data.path=.*/part 1\.csv is empty"):
        spec.read()
    with pytest.raises(DataError, match=r"data.path=glob\(none/\*\): no file matches none/\* in "):
        replace(spec, path="glob(none/*)").read()


def test_files_without_a_header(parts, tmp_path):
    for place in range(2):
        (tmp_path / f"part {place}.csv").write_text("".join(f"{i + place}.5,{'ab'[i % 2]}\n" for i in range(30)))
    spec = Csv(path=f"glob({tmp_path}/part *.csv)", target="column_2")
    with pytest.raises(DataError, match=r"if the files have no header, type data\.header=false"):
        spec.read()
    assert len(replace(spec, header=False).read().y) == 60


def test_types_of_parquet_files_must_agree(parts, tmp_path):
    with pytest.raises(DataError, match=r"part 1\.parquet: column 'size' holds text, and number in .*part 0\.parquet"):
        parts(Parquet, (FRAME[:20], FRAME[20:].assign(size="1"))).read()
    empty = parts(Parquet, (FRAME[:20].assign(colour=None), FRAME[20:]), missing="impute")
    assert load_dataset(empty).feature_names == ("size", "colour=blue", "colour=green", "colour=missing")


@pytest.mark.parametrize(("cls", "place"), [(Csv, "line 3 of part 2.csv"), (Parquet, "row 2 of part 2.parquet")])
def test_a_fault_is_told_with_its_file(parts, cls, place):
    broken = FRAME.assign(size=FRAME["size"].where(FRAME.index != 27, None))
    with pytest.raises(DataError, match=f"the first is in {place}; data.missing"):
        parts(cls, (broken[:25], broken[25:26], broken[26:])).read()


def test_a_test_split_may_be_several_files(parts, tmp_path):
    spec = parts(test_path=f"glob({tmp_path}/part [01].csv)")
    assert len(load_dataset(spec).test) == 26


def test_what_the_table_is_called():
    assert label_of_data(None, "glob(sales/2024-*.csv)", "csv") == "2024"
    assert label_of_data(None, "glob(~/sales/**/*.csv)", "csv") == "sales"
    assert label_of_data(None, "glob(*)", "csv") == "csv"
    assert label_of_data("Sales", "glob(*)", "csv") == "Sales"


def test_the_files_are_found_from_another_folder(parts, tmp_path, monkeypatch):
    parts()
    (tmp_path / "else[1]").mkdir()
    run = tmp_path / "outputs" / "runs" / "r"
    run.mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "else[1]")
    values = {"data": {"name": "csv", "path": "glob(part *.csv)", "target": "kind"}}
    path = with_places(values, run)["data"]["path"]
    assert path == f"glob({tmp_path}/part *.csv)"
    assert len(Csv(path=path, target="kind").read().y) == N
    assert with_places({"data": {"path": "glob(no *.csv)"}}, run)["data"]["path"] == "glob(no *.csv)"
    assert os.listdir() == []
