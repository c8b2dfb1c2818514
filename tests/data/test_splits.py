"""Properties of the stratified split."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from phalanx.data.splits import stratified

FEW = settings(max_examples=60, deadline=None)


@st.composite
def labels_and_size(draw: st.DrawFn) -> tuple[np.ndarray, int]:
    """Labels with uneven classes, gaps between their numbers and single members; and how many to take."""
    y_N = np.array(draw(st.lists(st.sampled_from([0, 0, 0, 0, 1, 1, 3, 7]), min_size=1, max_size=80)))
    return y_N, draw(st.integers(0, len(y_N)))


@FEW
@given(labels_and_size(), st.integers(0, 2**31))
def test_takes_exactly_n_and_parts_the_rows(case: tuple[np.ndarray, int], seed: int) -> None:
    y_N, n_take = case
    taken, rest = stratified(y_N, n_take, seed, "val")
    assert len(taken) == n_take
    assert sorted([*taken, *rest]) == list(range(len(y_N)))


@FEW
@given(labels_and_size(), st.integers(0, 2**31))
def test_every_class_gives_its_share_to_less_than_one(case: tuple[np.ndarray, int], seed: int) -> None:
    y_N, n_take = case
    taken, _ = stratified(y_N, n_take, seed, "val")
    for label, count in zip(*np.unique(y_N, return_counts=True), strict=True):
        assert abs(np.sum(y_N[taken] == label) - count * n_take / len(y_N)) < 1


@FEW
@given(labels_and_size(), st.integers(0, 2**31))
def test_same_seed_and_purpose_give_the_same_rows_whatever_was_drawn_before(
    case: tuple[np.ndarray, int], seed: int
) -> None:
    y_N, n_take = case
    first = stratified(y_N, n_take, seed, "val")
    torch.manual_seed(seed + 1)
    np.random.seed(seed % 2**32)
    stratified(y_N, n_take // 2, seed, "test")
    again = stratified(y_N, n_take, seed, "val")
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


@FEW
@given(st.integers(0, 2**31), st.integers(1, 100))
def test_other_seeds_and_purposes_give_other_rows(seed: int, step: int) -> None:
    y_N = np.arange(300) % 3
    reference = set(stratified(y_N, 150, seed, "val")[0])
    for other in (stratified(y_N, 150, seed + step, "val")[0], stratified(y_N, 150, seed, "test")[0]):
        assert 40 < len(reference & set(other)) < 110  # half in common, as independent draws have


def test_rows_come_shuffled() -> None:
    """Not a property of each seed: one class may run out early, so single orders lean by chance (deviation 0.14)."""
    orders = [rows for seed in range(20) for rows in stratified(np.arange(200) // 100, 100, seed, "val")]
    lean = [abs(np.corrcoef(rows, np.arange(100))[0, 1]) for rows in orders]
    assert np.median(lean) < 0.3  # sorted rows give 1, rows sorted by class about 0.75
