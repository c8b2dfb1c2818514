"""Groups and times of a table, which say how its rows are divided. scikit-learn's dividers are the oracle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GroupKFold, GroupShuffleSplit, StratifiedGroupKFold, TimeSeriesSplit

from phalanx.core.errors import DataError, SpecError
from phalanx.core.specs import walk
from phalanx.data import load_dataset
from phalanx.data.base import DataSpec
from phalanx.data.csv_table import Csv
from phalanx.data.parquet import Parquet
from phalanx.data.resampling import Places, split_rows
from phalanx.training.spec import TrialSpec, config_digest

N = 90
STREAM = np.random.default_rng(0)
TABLE = pd.DataFrame({
    "x": STREAM.normal(size=N).round(3),
    "patient": [f"p{i}" for i in STREAM.integers(0, 17, N)],
    "day": pd.Timestamp("2024-01-31") + pd.to_timedelta(STREAM.permutation(N), unit="D"),
    "y": np.array(["a", "b", "c"])[np.arange(N) % 3],
})  # fmt: skip
CODES = TABLE.patient.to_numpy()
Make = Callable[..., DataSpec]


@pytest.fixture(params=["csv", "parquet"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """A spec for this table, perhaps with other columns."""

    def build(columns: dict[str, Any] | None = None, **options: Any) -> DataSpec:
        table, kind = TABLE.assign(**columns or {}), request.param
        path = tmp_path / f"table.{kind}"
        table.to_csv(path, index=False) if kind == "csv" else table.to_parquet(path)
        return {"csv": Csv, "parquet": Parquet}[kind](**{"path": str(path), "target": "y", "drop": ("day",), **options})

    return build


def places(spec: DataSpec) -> Places:
    return split_rows(spec, spec.read())


def by_time(make: Make, columns: dict[str, Any] | None = None, **options: Any) -> DataSpec:
    return make(columns, **{"time": "day", "drop": ("patient",), **options})


def sides(found: Places) -> list[set[str]]:
    return [set(CODES[part]) for part in (found.train, found.val, found.test)]


@pytest.mark.parametrize("resampling", ["holdout", "kfold", "repeated_kfold", "shuffle_split"])
def test_no_group_is_on_two_sides(make: Make, resampling: str) -> None:
    n_folds = {"holdout": 1, "kfold": 5, "repeated_kfold": 10, "shuffle_split": 2}[resampling]
    found = [places(make(group="patient", resampling=resampling, fold=fold)) for fold in range(n_folds)]
    for one in found:
        train, val, test = sides(one)
        assert not (train | val) & test
        assert not train & val
        assert sorted([*one.train, *one.val, *one.test]) == list(range(N))
        assert one.test.tolist() == found[0].test.tolist()
    assert len({frozenset(one.val.tolist()) for one in found}) == n_folds


@pytest.mark.parametrize("stratify", [True, False])
def test_folds_of_groups_are_those_of_scikit_learn(make: Make, stratify: bool) -> None:
    found = [
        places(make(group="patient", resampling="kfold", folds=4, fold=fold, split_seed=3, stratify=stratify))
        for fold in range(4)
    ]  # fmt: skip
    rest = np.setdiff1d(np.arange(N), found[0].test)
    kind = StratifiedGroupKFold if stratify else GroupKFold
    expected = list(kind(4, shuffle=True, random_state=3).split(rest, TABLE.y[rest], CODES[rest]))
    for one, (train, val) in zip(found, expected, strict=True):
        assert one.val.tolist() == rest[val].tolist()
        assert one.train.tolist() == rest[train].tolist()
        assert one.largest_train == max(len(train) for train, _ in expected)


def test_outer_folds_keep_groups_on_one_side_and_test_each_once(make: Make) -> None:
    found = [places(make(group="patient", outer_folds=3, outer_fold=fold)) for fold in range(3)]
    for one in found:
        train, val, test = sides(one)
        assert not (train | val) & test
        assert not train & val
    assert sorted(row for one in found for row in one.test) == list(range(N))


def test_held_out_groups_are_those_of_scikit_learn_about_as_many_rows_as_were_asked_for(make: Make) -> None:
    found = places(make(group="patient", n_test=30, n_val=20, split_seed=5))
    rest, test = next(GroupShuffleSplit(1, test_size=round(17 / 3), random_state=5).split(CODES, groups=CODES))
    assert found.test.tolist() == test.tolist()
    n_groups = round(20 / len(rest) * len(set(CODES[rest])))
    train, val = next(GroupShuffleSplit(1, test_size=n_groups, random_state=5).split(rest, groups=CODES[rest]))
    assert found.val.tolist() == rest[val].tolist()
    assert found.train.tolist() == rest[train].tolist()
    assert len(places(make(group="patient", n_train=10)).train) == 10
    for seed in range(8):  # groups differ in size, and no row is lost where fewer validate than were asked for
        found = places(make(group="patient", n_val=20, split_seed=seed))
        assert sorted([*found.train, *found.val, *found.test]) == list(range(N))


def test_what_trains_is_before_what_validates_and_that_before_what_tests(make: Make) -> None:
    found = places(by_time(make, n_test=20, n_val=15))
    order = np.argsort(TABLE.day.to_numpy())
    assert found.train.tolist() == order[:55].tolist()
    assert found.val.tolist() == order[55:70].tolist()
    assert found.test.tolist() == order[70:].tolist()
    assert places(by_time(make, n_test=20, n_val=15, n_train=30)).train.tolist() == order[25:55].tolist()
    assert not by_time(make).is_drawn  # so that a final trains no fresh splits


@pytest.mark.parametrize("limit", [None, 12])
def test_folds_in_time_are_those_of_scikit_learn(make: Make, limit: int | None) -> None:
    order = np.argsort(TABLE.day.to_numpy())[:72]
    expected = TimeSeriesSplit(4, max_train_size=limit).split(order)
    for fold, (train, val) in enumerate(expected):
        found = places(by_time(make, resampling="kfold", folds=4, fold=fold, n_train=limit))
        assert found.train.tolist() == order[train].tolist()
        assert found.val.tolist() == order[val].tolist()


@pytest.mark.parametrize(
    "times",
    [
        [f"{i:g}" for i in np.linspace(-3, 12, N)],  # as text -3 is after 12
        [f"{9 + i}" for i in range(N)],
        [f"2024-01-31T{9 + i // 60:02d}:{i % 60:02d}:00+01:00" for i in range(N)],
        [f"{2024 + i}-01-01" + " 09:30" * (i % 2) for i in range(N)],
    ],
)
def test_times_are_sorted_as_what_they_are(make: Make, times: list[str]) -> None:
    order = STREAM.permutation(N)
    found = places(by_time(make, {"day": np.array(times, dtype=object)[order]}, n_test=20, n_val=15))
    assert order[found.test].tolist() == list(range(70, N))


def test_rows_of_one_time_on_both_sides_are_noted(make: Make) -> None:
    notes = load_dataset(by_time(make, {"day": np.arange(N) // 7}, n_test=20, n_val=15)).notes
    assert "1 of 15 validation rows have the same time as an earlier split's last rows" in notes
    assert not any("same time" in note for note in load_dataset(by_time(make)).notes)


def test_such_columns_are_no_features(make: Make) -> None:
    assert load_dataset(make(group="patient")).feature_names == ("x",)
    assert load_dataset(by_time(make)).feature_names == ("x",)
    rows = TABLE[["x"]].head(3)
    assert load_dataset(make(group="patient")).features.transform(rows).shape == (3, 1)


def test_an_absent_one_changes_no_digest() -> None:
    plain = Csv(path="a.csv", target="y")
    fields = {key for key, constraint, _ in walk(TrialSpec(data=plain)) if constraint.determines_numbers}
    assert not {"data.group", "data.time"} & fields
    digests = {config_digest(TrialSpec(data=one)) for one in (plain, Csv(path="a.csv", target="y", group="g"))}
    assert len(digests) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"group": "y"}, "data.group names 'y', which is data.target"),
        ({"group": "g", "drop": ("g",)}, r"'g' is data.group, which is no feature, and in data.drop; name it in one"),
        ({"time": "t", "group": "g"}, r"data.time must be null with data.group, got 't'; try data.time=null"),
        ({"time": "t", "split_seed": 2}, r"data.split_seed must be 0 with data.time.*got 2; try data.split_seed=0"),
        ({"time": "t", "resampling": "shuffle_split"}, r"data.resampling must be holdout or kfold with data.time"),
        ({"time": "t", "outer_folds": 3}, r"data.outer_folds must be null with data.time: rows that test .*, got 3"),
    ],
)
def test_options_that_exclude_each_other_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Csv(path="a.csv", target="y", **options)


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({}, {"group": "patien"}, r"data.group: there is no column 'patien'; did you mean 'patient'"),
        ({"patient": ["a", "b"] * 45}, {"group": "patient", "n_test": 9, "resampling": "kfold"},
         r"data.folds=5 is more than the 1 group of data.group=patient outside the test split"),
        ({"patient": [f"{i // 18}" for i in range(N)]}, {"group": "patient", "resampling": "kfold"},
         r"data.folds=5 is more than the 4 groups of data.group=patient outside the test split; .* at most 4"),
        ({"patient": [f"{i // 18}" for i in range(N)]}, {"group": "patient", "outer_folds": 6},
         r"data.outer_folds=6 is more than the 5 groups of data.group=patient; data.outer_folds may be at most 5"),
        ({"patient": ["a"] * N}, {"group": "patient"}, r"data.group=patient has too few groups.*: 1 is left to divide"),
        ({"patient": ["a", "b"] * 45}, {"group": "patient"}, r"too few groups .* data.group=null"),
        ({"patient": [None, *CODES[1:]]}, {"group": "patient"},
         r"data.group=patient has no value in 1 of 90 rows, the first in (line 2|row 1); .*type data.missing=drop_rows"),
        ({"day": ["31.01.2024", *TABLE.day[1:].astype(str)]}, {"time": "day", "drop": ("patient",)},
         r"data.time=day must hold numbers, or dates with the year first .* got '31.01.2024', (line 2|row 1)"),
        ({"day": ["2024"] * N}, {"time": "day", "drop": ("patient",)},
         r"data.time=day has the value '2024' in every row, which gives them no order"),
        ({}, {"time": "day", "drop": ("patient",), "resampling": "kfold", "folds": 72}, r"data.folds may be at most 71"),
        ({"y": ["a"] * 85 + ["b"] * 5}, {"group": "patient", "resampling": "kfold", "folds": 6}, r"data.folds=6 is more than"),
    ],
)  # fmt: skip
def test_columns_that_cannot_divide_the_rows_are_refused(
    make: Make, columns: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        load_dataset(make(columns, **options))


def test_rows_without_a_group_are_left_out_where_that_is_asked_for(make: Make) -> None:
    spec = make({"patient": [None, *CODES[1:]]}, group="patient", missing="drop_rows")
    found = load_dataset(spec)
    assert sum(map(len, (found.train, found.val, found.test))) == N - 1
    assert "1 of 90 rows left out, with missing patient 1 (empty)" in found.inputs
    assert found.inputs.endswith("divided by group 'patient'")
