"""Arrays of a user's: which are taken, what is said of them, and what is refused in words that help."""

from __future__ import annotations

import shlex

import numpy as np
import pytest
import torch

from phalanx import DATASETS, load_dataset
from phalanx.core.errors import DataError

DRAW = np.random.default_rng(0)
X, Y = DRAW.normal(size=(60, 3)), np.arange(60) % 3
IMAGES = DRAW.integers(0, 256, (60, 4, 5), dtype=np.uint8)


def loaded(folder, options=(), **arrays):
    np.savez(folder / "file.npz", **arrays)
    return load_dataset(DATASETS["npz"](path=str(folder / "file.npz"), **dict(options)))


@pytest.mark.parametrize("names", [("x", "y"), ("X", "y"), ("x_train", "y_train"), ("train_images", "train_labels"),
                                   ("data", "target"), ("arr_0", "arr_1")])  # fmt: skip
def test_arrays_are_found_by_their_usual_names(tmp_path, names):
    data = loaded(tmp_path, **dict(zip(names, (X, Y), strict=True)))
    assert data.classes == ("0", "1", "2")
    assert (len(data.train), len(data.val), len(data.test), data.n_features) == (39, 9, 12, 3)
    assert data.inputs == f"{names[0]}: 60 × 3 float64; {names[1]}: 60 int64"


def test_an_official_test_split_is_taken_and_can_be_left_out(tmp_path):
    arrays = {"x_train": IMAGES, "y_train": Y, "x_test": IMAGES[:10] // 2, "y_test": Y[:10]}
    data = loaded(tmp_path, **arrays)
    assert data.official_test
    assert data.image_shape == (4, 5)
    assert torch.equal(data.test.y_N, torch.from_numpy(Y[:10]))
    held_out = loaded(tmp_path, {"test_x": "none", "test_y": "none"}, **arrays)
    assert (held_out.official_test, len(held_out.test)) == (False, 12)


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        (Y.astype(np.float32) * 10, ("0", "10", "20")),
        (Y == 1, ("0", "1")),
        (Y[:, None] - 1, ("-1", "0", "1")),
        (np.array(["b", "a", "c"])[Y], ("a", "b", "c")),
        (np.array([b"b", "ü".encode(), b"c"])[Y], ("b", "c", "ü")),
    ],
)
def test_classes_are_whole_numbers_or_texts_in_order(tmp_path, y, classes):
    assert loaded(tmp_path, x=X, y=y).classes == classes


@pytest.mark.parametrize(
    ("shape", "image"),
    [((20,), None), ((4, 5), (4, 5)), ((4, 5, 1), (4, 5)), ((1, 4, 5), (4, 5)), ((2, 5, 2), None), ((20, 1), None)],
)
def test_samples_of_any_shape_become_rows(tmp_path, shape, image):
    data = loaded(tmp_path, x=IMAGES.reshape(60, *shape), y=Y)
    assert (data.n_features, data.image_shape) == (20, image)


def test_the_encoded_rows_are_those_of_scikit_learn(tmp_path):
    from sklearn.preprocessing import StandardScaler

    data = loaded(tmp_path, x=X, y=Y)
    raw = DATASETS["npz"](path=str(tmp_path / "file.npz")).read().x
    rows = [np.flatnonzero((data.features.transform(raw) == x.numpy()).all(1))[0] for x in data.train.x_ND]
    wanted = StandardScaler().fit(X[rows]).transform(X[rows])
    np.testing.assert_allclose(data.train.x_ND.numpy(), wanted, rtol=1e-5, atol=1e-6)


BAD = {
    "no classes": ({"x": X}, "data.y is not clear from the names; its arrays are x; type data.y=NAME"),
    "two candidates": ({"x": X, "data": X, "y": Y}, "data.x may be x or data; its arrays are x, data, y; type data.x=x"),
    "odd names": ({"a b": X, "y": Y}, "data.x is not clear from the names; its arrays are a b, y; type"),
    "half a test split": ({"x": X, "y": Y, "x_test": X}, "data.test_y is missing for the test split"),
    "text": ({"x": X.astype(str), "y": Y}, "x must hold real numbers, got the type <U"),
    "complex": ({"x": X + 1j, "y": Y}, "x must hold real numbers, got the type complex128"),
    "no rows": ({"x": X[:0], "y": Y[:0]}, "x must have the shape (N, D) or (N, h, w) with N samples, got (0, 3)"),
    "one axis": ({"x": X[:, 0], "y": Y}, "with N samples, got (60,)"),
    "nan": ({"x": np.where(X > 2, np.nan, X), "y": Y}, "x must hold finite numbers, got"),
    "one-hot": ({"x": X, "y": np.eye(3)[Y]}, "of one-hot rows save y.argmax(axis=1)"),
    "measurements": ({"x": X, "y": X[:, 0]}, "y must hold classes, got measurements such as 0.12573"),
    "lengths": ({"x": X, "y": Y[:50]}, "x has 60 samples and y 50 classes; they must be as many"),
    "objects": ({"x": X, "y": np.array([None] * 60)}, "pickled Python objects, which could run code"),
    "other test samples": ({"x": X, "y": Y, "x_test": IMAGES, "y_test": Y}, "samples of one shape, got (4, 5) and (3,)"),
    "other test classes": ({"x": X, "y": Y, "x_test": X, "y_test": Y + 5}, "y_test has classes that y lacks: [5, 6, 7]"),
    "one class": ({"x": X, "y": Y * 0}, "has one class only"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_used_is_said(tmp_path, case):
    arrays, said = BAD[case]
    with pytest.raises(DataError) as error:
        loaded(tmp_path, **arrays)
    assert said in str(error.value)


def test_an_advised_name_with_a_blank_works_as_typed(tmp_path):
    with pytest.raises(DataError) as error:
        loaded(tmp_path, **{"a b": X, "y": Y})
    (typed,) = shlex.split(str(error.value).rpartition("type ")[2])
    assert typed == "data.x='a b'"
    assert loaded(tmp_path, {"x": "a b"}, **{"a b": X, "y": Y}).n_features == 3


def test_names_that_are_not_there_are_answered_with_those_that_are(tmp_path):
    with pytest.raises(DataError) as error:
        loaded(tmp_path, {"x": "foo", "y": "bar"}, x_train=X, y_train=Y)
    assert str(error.value) == (
        f"{tmp_path / 'file.npz'} cannot be used:\n"
        "  - data.x has no array 'foo'; its arrays are x_train, y_train; type data.x=x_train\n"
        "  - data.y has no array 'bar'; its arrays are x_train, y_train; type data.y=y_train"
    )


def test_all_faults_are_said_at_once(tmp_path):
    with pytest.raises(DataError) as error:
        loaded(tmp_path, x=X.astype(str), y=np.eye(3)[Y])
    assert "x must hold real numbers" in str(error.value)
    assert "y must have the shape (N,)" in str(error.value)


def test_files_that_are_no_arrays(tmp_path):
    spec = DATASETS["npz"](path=str(tmp_path / "file.npz"))
    with pytest.raises(DataError, match=r"there is no file .*file\.npz; type data\.path=FILE\.npz"):
        spec.read()
    np.savez(tmp_path / "file.npz", x=X, y=Y)
    whole = (tmp_path / "file.npz").read_bytes()
    (tmp_path / "file.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="is not an array file of numpy, or is damaged"):
        spec.read()
    with open(tmp_path / "file.npz", "wb") as file:
        np.save(file, X)
    with pytest.raises(DataError, match="holds one array without a name"):
        spec.read()
