"""Data sources that are functions of a user's: what they may return, and what is said of everything else."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from phalanx import DATASETS, RequestError, TrainerSpec, TrialSpec, load_dataset
from phalanx.core.errors import DataError
from phalanx.core.extensions import ExtensionError, forget
from phalanx.data.function_data import dataset, function_data
from phalanx.testing import DataContract
from phalanx.training.spec import config_digest

DRAW = np.random.default_rng(0)
X, Y = DRAW.normal(size=(60, 3)), np.arange(60) % 3
IMAGES = DRAW.integers(0, 256, (60, 4, 5), dtype=np.uint8)


class Items(Dataset):
    """Samples and classes one by one."""

    def __init__(self, samples, labels, classes=None):
        self.samples, self.labels = samples, labels
        if classes:
            self.classes = classes

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, place):
        return self.samples[place], self.labels[place]


class Endless(IterableDataset):
    def __iter__(self):
        return iter([(X[0], 0)])


def returning(value, **options):
    """The source whose function returns a value."""

    def given():
        return value

    return function_data(given)(**options)


def embeddings(*, path: str = "vectors.npz", scale: float = 1.0, part: str = "all"):
    with np.load(path) as arrays:
        return scale * arrays["vectors"], arrays["labels"]


class TestFunctions(DataContract):
    @pytest.fixture(params=["arrays", "items"])
    def spec(self, request):
        small = {"n_train": 20, "n_val": 20, "n_test": 20}
        values = {"arrays": (IMAGES, Y), "items": Items(torch.from_numpy(X), Y.tolist())}
        return returning(values[request.param], **small)


@pytest.mark.parametrize(
    "value",
    [
        (X, Y), [X, Y], (torch.from_numpy(X), torch.from_numpy(Y)), (X.tolist(), Y.tolist()),
        TensorDataset(torch.from_numpy(X), torch.from_numpy(Y)), Items(X, Y), Items(X.tolist(), list(map(float, Y))),
        (X, Y[:, None]), Items(torch.from_numpy(X), torch.from_numpy(Y)),
    ],
)  # fmt: skip
def test_arrays_tensors_lists_and_items_are_the_same_rows(value, tmp_path):
    np.savez(tmp_path / "file.npz", x=X, y=Y)
    wanted = load_dataset(DATASETS["npz"](path=str(tmp_path / "file.npz")))
    found = load_dataset(returning(value))
    assert found.digest == wanted.digest
    assert torch.equal(found.train.x_ND, wanted.train.x_ND)


@pytest.mark.parametrize("value", [(IMAGES, Y), Items([Image.fromarray(image) for image in IMAGES], Y)])
def test_images_are_grey_and_keep_their_shape(value):
    raw = returning(value).read()
    assert raw.image_shape == (4, 5)
    np.testing.assert_array_equal(raw.x, IMAGES.reshape(60, 20))


def test_images_of_colours_are_rows():
    colours = DRAW.integers(0, 256, (60, 4, 5, 3), dtype=np.uint8)
    raw = returning(Items([Image.fromarray(image) for image in colours], Y)).read()
    assert raw.image_shape is None
    np.testing.assert_array_equal(raw.x, colours.reshape(60, 60))


@pytest.mark.parametrize("value", [(X, Y, X[:9], Y[:9]), (Items(X, Y), Items(X[:9], Y[:9]))])
def test_a_test_split_may_be_returned(value):
    data = load_dataset(returning(value))
    assert data.official_test
    assert data.test.y_N.tolist() == Y[:9].tolist()


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        (10 * Y - 10, ("-10", "0", "10")),
        (np.array(["b", "a", "c"])[Y], ("a", "b", "c")),
        (np.array(["b", "a", "c"], dtype=object)[Y], ("a", "b", "c")),
        (Y == 1, ("0", "1")),
    ],
)
def test_classes_are_whole_numbers_or_texts_in_order(y, classes):
    assert load_dataset(returning((X, y))).classes == classes
    assert load_dataset(returning(Items(X, y))).classes == classes


def test_a_data_set_may_name_its_classes():
    assert load_dataset(returning(Items(X, Y, ["owl", "cat", "dog"]))).classes == ("cat", "dog", "owl")
    assert returning(Items(X, Y, ["owl", "cat", "dog"])).read().y[:3].tolist() == [2, 0, 1]


BAD = {
    "nothing": (None, "must be (x, y), (x, y, test_x, test_y), a map-style torch Dataset, or two of these (training"),
    "three": ((X, Y, X), "got a tuple of 3"),
    "an array": (X, "got ndarray"),
    "endless": (Endless(), "got a Endless without a length; return its samples as arrays"),
    "no pairs": (Items(X, Y).samples.tolist() and Dataset(), "without a length"),
    "NaN": ((np.where(X > 2, np.nan, X), Y), "x must hold finite numbers, got"),
    "masked": ((np.ma.masked_greater(X, 2), Y), "x must hold finite numbers, got"),
    "texts": ((X.astype(str), Y), "x must hold real numbers, got the type <U"),
    "complex": ((torch.zeros(60, 3, dtype=torch.complex64), Y), "x must hold real numbers, got the type complex64"),
    "one axis": ((X[:, 0], Y), "x must have the shape (N, D) or (N, h, w) with N samples, got (60,)"),
    "lengths": ((X, Y[:50]), "x has 60 samples and y 50 classes; they must be as many"),
    "ragged": (([[1.0], [1.0, 2.0]], [0, 1]), "x must have samples of one shape"),
    "one-hot": ((X, np.eye(3)[Y]), "of one-hot rows save y.argmax(axis=1)"),
    "measurements": ((X, X[:, 0]), "y must hold classes, got measurements such as 0.12573"),
    "other test samples": ((X, Y, X[:, :2], Y), "test_x and x must have samples of one shape, got (2,) and (3,)"),
    "other test classes": ((X, Y, X, Y + 5), "test_y has classes that y lacks: [5, 6, 7]"),
    "items of two sizes": (Items([*IMAGES[:59], IMAGES[0, :3]], Y), "item 59 has the shape (3, 5), and item 0 (4, 5)"),
    "test items of two sizes": ((Items(X, Y), Items([X[0], X[0, :2]], Y[:2])), "test item 1 has the shape (2,), and test item 0"),
    "a class of items": (Items(X, [*Y[:-1], None]), "item 59 must have a whole number or a text as its class, got None"),
    "one-hot items": (Items(X, np.eye(3)[Y]), "item 0 must have a whole number or a text as its class, got array([1., 0., 0.])"),
    "items alone": (type("Alone", (Items,), {"__getitem__": lambda self, i: X[i]})(X, Y), "item 0 must be (sample, class), got ndarray"),
    "palette": (Items([Image.fromarray(IMAGES[0]).convert("P")] * 60, Y), "item 0 is an image of mode P; convert it to L"),
    "no items": (Items(X[:0], Y[:0]), "x must have the shape (N, D) or (N, h, w) with N samples"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_used_is_said(case):
    value, words = BAD[case]
    with pytest.raises(DataError) as error:
        load_dataset(returning(value))
    assert words in str(error.value)
    assert str(error.value).startswith("what data=given returns (test_function_data.py, digest ")


def test_a_function_that_fails_is_told_with_its_values_and_line(tmp_path):
    spec = function_data(embeddings)(path=str(tmp_path / "none.npz"))
    with pytest.raises(DataError, match=r"^data=embeddings fails with path='.*none.npz', scale=1.0, part='all': "):
        spec.read()


def test_its_values_and_its_code_are_part_of_the_digest_and_its_places_are_not(tmp_path):
    np.savez(tmp_path / "vectors.npz", vectors=X, labels=Y)
    made = function_data(embeddings)
    specs = [made(), made(path=str(tmp_path / "vectors.npz")), made(scale=2.0), made(part="some"), made(title="V")]
    digests = [config_digest(TrialSpec(data=spec)) for spec in specs]
    assert digests[0] == digests[1] == digests[4]
    assert len(set(digests)) == 3
    np.testing.assert_allclose(made(path=str(tmp_path / "vectors.npz"), scale=2.0).read().x, 2 * X)
    assert json.loads(json.dumps(made.source)).startswith("test_function_data.py, digest ")
    assert specs[0].label() == "vectors"
    assert specs[4].label() == "V"
    assert returning((X, Y)).label() == "given"


def test_it_is_an_option_and_travels_to_other_processes():
    try:
        assert dataset(embeddings) is embeddings
        spec = DATASETS["embeddings"](scale=3.0)
        assert pickle.loads(pickle.dumps(spec)) == spec
    finally:
        forget("data", "embeddings")
        DATASETS.pop("embeddings", None)


def positional(path, *, scale=1.0):
    return X, Y


def named(*, n_train: int = 3, label: str = "y"):
    return X, Y


def test_a_signature_that_cannot_be_read():
    with pytest.raises(ExtensionError) as error:
        function_data(positional)
    assert str(error.value).endswith("positional: the argument path has to stand behind a *")
    with pytest.raises(ExtensionError, match=r"n_train needs another name.*; the argument label needs another name"):
        function_data(named)


def test_it_trains_in_a_cohort():
    from phalanx import train_cohort

    specs = [TrialSpec(data=returning((X, Y)), seed=seed, trainer=TrainerSpec(epochs=2)) for seed in range(2)]
    results = train_cohort(specs, load_dataset(specs[0].data))
    assert [result.epochs for result in results] == [2, 2]
    with pytest.raises(RequestError, match=r"data\.normalize must be one of"):
        returning((X, Y), normalize="no")
