"""Predictions of a saved run for the rows of a file.

No code from a file is run: numpy's pickles are refused and the model is safetensors.
Axes: N rows, D features, C classes, h × w pixels.
"""

import contextlib
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from phalanx.core.csv_text import csv_text
from phalanx.core.errors import DataError, UnreadableFile
from phalanx.core.reading import MAX_DATA, opened
from phalanx.data import table_encoder
from phalanx.data.read_table import read_table
from phalanx.data.table_encoder import TableFeatures
from phalanx.runs.model_file import SavedModel, load_model

TABLES, ARRAYS, IMAGES = (".csv", ".tsv"), (".npy", ".npz"), (".png", ".jpg", ".jpeg")
TARGETS = ("label", "target", "class")  # columns that are left out of a table for a model trained on plain arrays

_LARGEST = float(np.finfo(np.float32).max)
_MAX_FAULTS = 5  # faults listed in one message


@dataclass(frozen=True)
class Rows:
    """Rows of a file: `values` is an array (N, D) or a table, `names` has a name for each row."""

    values: Any
    names: tuple[str, ...]
    named_by: str = "row"  # "row": numbers from 1; "file": file names


@dataclass(frozen=True)
class Predictions:
    """Class probabilities `p_NC` of named rows."""

    classes: tuple[str, ...]
    p_NC: np.ndarray
    names: tuple[str, ...]
    named_by: str = "row"

    def ranked(self, top: int | None) -> np.ndarray:
        """Class numbers, most probable first and the earlier class first among equals: (N, min(top, C))."""
        return np.argsort(-self.p_NC, axis=1, kind="stable")[:, :top]

    def header(self, top: int | None = None) -> list[str]:
        """Column names that go with `cells`."""
        names = [self.named_by, "predicted", "probability"]
        if top is None:
            return names + [f"p_{name}" for name in self.classes]
        ranks = range(2, min(top, len(self.classes)) + 1)
        return names + [title for rank in ranks for title in (f"class_{rank}", f"p_{rank}")]

    def cells(self, top: int | None = None, form: str = ".7g") -> Iterator[list[str]]:
        """One list of texts a row: p of every class, or the `top` most probable classes with theirs."""
        for name, p_C, order in zip(self.names, self.p_NC, self.ranked(top), strict=True):
            if top is None:
                yield [name, self.classes[order[0]], format(p_C[order[0]], form), *(format(p, form) for p in p_C)]
            else:
                yield [name, *(text for c in order for text in (self.classes[c], format(p_C[c], form)))]

    def to_csv(self, top: int | None = None) -> str:
        """A header line and a line a row, with seven digits a probability."""
        return csv_text([self.header(top), *self.cells(top)])

    def to_json(self, top: int | None = None) -> str:
        """A list with an object a row; `p` maps classes to probabilities, the most probable first."""
        content = []
        for place, (name, order) in enumerate(zip(self.names, self.ranked(top), strict=True)):
            p = {self.classes[c]: float(format(self.p_NC[place, c], ".7g")) for c in order}
            first = self.classes[order[0]]
            key = int(name) if self.named_by == "row" else name
            content.append({self.named_by: key, "predicted": first, "probability": p[first], "p": p})
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"

    def to_text(self, top: int | None = None) -> str:
        """Aligned columns with four decimals."""
        rows = [[printable(cell) for cell in row] for row in (self.header(top), *self.cells(top, ".4f"))]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        return "\n".join(lines) + "\n"


def printable(text: str) -> str:
    """`text` without control characters, which a terminal would obey."""
    return "".join(c if c.isprintable() else "?" for c in text)


def predict_file(run: Path | str, source: Path | str) -> Predictions:
    """Predicts the rows in `source` with the run in a folder or `.safetensors` file.

    Raises `RunFolderError` where there is no sound model, `DataError` where the rows do not fit it.
    """
    model = load_model(run)
    rows = read_rows(Path(source), model)
    p_NC = model.predict(rows.values)
    broken = np.flatnonzero(~np.isfinite(p_NC).all(1))
    if len(broken):
        first = rows.names[broken[0]]
        raise DataError(f"{source}: the network overflows on {len(broken)} rows, first {rows.named_by} {first}")
    return Predictions(model.classes, p_NC, rows.names, rows.named_by)


def read_rows(path: Path, model: SavedModel) -> Rows:
    """The rows in a table, an array file, an image or a folder of images. Raises `DataError` if they do not fit."""
    suffix = path.suffix.lower()
    if path.is_dir():
        return _read_folder(path, model)
    if not path.is_file():
        raise DataError(f"{path}: there is no such file or folder")
    if suffix in TABLES:
        return _read_table(path, model)
    if suffix in ARRAYS:
        return _read_array(path, model)
    if suffix in IMAGES:
        return Rows(_read_image(path, model)[None], (path.name,), "file")
    known = ", ".join((*TABLES, *ARRAYS, *IMAGES))
    raise DataError(f"{path} has an unknown extension; give a file with one of {known}, or a folder of images")


def _numbered(values: Any) -> Rows:
    return Rows(values, tuple(str(i) for i in range(1, len(values) + 1)))


def _read_table(path: Path, model: SavedModel) -> Rows:
    """For table data the frame itself, since the encoder finds its columns; else its numeric columns in order."""
    delimiter = "\t" if path.suffix.lower() == ".tsv" else None
    if isinstance(model.features, TableFeatures):
        return _numbered(read_table(str(path), "INPUT", delimiter, model.features.text_columns).frame)
    _check_header(path)
    file = read_table(str(path), "INPUT", delimiter)
    names = [name for name in file.frame.columns if name.strip().lower() not in TARGETS]
    if len(names) != model.n_features:
        nameless = any(name.startswith("Unnamed: ") for name in names)
        hint = "; a column without a name may be a row index: leave it out" if nameless else ""
        file.refuse([f"{_needs(model)} a row, this file has {len(names)} columns beside {', '.join(TARGETS)}{hint}"])
    bad = table_encoder.bad_numbers(file.frame, names)
    faults = [f"{fault}, line {file.line(row)}" for fault, row in bad[:_MAX_FAULTS]]
    gaps = table_encoder.missing_counts(file.frame, names)
    faults += [f"column {name!r} has {n} missing values" for name, n in list(gaps.items())[:_MAX_FAULTS]]
    hidden = len(bad) + len(gaps) - len(faults)
    file.refuse(faults + ([f"{hidden} more columns like these"] if hidden else []))
    return _numbered(np.column_stack([table_encoder.numbers(file.frame[name])[0] for name in names]))


def _check_header(path: Path) -> None:
    """Refuses a file whose first line holds numbers: taken for names, a sample would be lost without a word."""
    with _opened(path) as content, io.TextIOWrapper(content, "utf-8-sig", errors="replace") as file:
        cells = [cell.strip() for cell in re.split(r"[,;\t|]", file.readline().strip())]
    try:
        values = [float(cell.strip('"')) for cell in cells]
    except ValueError:
        return
    if values not in ([*range(len(values))], [*range(1, len(values) + 1)]):
        start = ", ".join(cells[:3])
        raise DataError(f"{path} has no header: its first line begins with the numbers {start}; add a line of names")


def _needs(model: SavedModel) -> str:
    shape = " ({} × {} pixels)".format(*model.image_shape) if model.image_shape else ""
    return f"the model, trained on data={model.data}, takes {model.n_features} numbers{shape}"


def _read_array(path: Path, model: SavedModel) -> Rows:
    if isinstance(model.features, TableFeatures):
        columns = ", ".join(column.name for column in model.features.columns)
        raise DataError(f"{path}: the model was trained on a table; give a .csv or .tsv with the columns {columns}")
    values = _load_numpy(path)
    if values.dtype.kind not in "buif":
        raise DataError(f"{path} must hold real numbers, got the type {values.dtype}")
    shapes = [("N", model.n_features)] + ([("N", *model.image_shape)] if model.image_shape else [])
    if not len(shapes[0]) <= values.ndim <= len(shapes[-1]) or values.shape[1:] not in [s[1:] for s in shapes]:
        allowed = " or ".join(f"({', '.join(map(str, shape))})" for shape in shapes)
        raise DataError(f"{path} must have the shape {allowed}, got {values.shape}")
    if not len(values):
        raise DataError(f"{path} is empty: it has no rows")
    flat_ND = values.reshape(len(values), -1)
    # abs(NaN) > x is false, so the comparison is turned round.
    bad = np.argwhere(~(np.abs(flat_ND.astype(np.float64)) <= _LARGEST))
    if len(bad):
        row, column = bad[0]
        what = f"{flat_ND[row, column]} in row {row + 1}, column {column + 1}"
        raise DataError(f"{path} must hold finite numbers, got {len(bad)} that are not, first {what}")
    return _numbered(flat_ND)


def _load_numpy(path: Path) -> np.ndarray:
    """The array of a `.npy`, or of a `.npz` the one named x or the only one."""
    import zipfile

    try:
        with _opened(path) as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return loaded
            if (size := sum(member.file_size for member in loaded.zip.infolist())) > MAX_DATA:
                raise DataError(f"{path} has {size:,} bytes when it is unpacked, and at most {MAX_DATA:,} are read")
            name = "x" if "x" in loaded.files else loaded.files[0] if len(loaded.files) == 1 else None
            if name is not None:
                array: np.ndarray = loaded[name]
                return array
            found = ", ".join(loaded.files) or "none"
    except (ValueError, EOFError, KeyError, MemoryError, zipfile.BadZipFile) as error:
        if "pickle" in str(error):  # numpy's own words advise to load it all the same
            advice = "save plain numbers with numpy.save"
            raise DataError(f"{path} holds pickled Python objects, which could run code; {advice}") from error
        raise DataError(f"{path} is not an array file of numpy, or is damaged: {error}") from error
    raise DataError(f"{path} must hold one array, or one named x; its arrays are: {found}")


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """The file, opened; the user named it, so links are followed. Raises `DataError` for a pipe or a device."""
    try:
        with opened(path.resolve(), limit=MAX_DATA) as file:
            yield file
    except UnreadableFile as error:
        raise DataError(str(error)) from error


def _read_image(path: Path, model: SavedModel) -> np.ndarray:
    """The pixels (D,) of one grey-scale image, in the grey levels of the training data."""
    from PIL import Image

    if model.image_shape is None:
        raise DataError(f"{path} is an image, but the model was trained on data={model.data}, which are not images")
    height, width = model.image_shape
    try:
        with _opened(path) as file, Image.open(file) as image:
            if image.size != (width, height):
                found = "{} × {}".format(*image.size)
                raise DataError(f"{path} must be {width} × {height} pixels (width × height), got {found}; resize it")
            return _grey(path, image).reshape(-1) * np.float32(model.max_pixel / 255.0)
    except (OSError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} cannot be read as an image: {error}") from error


def _grey(path: Path, image: Any) -> np.ndarray:
    """Grey levels 0 to 255, float32 (h, w). Colours become their luminance; what has no one meaning is refused."""
    if image.mode not in ("1", "L", "LA", "P", "RGB", "RGBA"):
        raise DataError(f"{path} must be an 8-bit grey-scale or colour image, got mode {image.mode}; convert it")
    if image.has_transparency_data and image.convert("RGBA").getchannel("A").getextrema()[0] < 255:
        raise DataError(f"{path} is partly transparent, so its grey levels are not known; flatten it")
    return np.asarray(image.convert("L"), dtype=np.float32)


def _read_folder(folder: Path, model: SavedModel) -> Rows:
    """Every image of a folder, sorted by name. All that do not fit are named at once."""
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGES and not p.name.startswith("."))
    if not paths:
        raise DataError(f"{folder} has no images: it must hold files with one of {', '.join(IMAGES)}")
    images, faults = [], []
    for path in paths:
        try:
            images.append(_read_image(path, model))
        except DataError as error:
            faults.append(error)
    if faults:
        shown = "\n  - ".join(map(str, faults[:_MAX_FAULTS]))
        rest = f"\n  - and {len(faults) - _MAX_FAULTS} more" if len(faults) > _MAX_FAULTS else ""
        raise DataError(f"{len(faults)} of {len(paths)} images in {folder} do not fit:\n  - {shown}{rest}")
    return Rows(np.stack(images), tuple(path.name for path in paths), "file")
