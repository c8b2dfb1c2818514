"""`phalanx compare` tells settings apart by their whole, typed values, and shows different ones differently."""

from __future__ import annotations

import csv
import io
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.comparisons import A, B, compared
from support.run_folders import config, result, write_grid, write_run

from phalanx.analysis.compare.tables import groups_csv
from phalanx.analysis.compare.values import UNCLEAR, identity, texts_of
from phalanx.core.errors import RequestError

LONG = "/data/" + "folder/" * 12
ALIKE = {
    "a number and a text": (1, "1"),
    "a truth value and a text": (True, "true"),
    "nothing and a text": (None, "null"),
    "lists that differ after what is shown": ([*range(100), 1], [*range(100), 2]),
    "lists that differ in type": ([1, 2], ["1", "2"]),
    "numbers that differ after what is shown": (0.1, 0.10000001),
    "paths that differ after what is shown": (LONG + "a.csv", LONG + "b.csv"),
    "very long texts": ("x" * 500 + "a", "x" * 500 + "b"),
    "characters that cannot be shown": ("a\u200bb", "a\u200cb"),
}
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3), max_leaves=6,
)  # fmt: skip


@pytest.mark.parametrize("two", ALIKE.values(), ids=ALIKE)
def test_values_that_look_alike_make_two_groups_with_two_names(tmp_path, two):
    folder = grid_of(tmp_path, two)
    found = compared(folder, "model.kind")
    (part,) = found.parts
    assert [len(group.seeds) for group in part.groups] == [6, 6]
    assert len({group.label for group in part.groups}) == 2
    assert all(len(group.label) < 250 for group in part.groups)
    assert not any("counted once" in note for note in part.notes)
    assert part.differences[0].n == 6
    assert len({row["model.kind"] for row in csv.DictReader(io.StringIO(groups_csv(found)))}) == 2


def grid_of(root, two):
    """Six seeds at each of two values of `model.kind`, in one folder."""
    for number, value in enumerate(two):
        for seed, accuracy in (A, B)[number].items():
            write_run(root / str(10 * number + seed), result(accuracy, seed, test=accuracy),
                      config(seed, model__kind=value))  # fmt: skip
    return root


@pytest.mark.parametrize("two", ALIKE.values(), ids=ALIKE)
def test_values_that_look_alike_are_two_settings_of_a_group(tmp_path, two):
    number = 0
    for loss, seeds in {"nll": A, "mse": B}.items():
        for value in two:
            for seed, accuracy in seeds.items():
                cfg = config(seed, loss=loss, model__kind=value)
                write_run(tmp_path / str(number), result(accuracy, seed, test=accuracy), cfg)
                number += 1
    (part,) = compared(tmp_path, "loss").parts
    assert [group.n_runs for group in part.groups] == [12, 12]
    assert any("mean over 2 settings of model.kind" in note for note in part.notes)
    assert not any("counted once" in note for note in part.notes)


def test_every_group_can_be_selected_and_be_the_baseline(tmp_path):
    folder = grid_of(tmp_path, (1, "1"))
    labels = [group.label for group in compared(folder, "model.kind").parts[0].groups]
    assert labels == ["kind=1", 'kind="1"']
    for label in labels:
        assert len(compared(folder, "model.kind", baseline=label).parts[0].differences) == 1
        (part,) = compared(folder, "model.kind", where=[f"model.kind={label.removeprefix('kind=')}"]).parts
        assert (len(part.groups), part.groups[0].n_runs) == (1, 6)


@pytest.mark.parametrize("typed", ["0.333333", "0.3333333333333333"])
def test_a_value_is_selected_as_shown_and_as_typed(tmp_path, typed):
    write_grid(tmp_path, {1 / 3: A, 0.5: B}, "optimizer.lr")
    (part,) = compared(tmp_path, "lr", where=[f"lr={typed}"]).parts
    assert [group.label for group in part.groups] == ["lr=0.333333"]
    with pytest.raises(RequestError, match=r"no run is left by --where lr=0\.3; .*0\.333333, 0\.5"):
        compared(tmp_path, "lr", where=["lr=0.3"])


def test_a_number_is_the_same_however_it_was_typed(tmp_path):
    first = write_grid(tmp_path / "a", {1: {0: 0.9, 1: 0.8}}, "optimizer.lr")
    second = write_grid(tmp_path / "b", {1.0: {2: 0.9, 3: 0.8}}, "optimizer.lr")
    (part,) = compared([first, second], "lr").parts
    assert [(group.label, sorted(group.seeds)) for group in part.groups] == [("lr=1", [0, 1, 2, 3])]


def test_names_with_a_slash_stay_two_groups(tmp_path):
    number = 0
    for loss, optimizer in (("a/b", "c"), ("a", "b/c")):
        for seed in range(3):
            cfg = config(seed, loss=loss, optimizer=optimizer)
            write_run(tmp_path / str(number), result(0.5, seed, test=0.5 + 0.1 * (loss == "a")), cfg)
            number += 1
    (part,) = compared(tmp_path, "loss", "optimizer").parts
    assert sorted(group.label for group in part.groups) == [
        'loss.name="a", optimizer.name="b/c"', 'loss.name="a/b", optimizer.name="c"',
    ]  # fmt: skip
    assert part.differences[0].mean == pytest.approx(10)


@given(st.lists(values, max_size=6), st.booleans())
def test_different_values_have_different_texts(some, short):
    different = {identity(value): value for value in some}
    texts = texts_of(different, short)
    assert set(texts) == set(different)
    assert len(set(texts.values())) == len(different)
    assert all(text.isprintable() and text not in UNCLEAR for text in texts.values())


@given(values, values)
def test_an_identity_is_shared_by_equal_values_alone(one, other):
    same = one == other and str(type(one)) == str(type(other)) and repr(one) == repr(other)
    if same:
        assert identity(one) == identity(other)
    if identity(one) == identity(other):
        assert one == other


def test_infinite_numbers_have_an_identity():
    assert len({identity(value) for value in (math.inf, -math.inf, math.nan, 0.0, "inf")}) == 5
