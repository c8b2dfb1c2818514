"""Predictions of a saved run for the rows of a file.

No code from a file is run: numpy's pickles are refused and the model is safetensors.
Axes: N rows, D features, C classes, h × w pixels.
"""

import io
import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from phalanx.core.csv_text import csv_text
from phalanx.core.errors import DataError
from phalanx.data.array_file import open_arrays, opened_data
from phalanx.data.cell_values import Kind, decode
from phalanx.data.images import SUFFIXES, ImageForm
from phalanx.data.npz import NAMES
from phalanx.data.table_columns import bad_number
from phalanx.data.table_encoder import TableFeatures
from phalanx.data.table_reader import TableReader
from phalanx.data.table_text import is_parquet
from phalanx.runs.ensemble_file import SavedEnsemble
from phalanx.runs.input_rows import TARGETS, array_rows, table_rows
from phalanx.runs.model_file import OverflowingRows, SavedModel, load_model
from phalanx.runs.used_run import used_run

log = logging.getLogger(__name__)

TABLES, ARRAYS, IMAGES = (".csv", ".tsv", ".parquet"), (".npy", ".npz"), SUFFIXES

Predictor = SavedModel | SavedEnsemble

_MAX_FAULTS = 5  # faults listed in one message


@dataclass(frozen=True)
class Rows:
    """Rows of a file: `values` is an array (N, D) or a `DecodedTable`, `names` has a name for each row."""

    values: Any
    names: tuple[str, ...]
    named_by: str = "row"  # "row": numbers from 1; "file": file names
    notes: tuple[str, ...] = ()  # what was left out


@dataclass(frozen=True)
class Predictions:
    """Class probabilities `p_NC` of named rows."""

    classes: tuple[str, ...]
    p_NC: np.ndarray
    names: tuple[str, ...]
    named_by: str = "row"
    notes: tuple[str, ...] = ()  # for the user: which trial predicted, what was left out or was never seen in training

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
    """Predicts the rows in `source` with the run in a folder or `.safetensors` file, or a sweep's best trial.

    Raises `RunFolderError` where there is no sound model, `DataError` where the rows do not fit it.
    """
    folder, notes = used_run(run)
    found = predict_rows(load_model(folder), Path(source))
    return replace(found, notes=(*notes, *found.notes))


def predict_rows(model: Predictor, source: Path) -> Predictions:
    """Predicts the rows in `source` with one model. Raises `DataError` where they do not fit it."""
    rows = read_rows(source, model)
    try:
        p_NC, unseen = model.predict_with_notes(rows.values)
    except OverflowingRows as error:
        first = f"{rows.named_by} {rows.names[error.rows[0]]}"
        raise DataError(f"{source}: the network overflows on {len(error.rows)} rows, first {first}") from error
    return Predictions(model.classes, p_NC, rows.names, rows.named_by, (*rows.notes, *unseen))


def read_rows(path: Path, model: Predictor) -> Rows:
    """The rows in a table, an array file, an image or a folder of images. Raises `DataError` if they do not fit."""
    suffix = path.suffix.lower()
    if path.is_dir():
        return _read_folder(path, model)
    if not path.is_file():
        raise DataError(f"{path}: there is no such file or folder")
    if suffix in ARRAYS:
        return _read_array(path, model)
    if suffix in IMAGES:
        return Rows(_read_image(path, model)[None], (path.name,), "file")
    if suffix in TABLES or isinstance(model.features, TableFeatures):  # any name that training may have read
        return _read_table(path, model)
    known = ", ".join((*TABLES, *ARRAYS, *IMAGES))
    raise DataError(f"{path} has an unknown extension; give a file with one of {known}, or a folder of images")


def _numbered(values: Any) -> Rows:
    return Rows(values, tuple(str(i) for i in range(1, len(values) + 1)))


def _read_table(path: Path, model: Predictor) -> Rows:
    """For table data the cells themselves, since the encoder finds its columns; else its numeric columns in order."""
    if isinstance(model.features, TableFeatures):
        may_lack = model.features.missing == "impute"
        cells = model.features.reader.read(str(path), "INPUT", model.features.names, may_lack=may_lack)
        table = table_rows(cells.frame, model.features)
        cells.refuse(table.faults(cells.place))
        if absent := model.features.absent(cells.frame):
            log.warning("%s lacks the columns %s: their values count as missing", path, ", ".join(absent))
        return replace(_numbered(cells.frame), values=table)
    if not is_parquet(str(path)):
        _check_header(path)
    cells = TableReader().read(str(path), "INPUT")
    names = [name for name in cells.frame.columns if name.strip().lower() not in TARGETS]
    if len(names) != model.n_features:
        nameless = any(name.startswith("Unnamed: ") for name in names)
        hint = "; a column without a name may be a row index: leave it out" if nameless else ""
        cells.refuse([f"{_needs(model)} a row, this file has {len(names)} columns beside {', '.join(TARGETS)}{hint}"])
    columns = {name: decode(cells.frame[name], Kind.NUMBER, TableReader().notation) for name in names}
    faults = [fault for name, found in columns.items() for fault in bad_number(name, cells.frame, found, cells.place)]
    faults += [
        f"column {name!r} has {n} missing values" for name, found in columns.items() if (n := found.missing_N.sum())
    ]
    hidden = [f"{len(faults) - _MAX_FAULTS} more columns like these"] * (len(faults) > _MAX_FAULTS)
    cells.refuse(faults[:_MAX_FAULTS] + hidden)
    return _numbered(np.column_stack([found.by_row(found.value_U) for found in columns.values()]))


def _check_header(path: Path) -> None:
    """Refuses a file whose first line holds numbers: taken for names, a sample would be lost without a word."""
    with opened_data(path) as content, io.TextIOWrapper(content, "utf-8-sig", errors="replace") as file:
        cells = [cell.strip() for cell in re.split(r"[,;\t|]", file.readline().strip())]
    try:
        values = [float(cell.strip('"')) for cell in cells]
    except ValueError:
        return
    if values not in ([*range(len(values))], [*range(1, len(values) + 1)]):
        start = ", ".join(cells[:3])
        raise DataError(f"{path} has no header: its first line begins with the numbers {start}; add a line of names")


def _needs(model: Predictor) -> str:
    shape = " ({} × {} pixels)".format(*model.image_shape) if model.image_shape else ""
    return f"the model, trained on data={model.data}, takes {model.n_features} numbers{shape}"


def _read_array(path: Path, model: Predictor) -> Rows:
    if isinstance(model.features, TableFeatures):
        columns = ", ".join(column.name for column in model.features.columns)
        raise DataError(
            f"{path}: the model was trained on a table; give a .csv, .tsv or .parquet with the columns {columns}"
        )
    values = _load_numpy(path)
    if values.dtype.kind not in "buif":
        raise DataError(f"{path} must hold real numbers, got the type {values.dtype}")
    return _numbered(array_rows(values, model.n_features, model.image_shape, str(path)))


def _load_numpy(path: Path) -> np.ndarray:
    """The array of a `.npy`, or of a `.npz` the only one or that of the samples, as `data=npz` finds it."""
    with open_arrays(path) as loaded:
        if isinstance(loaded, np.ndarray):
            return loaded
        names = list(loaded) if len(loaded) == 1 else [name for name in NAMES["x"] if name in loaded]
        if names and (len(names) == 1 or names[0] == "x"):
            return loaded[names[0]]
        found = ", ".join(loaded) or "none"
    raise DataError(f"{path} must hold one array, or one named x; its arrays are: {found}")


def _read_image(path: Path, model: Predictor) -> np.ndarray:
    """The pixels (D,) of one image, in the grey levels of the training data."""
    form = model.image_form or (ImageForm(*model.image_shape) if model.image_shape else None)
    if form is None:
        raise DataError(f"{path} is an image, but the model was trained on data={model.data}, which are not images")
    return form.read(path).reshape(-1).astype(np.float32) * np.float32(model.max_pixel / 255.0)


def _read_folder(folder: Path, model: Predictor) -> Rows:
    """Every image of a folder, sorted by name. All that do not fit are named at once."""
    found = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    paths = [path for path in found if path.suffix.lower() in IMAGES]
    others = [path.name for path in found if path not in set(paths)]
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
    shown = f"{', '.join(others[:_MAX_FAULTS])}{' …' if len(others) > _MAX_FAULTS else ''}"
    notes = (f"left out, since no {' '.join(IMAGES)}: {len(others)} of {len(found)} files ({shown})",) if others else ()
    return Rows(np.stack(images), tuple(path.name for path in paths), "file", notes)
