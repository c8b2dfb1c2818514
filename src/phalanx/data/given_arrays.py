"""Arrays of what Python code of a user's returns: tensors, lists, tables, images, and the items of a torch `Dataset`.

Axes: N samples.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from phalanx.core.errors import DataError

PARTS = ("x", "y", "test_x", "test_y")
FORMS = "(x, y), (x, y, test_x, test_y), a map-style torch Dataset, or two of these (training, test)"
_HALVES = (torch.bfloat16, torch.float16)  # of which NumPy lacks the first


def arrays_of(given: object) -> dict[str, np.ndarray]:
    """The arrays x, y and, where there is a test split, test_x and test_y. Raises `DataError` for anything else."""
    parts = [given] if isinstance(given, Dataset) else list(given) if isinstance(given, (tuple, list)) else []
    if parts and all(isinstance(part, Dataset) for part in parts) and len(parts) <= 2:
        found = [array for part, name in zip(parts, ("", "test "), strict=False) for array in _gathered(part, name)]
    elif len(parts) in (2, 4) and not any(isinstance(part, Dataset) for part in parts):
        found = [_array(part, name) for name, part in zip(PARTS, parts, strict=False)]
    else:
        got = f"a {type(given).__name__} of {len(parts)}" if parts else type(given).__name__
        raise DataError(f"must be {FORMS}, got {got}")
    return dict(zip(PARTS, found, strict=False))


def _array(values: Any, what: str) -> np.ndarray:
    """Values as an array, texts in NumPy's own type. Raises `DataError` for rows of different lengths."""
    if isinstance(values, torch.Tensor):
        kept = values.detach().cpu()
        kept = kept.to_dense() if kept.layout != torch.strided else kept
        return (kept.float() if kept.dtype in _HALVES else kept).numpy()
    if np.ma.isMaskedArray(values):
        values = np.ma.filled(values.astype(float), np.nan)
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise DataError(f"{what} must have samples of one shape") from error
    if array.dtype.kind == "O" and array.size and all(isinstance(item, str) for item in array.flat):
        return array.astype(str)
    return array.astype(str) if array.dtype.kind == "T" else array


def _gathered(items: Dataset[Any], name: str) -> tuple[np.ndarray, np.ndarray]:
    """The samples (N, …) and the classes (N,) of a map-style data set."""
    if isinstance(items, IterableDataset) or not hasattr(items, "__len__"):
        raise DataError(f"must be {FORMS}, got a {type(items).__name__} without a length; return its samples as arrays")
    if isinstance(items, TensorDataset) and len(items.tensors) == 2:
        return _array(items.tensors[0], f"{name}x"), _array(items.tensors[1], f"{name}y")
    samples, labels = [], []
    for place in range(len(items)):
        where = f"{name}item {place}"
        item = items[place]
        if not isinstance(item, (tuple, list)) or len(item) != 2:
            raise DataError(f"{where} must be (sample, class), got {type(item).__name__}")
        samples.append(_array(_pixels(item[0], where), where))
        labels.append(_label(item[1], where))
        if samples[-1].shape != samples[0].shape:
            raise DataError(
                f"{where} has the shape {samples[-1].shape}, and {name}item 0 {samples[0].shape}; make them equal, "
                "such as by a transform that resizes"
            )
    names = getattr(items, "classes", None)  # as torchvision has them
    are_places = isinstance(names, (list, tuple)) and all(
        isinstance(label, int) and 0 <= label < len(names) for label in labels
    )
    classes = [str(names[label]) for label in labels] if names and are_places else labels
    return np.stack(samples) if samples else np.empty((0, 0)), _array(classes, f"{name}classes")


def _pixels(sample: Any, where: str) -> Any:
    """A sample, or the pixels of an image of PIL: grey levels (h, w) or colours (h, w, 3)."""
    image = sys.modules.get("PIL.Image")  # whoever returns an image has imported it
    if image is None or not isinstance(sample, image.Image):
        return sample
    if sample.mode not in ("1", "L", "RGB"):
        raise DataError(f"{where} is an image of mode {sample.mode}; convert it to L (grey) or RGB")
    return np.asarray(sample.convert("L") if sample.mode == "1" else sample)


def _label(label: Any, where: str) -> int | str:
    """The class of one item."""
    try:
        value = label.item() if hasattr(label, "item") else label
    except (ValueError, RuntimeError):  # several numbers
        value = label
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, (int, str)):
        raise DataError(f"{where} must have a whole number or a text as its class, got {label!r:.60}")
    return value
