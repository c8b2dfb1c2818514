"""Which rows train, validate and test: one split, folds, repeated draws. scikit-learn's dividers are the oracle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import KFold, StratifiedKFold
from support.given_rows import Rows, spec_of

from phalanx.core.errors import DataError, SpecError
from phalanx.core.seeding import derive
from phalanx.data import Dataset, load_dataset
from phalanx.data.digits import Digits
from phalanx.data.resampling import Places, split_rows

Y = [0] * 40 + [1] * 27 + [2] * 16


def rows(y: list[int] = Y, n_official: int = 0, **options: Any) -> Rows:
    official = (np.arange(n_official, dtype=float)[:, None], np.arange(n_official) % (max(y) + 1))
    return spec_of(y, official=official if n_official else (None, None), **options)


def places(**options: Any) -> Places:
    spec = rows(**options)
    return split_rows(spec, spec.read())


def outside_test(found: Places) -> np.ndarray:
    return np.setdiff1d(np.arange(len(Y)), found.test)


@pytest.mark.parametrize("stratify", [True, False])
@pytest.mark.parametrize("n_folds", [2, 5])
def test_folds_are_those_of_scikit_learn(stratify: bool, n_folds: int) -> None:
    options = {"resampling": "kfold", "folds": n_folds, "stratify": stratify, "split_seed": 7}
    found = [places(n_official=6, fold=fold, **options) for fold in range(n_folds)]
    kind = StratifiedKFold if stratify else KFold
    expected = kind(n_folds, shuffle=True, random_state=7).split(np.zeros(len(Y)), Y)
    for one, (train, val) in zip(found, expected, strict=True):
        assert one.val.tolist() == val.tolist()
        assert one.train.tolist() == train.tolist()


@pytest.mark.parametrize("resampling", ["kfold", "repeated_kfold"])
def test_each_row_outside_the_test_split_validates_once(resampling: str) -> None:
    found = [places(resampling=resampling, folds=4, fold=fold) for fold in range(4)]
    assert np.sort(np.concatenate([one.val for one in found])).tolist() == outside_test(found[0]).tolist()
    for one in found:
        assert one.test.tolist() == found[0].test.tolist()
        assert sorted([*one.train, *one.val, *one.test]) == list(range(len(Y)))


def test_a_repeat_divides_the_rows_otherwise_and_the_first_is_kfold() -> None:
    once = [places(resampling="kfold", fold=fold).val.tolist() for fold in range(5)]
    found = [places(resampling="repeated_kfold", repeats=3, fold=fold).val.tolist() for fold in range(15)]
    assert found[:5] == once
    parts = [frozenset(map(frozenset, found[i : i + 5])) for i in (0, 5, 10)]
    assert len(set(parts)) == 3
    for part in parts:
        assert sorted(row for rows in part for row in rows) == sorted(row for rows in once for row in rows)


def test_draws_of_shuffle_split_differ_and_the_first_is_the_holdout() -> None:
    holdout = places(n_val=20)
    found = [places(resampling="shuffle_split", repeats=6, n_val=20, fold=fold) for fold in range(6)]
    assert found[0].val.tolist() == holdout.val.tolist()
    assert found[0].train.tolist() == holdout.train.tolist()
    assert len({frozenset(one.val.tolist()) for one in found}) == 6
    for one in found:
        assert one.test.tolist() == holdout.test.tolist()
        assert len(one.val) == 20
        assert sorted([*one.train, *one.val, *one.test]) == list(range(len(Y)))


def test_without_stratification_classes_need_not_have_their_share() -> None:
    shares = {tuple(np.bincount(np.array(Y)[places(stratify=False, split_seed=seed).val])) for seed in range(5)}
    assert len(shares) > 1
    assert len({tuple(np.bincount(np.array(Y)[places(split_seed=seed).val])) for seed in range(5)}) == 1


def test_training_samples_are_limited_in_folds_and_validation_samples_are_the_fold() -> None:
    found = places(resampling="kfold", n_train=30, n_val=1)
    assert (len(found.train), len(found.val)) == (30, 14)
    assert len(places(resampling="kfold", n_train=10**6).train) == 53  # all that the fold leaves


def test_the_statistics_of_each_fold_are_those_of_its_training_rows() -> None:
    def mean(data: Dataset) -> float:
        return float(data.train.x_ND.mean())

    found = [load_dataset(rows(resampling="kfold", fold=fold, split_seed=3)) for fold in range(5)]
    assert [mean(data) for data in found] == pytest.approx([0] * 5, abs=1e-6)
    assert len({data.digest for data in found}) == 5
    assert len({round(float(data.features.transform(np.zeros((1, 1)))[0, 0]), 9) for data in found}) == 5


def test_a_seed_beyond_those_of_numpy_divides_too() -> None:
    first, second = (places(resampling="kfold", split_seed=2**32 + seed).val.tolist() for seed in (1, 2))
    assert first != second


def test_digits_in_five_folds() -> None:
    found = [load_dataset(Digits(resampling="kfold", fold=fold)) for fold in range(5)]
    assert sorted(len(data.val) for data in found) == [287, 287, 287, 288, 288]
    assert {len(data.test) for data in found} == {360}


@pytest.mark.parametrize("stratify", [True, False])
def test_outer_folds_are_those_of_scikit_learn_and_test_each_row_once(stratify: bool) -> None:
    options = {"outer_folds": 4, "stratify": stratify, "split_seed": 3}
    found = [places(outer_fold=fold, **options) for fold in range(4)]
    kind = (StratifiedKFold if stratify else KFold)(4, shuffle=True, random_state=derive(3, "outer") % 2**32)
    for one, (rest, test) in zip(found, kind.split(np.zeros(len(Y)), Y), strict=True):
        assert one.test.tolist() == test.tolist()
        assert sorted([*one.train, *one.val]) == rest.tolist()
    assert sorted(np.concatenate([one.test for one in found])) == list(range(len(Y)))


def test_each_outer_fold_has_inner_folds_of_the_other_rows() -> None:
    options = {"outer_folds": 3, "resampling": "kfold", "folds": 4}
    for outer in range(3):
        inner = [places(outer_fold=outer, fold=fold, **options) for fold in range(4)]
        assert sorted(np.concatenate([one.val for one in inner])) == outside_test(inner[0]).tolist()


def test_the_number_of_test_samples_means_nothing_with_outer_folds() -> None:
    one, other = (places(outer_folds=4, n_val=9, n_test=n) for n in (None, 2))
    assert one.test.tolist() == other.test.tolist()
    assert len(one.val) == len(other.val) == 9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"outer_fold": 1}, r"data.outer_fold must be 0 with data.outer_folds=null, got 1; try data.outer_folds=5"),
        ({"outer_folds": 3, "outer_fold": 3}, r"data.outer_fold must be a number from 0 to 2, got 3"),
        ({"outer_folds": 1}, r"data.outer_folds must be a whole number of at least 2.*got 1"),
    ],
)
def test_an_outer_fold_that_does_not_exist_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Rows(**options)


@pytest.mark.parametrize(
    ("y", "n_official", "n_folds", "message"),
    [
        (Y, 0, 17, r"data.outer_folds=17 is more than the 16 rows of class 'class 2' of the source; .*at most 16"),
        (
            Y,
            6,
            3,
            r"data.outer_folds=3 has each part of the rows test in turn, and data=.* has a test split of its own",
        ),
    ],
)
def test_outer_folds_that_cannot_be_are_refused(y: list[int], n_official: int, n_folds: int, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_dataset(rows(y, n_official, outer_folds=n_folds))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fold": 2}, r"data.fold must be 0 with data.resampling=holdout, got 2; try data.resampling=kfold"),
        ({"fold": 5, "resampling": "kfold"}, r"data.fold must be a number from 0 to 4, got 5; try data.fold=4"),
        ({"fold": 6, "resampling": "repeated_kfold", "folds": 3}, r"a number from 0 to 5, got 6"),
        ({"fold": 2, "resampling": "shuffle_split"}, r"a number from 0 to 1, got 2"),
        ({"resampling": "loo"}, r"data.resampling must be one of holdout, kfold, repeated_kfold, shuffle_split"),
        ({"resampling": "kfold", "folds": 1}, r"data.folds must be a whole number of at least 2, got 1"),
    ],
)
def test_a_fold_that_does_not_exist_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Rows(**options)


@pytest.mark.parametrize(
    ("y", "options", "message"),
    [
        (Y, {"folds": 14}, r"data.folds=14 is more than the 13 rows of class 'class 2'.*at most 13;.*stratify=false"),
        ([0] * 20 + [1], {"n_test": 1}, r"the 1 row of class 'class 1' outside the test split; data.stratify=false"),
        ([0, 1] * 5, {"folds": 9, "stratify": False}, r"data.folds=9 is more than the 8 rows outside the test split"),
    ],
)
def test_more_folds_than_there_can_be_are_refused_with_the_largest_number(
    y: list[int], options: dict[str, Any], message: str
) -> None:
    spec = rows(y, resampling="kfold", **options)
    with pytest.raises(DataError, match=message):
        load_dataset(spec)
