"""The IDX reader against good, broken and absent files. No network: torchvision's downloader is replaced."""

from __future__ import annotations

import gzip
import json
import re
import struct
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.processes import ended_process

from phalanx.core.errors import DataError, SpecError
from phalanx.core.process_identity import ProcessIdentity
from phalanx.data import DATASETS, load_dataset
from phalanx.data.idx import read_idx
from phalanx.data.mnist import FashionMnist, Kmnist, Mnist

REAL = Path(__file__).parents[2] / ".." / "shared" / "data"
SOURCES = [Mnist, FashionMnist, Kmnist]
NAMES = [f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]


def idx(values: np.ndarray) -> bytes:
    """The IDX file of an array of bytes."""
    header = bytes((0, 0, 8, values.ndim)) + struct.pack(f">{values.ndim}I", *values.shape)
    return header + values.astype(np.uint8).tobytes()


def tiny_files(n_train: int = 60, n_test: int = 20) -> dict[str, bytes]:
    """Four files of random images, six (and two) of each class."""
    random = np.random.default_rng(0)
    files = {}
    for part, n in (("train", n_train), ("t10k", n_test)):
        files[f"{part}-images-idx3-ubyte"] = idx(random.integers(0, 256, (n, 28, 28)))
        files[f"{part}-labels-idx1-ubyte"] = idx(np.arange(n) % 10)
    return files


def write(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


@pytest.fixture
def torchvision_gives(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], list[str]]:
    """Replace torchvision's data sets by a function of the folder to download to; returns the list of calls."""

    def replace(write_into: Callable[[Path], None]) -> list[str]:
        calls: list[str] = []
        module = types.ModuleType("torchvision.datasets")
        for source in SOURCES:

            def torchvision_name(root: str, download: bool = False, name: str = source.torchvision_name) -> None:
                assert download
                calls.append(name)
                write_into(Path(root) / name / "raw")

            setattr(module, source.torchvision_name, torchvision_name)
        package = types.ModuleType("torchvision")
        package.datasets = module  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "torchvision", package)
        monkeypatch.setitem(sys.modules, "torchvision.datasets", module)
        return calls

    return replace


def no_network(folder: Path) -> None:
    """Fail as a broken connection does: after a part of a file was written."""
    write(folder, {"train-images-idx3-ubyte.gz": b"\x1f\x8bhalf", "train-labels-idx1-ubyte": b"half"})
    raise RuntimeError("Error downloading train-images:\nTried http://example.org/,\n got: <urlopen error>")


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("packed", [False, True])
def test_reads_the_four_files_as_they_are_or_packed(source: type[Mnist], packed: bool, tmp_path: Path) -> None:
    files = tiny_files()
    stored = {f"{name}.gz": gzip.compress(content) for name, content in files.items()} if packed else files
    write(tmp_path / source.torchvision_name / "raw", stored)
    raw = source(root=str(tmp_path)).read()
    assert raw.x.dtype == np.uint8
    assert raw.x.shape == (60, 784)
    assert raw.test_x.shape == (20, 784)
    assert raw.x.tobytes() == files["train-images-idx3-ubyte"][16:]
    assert raw.test_x.tobytes() == files["t10k-images-idx3-ubyte"][16:]
    assert raw.y.tolist() == [i % 10 for i in range(60)]
    assert raw.y.dtype == np.int64
    assert raw.image_shape == (28, 28)
    assert len(raw.classes) == 10


def test_the_official_test_split_is_kept_and_pixels_are_standardised(tmp_path: Path) -> None:
    write(tmp_path / "MNIST" / "raw", tiny_files())
    data = load_dataset(Mnist(root=str(tmp_path), n_val=10))
    assert (len(data.train), len(data.val), len(data.test)) == (50, 10, 20)
    assert data.train.x_ND.mean().abs() < 1e-4
    assert (data.train.x_ND.std() - 1).abs() < 1e-3
    assert data.features.mean[0] == pytest.approx(0.5, abs=0.02)
    half = load_dataset(Mnist(root=str(tmp_path), n_val=10, scale=510.0, normalize="none"))
    assert 0.45 < half.train.x_ND.max() <= 0.5


def test_first_takes_images_from_the_beginning_and_no_more_than_there_are(tmp_path: Path) -> None:
    write(tmp_path / "MNIST" / "raw", tiny_files())
    every, first = (Mnist(root=str(tmp_path), first=n).read() for n in (None, 12))
    assert np.array_equal(first.x, every.x[:12])
    assert np.array_equal(first.y, every.y[:12])
    assert len(first.test_y) == len(every.test_y) == 20
    data = load_dataset(Mnist(root=str(tmp_path), first=30, n_val=10))
    assert (len(data.train), len(data.val)) == (20, 10)
    with pytest.raises(DataError, match=r"data\.first must be at most 60, the images there are, got 61"):
        Mnist(root=str(tmp_path), first=61).read()


def test_the_home_folder_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "sets" / "MNIST" / "raw", tiny_files())
    assert len(Mnist(root="~/sets").read().y) == 60


def test_the_class_names() -> None:
    assert Mnist.labels == tuple("0123456789")
    assert FashionMnist.labels[:2] == ("T-shirt/top", "Trouser")
    assert FashionMnist.labels[9] == "Ankle boot"
    assert Kmnist.labels == ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")


def test_scale_must_be_above_zero() -> None:
    with pytest.raises(SpecError, match=r"data\.scale must be a number above 0, got 0\.0"):
        Mnist(scale=0.0)


IMAGES, LABELS = "train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
GOOD = tiny_files()
BROKEN = {
    "truncated": (IMAGES, GOOD[IMAGES][:-1], ["47056 bytes", "(60, 28, 28)", "47055 bytes"]),
    "too long": (LABELS, GOOD[LABELS] + b"\0", ["28 bytes", "29 bytes"]),
    "empty": (IMAGES, b"", ["an empty file"]),
    "header cut": (LABELS, GOOD[LABELS][:6], ["header of 8 bytes", "6 bytes"]),
    "web page": (IMAGES, b"<!DOCTYPE html>", ["00000803", "3c21444f"]),
    "labels for images": (IMAGES, GOOD[LABELS], ["00000803", "00000801"]),
    "no images": (IMAGES, idx(np.zeros((0, 28, 28))), ["at least one", "(0, 28, 28)"]),
    "other size": (IMAGES, idx(np.zeros((60, 32, 32))), ["28 x 28", "32 x 32"]),
    "fewer labels": (LABELS, idx(np.arange(19) % 10), ["20 labels", "t10k-images-idx3-ubyte", "19"]),
    "label too high": (LABELS, idx(np.r_[np.zeros(18), 10, 200]), ["from 0 to 9", "10 at position 18"]),
    "not gzip": (f"{IMAGES}.gz", b"nonsense", ["gzip"]),
    "gzip truncated": (f"{IMAGES}.gz", gzip.compress(GOOD[IMAGES])[:-100], ["gzip"]),
    "gzip damaged": (f"{IMAGES}.gz", gzip.compress(GOOD[IMAGES])[:10] + b"\xff" * 1000, ["gzip"]),
    "gzip checksum": (f"{LABELS}.gz", gzip.compress(GOOD[LABELS])[:-6] + b"\0" * 6, ["gzip"]),
    "gzip empty": (f"{LABELS}.gz", b"", ["an empty file"]),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_named_with_what_was_expected_found_and_to_do(case: str, tmp_path: Path) -> None:
    name, content, parts = BROKEN[case]
    write(
        tmp_path / "MNIST" / "raw", {n: c for n, c in GOOD.items() if n != name.removesuffix(".gz")} | {name: content}
    )
    with pytest.raises(DataError) as caught:
        Mnist(root=str(tmp_path)).read()
    message = str(caught.value)
    for part in [str(tmp_path / "MNIST" / "raw" / name), "expected", "found", "delete it", "data.root", *parts]:
        assert part in message


def test_a_folder_in_place_of_a_file_is_named(tmp_path: Path) -> None:
    write(tmp_path / "MNIST" / "raw", {n: c for n, c in GOOD.items() if n != IMAGES})
    (tmp_path / "MNIST" / "raw" / IMAGES).mkdir()
    with pytest.raises(DataError, match=rf"{IMAGES} is not a regular file but a folder"):
        Mnist(root=str(tmp_path)).read()


def test_a_small_file_that_unpacks_to_a_large_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("phalanx.data.idx._MAX_FILE", 10_000)
    (tmp_path / "x.gz").write_bytes(gzip.compress(bytes(10_001)))
    with pytest.raises(DataError, match="at most 10,000 bytes"):
        read_idx(tmp_path / "x.gz", 3)


@pytest.mark.parametrize("source", SOURCES)
def test_without_network_it_says_what_to_put_where(
    source: type[Mnist], tmp_path: Path, torchvision_gives: Callable[[Any], list[str]]
) -> None:
    calls = torchvision_gives(no_network)
    with pytest.raises(DataError) as caught:
        source(root=str(tmp_path)).read()
    message = str(caught.value)
    folder = tmp_path / source.torchvision_name / "raw"
    assert calls == [source.torchvision_name]
    for part in [str(folder), *NAMES, "data.root=FOLDER", "data=digits", f"data={source.name}"]:
        assert part in message
    assert "(RuntimeError: Error downloading train-images: Tried http://example.org/, got: <urlopen error>)" in message
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]  # nothing half-written stays


def test_without_torchvision_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.setitem(sys.modules, "torchvision.datasets", None)
    with pytest.raises(DataError, match=re.compile(r"ModuleNotFoundError: .*torchvision.*data=digits", re.DOTALL)):
        Mnist(root=str(tmp_path)).read()


def test_a_root_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"NotADirectoryError|FileExistsError"):
        Mnist(root=str(tmp_path / "file")).read()


def test_an_interrupted_download_leaves_nothing(tmp_path: Path, torchvision_gives: Callable[[Any], list[str]]) -> None:
    def interrupted(folder: Path) -> None:
        write(folder, {IMAGES: b"half"})
        raise KeyboardInterrupt

    torchvision_gives(interrupted)
    with pytest.raises(KeyboardInterrupt):
        Mnist(root=str(tmp_path)).read()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_what_a_killed_download_left_is_deleted_by_the_next_one(
    tmp_path: Path, torchvision_gives: Callable[[Any], list[str]]
) -> None:
    label = ProcessIdentity(**json.loads(ended_process())).label
    left = tmp_path / "MNIST" / f".download.{label}-01234567" / "MNIST" / "raw"
    write(left, {IMAGES: b"half"})
    torchvision_gives(lambda folder: write(folder, GOOD))
    Mnist(root=str(tmp_path)).read()
    assert [path.name for path in (tmp_path / "MNIST").iterdir()] == ["raw"]


def test_a_download_fills_in_only_what_is_absent(tmp_path: Path, torchvision_gives: Callable[[Any], list[str]]) -> None:
    own = tiny_files(n_train=30)
    write(tmp_path / "MNIST" / "raw", {n: c for n, c in own.items() if n != "t10k-labels-idx1-ubyte"})
    calls = torchvision_gives(lambda folder: write(folder, GOOD))
    assert len(Mnist(root=str(tmp_path)).read().y) == 30
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == sorted(NAMES)
    assert [path.name for path in (tmp_path / "MNIST").iterdir()] == ["raw"]
    Mnist(root=str(tmp_path)).read()
    assert calls == ["MNIST"]


@pytest.mark.mnist
@pytest.mark.skipif(not (REAL / "MNIST" / "raw").is_dir(), reason="needs the real MNIST in ../shared/data")
@pytest.mark.parametrize("part", ["train", "t10k"])
def test_the_reader_agrees_with_torchvision_on_the_real_files(part: str) -> None:
    datasets = pytest.importorskip("torchvision.datasets")
    torchvision_name = datasets.MNIST(str(REAL), train=part == "train", download=False)
    folder = REAL / "MNIST" / "raw"
    assert np.array_equal(read_idx(folder / f"{part}-images-idx3-ubyte", 3), torchvision_name.data.numpy())
    assert np.array_equal(read_idx(folder / f"{part}-labels-idx1-ubyte", 1), torchvision_name.targets.numpy())


@pytest.mark.mnist
@pytest.mark.skipif(not (REAL / "MNIST" / "raw").is_dir(), reason="needs the real MNIST in ../shared/data")
def test_the_real_training_split_has_the_published_mean_and_deviation() -> None:
    data = load_dataset(DATASETS["mnist"](root=str(REAL)))
    assert (len(data.train), len(data.val), len(data.test)) == (55_000, 5_000, 10_000)
    assert data.features.mean[0] == pytest.approx(0.1307, abs=5e-4)
    assert data.features.std[0] == pytest.approx(0.3081, abs=5e-4)


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("nested", [False, True])
def test_the_names_of_kaggle_are_known(ending: str, nested: bool, tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    for name, content in tiny_files().items():
        own = name.replace("-idx", ".idx") + ending
        folder = raw / own if nested else raw
        write(folder, {own: gzip.compress(content) if ending else content})
    assert len(Mnist(root=str(tmp_path)).read().y) == 60


def test_a_failed_download_leaves_no_empty_folders(
    tmp_path: Path, torchvision_gives: Callable[[Any], list[str]]
) -> None:
    def fail(_: Path) -> None:
        raise OSError("no network")

    torchvision_gives(fail)
    with pytest.raises(DataError, match="no network"):
        Mnist(root=str(tmp_path / "a" / "b")).read()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)
    with pytest.raises(DataError, match="no network"):
        Mnist(root=str(tmp_path)).read()
    assert (tmp_path / "MNIST" / "raw").is_dir()
