"""Prediction: its numbers against an independent network, every kind of input, and every bad one."""

from __future__ import annotations

import csv
import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from support.phalanx_command import assert_refused, phalanx_command
from support.saved_models import CLASSES, MEAN, N_FEATURES, SHAPE, SPEC, STD, save_run, write_csv, write_png

from phalanx.analysis.predict import Predictions, predict_file
from phalanx.data import load_dataset
from phalanx.data.csv_table import Csv
from phalanx.runs.model_file import save_model
from phalanx.training.loop import train_trial
from phalanx.training.spec import TrialSpec

pytest_plugins = ("support.saved_models",)


def oracle(run: Path, x_ND: np.ndarray) -> np.ndarray:
    """softmax(logits) of a plain torch network with the saved tensors."""
    weights = load_file(run / "model.safetensors")
    layers: list[torch.nn.Module] = []
    for i in range(3):
        n_out, n_in = weights[f"layers.{i}.weight"].shape
        layers += [torch.nn.Linear(n_in, n_out), torch.nn.Tanh()]
    network = torch.nn.Sequential(*layers[:-1])
    network.load_state_dict({f"{2 * int(k[7])}{k[8:]}": tensor for k, tensor in weights.items()})
    with torch.no_grad():
        return torch.softmax(network(torch.from_numpy(x_ND)), -1).numpy()


def encoded(images: np.ndarray) -> np.ndarray:
    return ((images.reshape(len(images), -1) / 255 - MEAN) / STD).astype(np.float32)


# --- right answers


def test_fresh_process_predicts_what_plain_torch_predicts(run: Path, images: np.ndarray, tmp_path: Path) -> None:
    done = phalanx_command("predict", run, write_csv(tmp_path / "rows.csv", images))
    assert (done.returncode, done.stderr) == (0, "")
    header, *rows = csv.reader(io.StringIO(done.stdout))
    assert header == ["row", "predicted", "probability", "p_cat", "p_dog, big", "p_über"]
    assert [row[0] for row in rows] == [str(i) for i in range(1, len(images) + 1)]
    expected = oracle(run, encoded(images))
    assert len(set(expected.argmax(1))) > 1
    np.testing.assert_allclose(np.array([row[3:] for row in rows], dtype=float), expected, rtol=1e-5, atol=1e-7)
    assert [row[1] for row in rows] == [CLASSES[c] for c in expected.argmax(1)]
    np.testing.assert_allclose([float(row[2]) for row in rows], expected.max(1), rtol=1e-5)


def inputs(images: np.ndarray, folder: Path) -> dict[str, Path]:
    """The same images in every form that is read."""
    paths = {name: folder / name for name in ("a.npy", "flat.npy", "float.npy", "only.npz", "x.npz", "pngs")}
    np.save(paths["a.npy"], images)
    np.save(paths["flat.npy"], images.reshape(len(images), -1))
    np.save(paths["float.npy"], images.astype(np.float64))
    np.savez(paths["only.npz"], anything=images)
    np.savez(paths["x.npz"], other=np.zeros(3), x=images)
    for i, image in enumerate(images):
        write_png(paths["pngs"] / f"{i:02d}.png", image, ("L", "RGB", "RGBA")[i % 3])
    (paths["pngs"] / "notes.txt").write_text("not an image")
    tables = {
        "rows.csv": write_csv(folder / "rows.csv", images),
        "labelled.csv": write_csv(folder / "labelled.csv", images, "Label"),
        "semicolons.csv": write_csv(folder / "semicolons.csv", images, "target", ";"),
        "rows.TSV": write_csv(folder / "rows.TSV", images, None, "\t"),
    }
    return {**paths, **tables}


def test_every_form_of_input_gives_the_same_answer(run: Path, images: np.ndarray, tmp_path: Path) -> None:
    expected = oracle(run, encoded(images))
    for name, path in inputs(images, tmp_path).items():
        found = predict_file(run, path)
        np.testing.assert_allclose(found.p_NC, expected, rtol=1e-5, atol=1e-7, err_msg=name)
        first = ("file", "00.png") if name == "pngs" else ("row", "1")
        assert (found.named_by, found.names[0]) == first, name
    one = predict_file(run / "model.safetensors", tmp_path / "pngs" / "03.png")
    np.testing.assert_allclose(one.p_NC, expected[3:4], rtol=1e-5)
    assert one.names == ("03.png",)


def test_images_for_digits_are_scaled_to_its_grey_levels(tmp_path: Path) -> None:
    """scikit-learn's digits have the levels 0 to 16; white in an image file is 255."""
    run = save_run(tmp_path / "run", "digits", scale=16.0, normalize="none", mean=(0.0,), std=(1.0,))
    max_pixel = write_png(tmp_path / "white.png", np.full(SHAPE, 255, np.uint8))
    np.save(tmp_path / "white.npy", np.full((1, *SHAPE), 16.0))
    found, same = predict_file(run, max_pixel), predict_file(run, tmp_path / "white.npy")
    np.testing.assert_allclose(found.p_NC, same.p_NC, rtol=1e-6)
    np.testing.assert_allclose(found.p_NC, oracle(run, np.ones((1, N_FEATURES), np.float32)), rtol=1e-5)


@pytest.mark.parametrize("start", [0, 1])
def test_header_of_row_numbers_is_a_header(start: int, run: Path, images: np.ndarray, tmp_path: Path) -> None:
    """pandas writes `0,1,2,…` for a table made of an array."""
    names = range(start, N_FEATURES + start)
    text = "\n".join(",".join(map(str, row)) for row in [names, *images.reshape(len(images), -1).tolist()])
    (tmp_path / "pandas.csv").write_text(text)
    assert len(predict_file(run, tmp_path / "pandas.csv").names) == len(images)


@pytest.fixture(scope="module")
def table_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run trained on a table with a text column, and its table."""
    folder = tmp_path_factory.mktemp("table")
    draw = np.random.default_rng(0)
    rows = [f"{draw.normal():.4f},{draw.choice(['red', 'blue'])},{draw.choice(['yes', 'no'])}" for _ in range(60)]
    table = folder / "table.csv"
    table.write_text("\n".join(["size,colour,bought", *rows]))
    spec = TrialSpec(data=Csv(path=str(table), target="bought"), model=SPEC.model, trainer=SPEC.trainer)
    dataset = load_dataset(spec.data)
    result = train_trial(spec, dataset)
    save_model(folder / "run" / "model.safetensors", spec, dataset, result)
    (folder / "run" / "result.json").write_text("{}")
    return folder / "run", table


def test_columns_of_a_table_are_found_by_name(table_run: tuple[Path, Path], tmp_path: Path) -> None:
    run, table = table_run
    rows = list(csv.DictReader(table.open()))
    shuffled = tmp_path / "shuffled.csv"
    with shuffled.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "colour", "size"])
        writer.writerows([i, row["colour"], row["size"]] for i, row in enumerate(rows))
    whole, found = predict_file(run, table), predict_file(run, shuffled)
    np.testing.assert_array_equal(found.p_NC, whole.p_NC)
    assert whole.classes == ("no", "yes")
    assert len({tuple(p) for p in whole.p_NC.tolist()}) == 60
    colours = np.array([[row["colour"] == name for name in ("blue", "red")] for row in rows], dtype=np.float32)
    about = json.loads(_metadata(run / "model.safetensors")["phalanx"])["features"]["columns"]
    (size,) = (column for column in about if column["name"] == "size")
    sizes = (np.array([float(row["size"]) for row in rows]) - size["mean"]) / size["std"]
    x_ND = np.concatenate([sizes[:, None], colours], axis=1).astype(np.float32)
    np.testing.assert_allclose(whole.p_NC, oracle(run, x_ND), rtol=1e-4, atol=1e-6)


def _metadata(path: Path) -> dict[str, str]:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as stored:
        return stored.metadata()


# --- what is written

HAND = Predictions(("a", "b", "c"), np.array([[0.2, 0.5, 0.3], [0.25, 0.25, 0.5]], np.float32), ("1", "2"))


def test_csv_by_hand() -> None:
    assert HAND.to_csv() == "row,predicted,probability,p_a,p_b,p_c\n1,b,0.5,0.2,0.5,0.3\n2,c,0.5,0.25,0.25,0.5\n"


def test_top_classes_by_hand() -> None:
    assert HAND.to_csv(2) == "row,predicted,probability,class_2,p_2\n1,b,0.5,c,0.3\n2,c,0.5,a,0.25\n"
    assert HAND.to_csv(1) == "row,predicted,probability\n1,b,0.5\n2,c,0.5\n"
    assert HAND.to_csv(99) == HAND.to_csv(3)


def test_json_by_hand() -> None:
    first, second = json.loads(HAND.to_json(2))
    assert first == {"row": 1, "predicted": "b", "probability": 0.5, "p": {"b": 0.5, "c": 0.3}}
    assert list(second["p"].items()) == [("c", 0.5), ("a", 0.25)]
    assert [len(row["p"]) for row in json.loads(HAND.to_json())] == [3, 3]


def test_text_is_aligned_and_harmless() -> None:
    evil = Predictions(("\x1b[31mred", "b"), np.array([[0.75, 0.25]], np.float32), ("1",))
    header, line = evil.to_text().splitlines()
    assert "\x1b" not in header + line
    assert line.split() == ["1", "?[31mred", "0.7500", "0.7500", "0.2500"]
    assert header.index("probability") == line.index("0.7500")


# --- wrong requests: exit status 2, one message, no traceback


def _bad_npy(content: bytes) -> Callable[[Path], Path]:
    return lambda folder: _write(folder / "bad.npy", content)


def _array(values: Any, name: str = "bad.npy") -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        np.save(folder / name, values)
        return folder / name

    return make


def _write(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def _table(line: str, header: str | None = None) -> Callable[[Path], Path]:
    names = ",".join(f"p{i}" for i in range(N_FEATURES)) if header is None else header
    return lambda folder: _write(folder / "bad.csv", f"{names}\n{line}\n")


def _numbers(first: str = "1", n: int = N_FEATURES) -> str:
    return ",".join([first, *["1"] * (n - 1)])


def _huge_npy() -> bytes:
    """A header that announces more numbers than any memory holds."""
    text = "{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999, 20), }".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def _two_arrays(folder: Path) -> Path:
    np.savez(folder / "two.npz", a=np.zeros(2), b=np.zeros(2))
    return folder / "two.npz"


def _object_npz(folder: Path) -> Path:
    np.savez(folder / "bad.npz", x=np.array([{}], dtype=object))
    return folder / "bad.npz"


def _bad_npz_of_much(folder: Path) -> Path:
    """A small file whose table of contents claims 20 GB."""
    with zipfile.ZipFile(folder / "bad.npz", "w") as file:
        for name in "abcde":
            file.writestr(f"{name}.npy", b"")
        for member in file.infolist():
            member.file_size = 2**32 - 100
    return folder / "bad.npz"


def _png(mode: str, size: tuple[int, int] = SHAPE[::-1], colour: Any = 0) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        Image.new(mode, size, colour).save(folder / "bad.png")
        return folder / "bad.png"

    return make


def _half_png(folder: Path) -> Path:
    path = write_png(folder / "bad.png", np.random.default_rng(0).integers(0, 256, SHAPE, dtype=np.uint8))
    return _write(path, path.read_bytes()[:50])


def _mixed_folder(folder: Path) -> Path:
    for i in range(8):
        write_png(folder / "pngs" / f"{i}.png", np.zeros((3, 3) if i else SHAPE, np.uint8))
    return folder / "pngs"


BAD_INPUTS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing file": (lambda folder: folder / "absent.csv", "no such file"),
    "unknown extension": (lambda folder: _write(folder / "rows.xlsx", "x"), "unknown extension; give a file with one"),
    "empty folder": (lambda folder: folder, "has no images"),
    "empty csv": (lambda folder: _write(folder / "bad.csv", ""), "is empty"),
    "header only": (lambda folder: _write(folder / "bad.csv", "a,b\n"), "no samples"),
    "too few columns": (_table("1,1,1", "a,b,c"), "takes 20 numbers (4 × 5 pixels) a row, this file has 3 columns"),
    "index column": (_table(_numbers(n=21), "," + ",".join(f"p{i}" for i in range(20))), "may be a row index"),
    "no header": (_table(_numbers("2"), _numbers("7.5")), "has no header: its first line begins with the numbers 7.5"),
    "text in numbers": (_table(_numbers("1") + "\n" + _numbers("seven")), "'p0' must hold numbers, got text ('seven')"),
    "text has a line": (_table(_numbers("1") + "\n" + _numbers("seven")), "line 3"),
    "missing value": (_table(_numbers("")), "column 'p0' has 1 missing values"),
    "infinite csv": (_table(_numbers("inf")), "infinite"),
    "not text": (lambda folder: _write(folder / "bad.csv", b"a,b\n\xff\xfe\x00,1\n"), "is not"),
    "pickle": (_bad_npy(pickle.dumps([1, 2])), "holds pickled Python objects"),
    "objects in npy": (_array(np.array([{}], dtype=object)), "holds pickled Python objects"),
    "objects in npz": (_object_npz, "holds pickled Python objects"),
    "empty npy": (_bad_npy(b""), "is damaged"),
    "half an npy": (_bad_npy(_huge_npy()[:40]), "is damaged"),
    "huge npy": (_bad_npy(_huge_npy()), "is damaged"),
    "npz of much": (_bad_npz_of_much, "bytes when it is unpacked, and at most 17,179,869,184 are read"),
    "broken npz": (lambda folder: _write(folder / "bad.npz", b"PK\x03\x04 no"), "is damaged"),
    "two arrays": (_two_arrays, "its arrays are: a, b"),
    "text array": (_array(np.array([["a"] * N_FEATURES])), "must hold real numbers"),
    "wrong shape": (_array(np.zeros((3, 7))), "must have the shape (N, 20) or (N, 4, 5), got (3, 7)"),
    "images on their side": (_array(np.zeros((3, 5, 4))), "got (3, 5, 4)"),
    "one sample": (_array(np.zeros(N_FEATURES)), "got (20,)"),
    "no rows": (_array(np.zeros((0, N_FEATURES))), "has no rows"),
    "nan": (_array(np.where(np.eye(20, 20) * np.arange(20) == 3, np.nan, 0.0)), "nan in row 4, column 4"),
    "too large": (_array(np.full((1, N_FEATURES), 1e300)), "finite numbers"),
    "wrong image size": (_png("L", (9, 8)), "must be 5 × 4 pixels (width × height), got 9 × 8"),
    "16-bit image": (_png("I;16"), "8-bit"),
    "transparent image": (_png("RGBA", colour=(0, 0, 0, 0)), "transparent"),
    "half an image": (_half_png, "cannot be read as an image"),
    "no image": (lambda folder: _write(folder / "bad.png", "text"), "cannot be read as an image"),
    "folder of wrong images": (_mixed_folder, "7 of 8 images"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_INPUTS)
def test_bad_input_is_refused(case: str, run: Path, tmp_path: Path, capsys: Any) -> None:
    make, message = BAD_INPUTS[case]
    assert_refused(capsys, [run, make(tmp_path)], message)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.npy", None, "trained on a table; give a .csv, .tsv or .parquet with the columns size, colour"),
        ("x.png", None, "which are not images"),
        ("x.csv", "size\n1\n", "lacks the columns 'colour'"),
        ("x.csv", "size,colour\nbig,red\n", "column 'size' must hold numbers, got text ('big'), in line 2"),
        ("x.csv", "size,colour\n,red\n", "column 'size' has 1 missing values, the first in line 2"),
    ],
)
def test_bad_input_for_a_table_model_is_refused(
    name: str, content: str | None, message: str, table_run: tuple[Path, Path], tmp_path: Path, capsys: Any
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    elif path.suffix == ".npy":
        np.save(path, np.zeros((2, 3)))
    else:
        write_png(path, np.zeros(SHAPE, np.uint8))
    assert_refused(capsys, [table_run[0], path], message)


def _changed(run: Path, folder: Path, weights: Callable[[dict], dict], **about: Any) -> Path:
    """A copy of the model with other tensors or other metadata, and without a check sum, as earlier versions wrote it."""
    path = run / "model.safetensors"
    content = {**json.loads(_metadata(path)["phalanx"]), **about}
    kept = {key: value for key, value in content.items() if value != "absent" and key != "check"}
    save_file(weights(load_file(path)), folder / "model.safetensors", metadata={"phalanx": json.dumps(kept)})
    return folder / "model.safetensors"


def _without(tensors: dict) -> dict:
    return {name: tensor for name, tensor in tensors.items() if name != "layers.1.bias"}


def _overflowing(tensors: dict) -> dict:
    return {name: torch.full_like(tensor, 3e38) for name, tensor in tensors.items()}


def _same(tensors: dict) -> dict:
    return tensors


def _flipped(run: Path, folder: Path) -> Path:
    content = bytearray((run / "model.safetensors").read_bytes())
    content[-3] ^= 1
    return _write(folder / "m.safetensors", bytes(content))


def _linked(run: Path, folder: Path) -> Path:
    """The folder of a run whose model is a link to the one of another run."""
    (folder / "model.safetensors").symlink_to(run / "model.safetensors")
    return _write(folder / "result.json", "{}").parent


def _piped(run: Path, folder: Path) -> Path:
    os.mkfifo(folder / "m.safetensors")
    return folder / "m.safetensors"


def test_a_link_that_was_typed_is_followed(run: Path, images: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", images)
    (tmp_path / "m.safetensors").symlink_to(run / "model.safetensors")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "link.npy").symlink_to(tmp_path / "x.npy")
    linked = predict_file(tmp_path / "m.safetensors", tmp_path / "deep" / "link.npy")
    assert np.array_equal(linked.p_NC, predict_file(run, tmp_path / "x.npy").p_NC)


BAD_RUNS: dict[str, tuple[Callable[[Path, Path], Path], str]] = {
    "missing folder": (lambda run, tmp: tmp / "absent", "is not a folder"),
    "missing model": (lambda run, tmp: tmp / "absent.safetensors", "does not exist"),
    "folder of no run": (lambda run, tmp: tmp, "is not the folder of a finished run"),
    "run without weights": (lambda run, tmp: _write(tmp / "result.json", "{}").parent, "kept no weights"),
    "a digit changed": (_flipped, "its check sum is not the one that was written"),
    "a link out of its folder": (_linked, "is a link out of the folder"),
    "a pipe": (_piped, "is not a regular file"),
    "no safetensors": (lambda run, tmp: _write(tmp / "m.safetensors", "text"), "is damaged"),
    "pickled model": (lambda run, tmp: _write(tmp / "m.safetensors", pickle.dumps({"x": 1})), "is damaged"),
    "half a model": (
        lambda run, tmp: _write(tmp / "m.safetensors", (run / "model.safetensors").read_bytes()[:-9]), "is damaged",
    ),
    "someone else's model": (lambda run, tmp: _foreign(tmp / "m.safetensors"), "is not a model written by Phalanx"),
    "a later format": (lambda run, tmp: _changed(run, tmp, _same, format=5), "has format 5"),
    "unknown network": (lambda run, tmp: _changed(run, tmp, _same, model={"name": "rnn"}), "cannot build"),
    "no encoder": (lambda run, tmp: _changed(run, tmp, _same, features="absent"), "cannot build"),
    "another width": (lambda run, tmp: _changed(run, tmp, _same, n_features=19), "the shape (7, 19), got (7, 20)"),
    "a missing tensor": (lambda run, tmp: _changed(run, tmp, _without), "must have the shape (6,), got None"),
    "overflowing weights": (lambda run, tmp: _changed(run, tmp, _overflowing), "overflows on 11 rows, first row 1"),
}  # fmt: skip


def _foreign(path: Path) -> Path:
    save_file({"w": torch.ones(2)}, path)
    return path


@pytest.mark.parametrize("case", BAD_RUNS)
def test_bad_run_is_refused(case: str, run: Path, images: np.ndarray, tmp_path: Path, capsys: Any) -> None:
    make, message = BAD_RUNS[case]
    np.save(tmp_path / "x.npy", images)
    assert_refused(capsys, [make(run, tmp_path), tmp_path / "x.npy"], message)


def test_nothing_is_unpickled(run: Path, tmp_path: Path, capsys: Any) -> None:
    """A pickle runs code when it is loaded; this one would leave a file."""

    class Trap:
        def __reduce__(self) -> Any:
            return open, (str(tmp_path / "sprung"), "w")

    _write(tmp_path / "trap.npy", pickle.dumps(Trap()))
    np.save(tmp_path / "objects.npy", np.array([Trap()], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "objects.npz", x=np.array([Trap()], dtype=object))
    for name in ("trap.npy", "objects.npy", "objects.npz"):
        assert_refused(capsys, [run, tmp_path / name], "holds pickled Python objects")
    assert not (tmp_path / "sprung").exists()
