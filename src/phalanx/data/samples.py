"""Arrays of samples and classes, of a file or a function of the user's: their checks, and the rows that they become.

Axes: N samples, D features, h × w pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from phalanx.core.errors import DataError
from phalanx.data.base import Raw
from phalanx.data.table_classes import class_positions

_MAX_CLASSES = 10_000


def raw_of(found: Mapping[str, np.ndarray], names: Mapping[str, str], where: str) -> Raw:
    """The rows of arrays, x of shape (N, D) in its own type; classes are sorted as numbers or alphabetically.

    Args:
        found: Samples `x` (N, D), (N, h, w) or (N, h, w, channels), classes `y` (N,), and with a test split `test_x`
            and `test_y`.
        names: What messages call each of these.
        where: What messages call their source.

    Raises:
        DataError: They cannot be used; lists all faults.
    """
    faults = [fault for part in ("", "test_") if part + "x" in found for fault in _faults(found, names, part)]
    if not faults and "test_x" in found and found["test_x"].shape[1:] != found["x"].shape[1:]:
        shapes = f"{found['test_x'].shape[1:]} and {found['x'].shape[1:]}"
        faults = [f"{names['test_x']} and {names['x']} must have samples of one shape, got {shapes}"]
    if faults:
        raise DataError("\n  - ".join([f"{where} cannot be used:", *faults]))
    labels = {option: _labels(found[option]) for option in ("y", "test_y") if option in found}
    order = sorted(set(labels["y"].tolist()))
    unknown = sorted(set(labels.get("test_y", labels["y"]).tolist()) - set(order))
    if unknown:
        raise DataError(f"{where}: {names['test_y']} has classes that {names['y']} lacks: {unknown[:5]}")
    y = {option: class_positions(values.tolist(), order) for option, values in labels.items()}
    about = [f"{name}: {' × '.join(f'{n:,}' for n in found[option].shape)} {found[option].dtype}"
             for option, name in names.items()]  # fmt: skip
    return Raw(
        x=_flat(found["x"]), y=y["y"], classes=tuple(map(str, order)), image_shape=_image_shape(found["x"].shape[1:]),
        test_x=_flat(found["test_x"]) if "test_x" in found else None, test_y=y.get("test_y"), about=tuple(about),
    )  # fmt: skip


def _faults(found: Mapping[str, np.ndarray], names: Mapping[str, str], part: str) -> list[str]:
    x, y, x_name, y_name = found[part + "x"], found[part + "y"], names[part + "x"], names[part + "y"]
    faults = []
    if x.dtype.kind not in "buif":
        faults.append(f"{x_name} must hold real numbers, got the type {x.dtype}")
    elif x.ndim < 2 or not x.size:
        faults.append(f"{x_name} must have the shape (N, D) or (N, h, w) with N samples, got {x.shape}")
    elif x.dtype.kind == "f" and len(bad := np.argwhere(~np.isfinite(x))):
        where = ", ".join(map(str, bad[0]))
        faults.append(f"{x_name} must hold finite numbers, got {len(bad):,} that are not, the first at [{where}]")
    if y.ndim == 2 and y.shape[1] > 1:
        faults.append(f"{y_name} must have the shape (N,), got {y.shape}; of one-hot rows save {y_name}.argmax(axis=1)")
    elif y.dtype.kind not in "buifUS" or y.ndim not in (1, 2):
        faults.append(f"{y_name} must hold whole numbers or texts of shape (N,), got {y.dtype} of shape {y.shape}")
    elif y.dtype.kind == "f" and not (np.isfinite(y).all() and (y == np.floor(y)).all()):
        faults.append(f"{y_name} must hold classes, got measurements such as {_odd(y)}")
    elif len(np.unique(y)) > _MAX_CLASSES:
        faults.append(f"{y_name} has {len(np.unique(y)):,} distinct values, and at most {_MAX_CLASSES:,} are classes")
    if not faults and len(x) != len(y):
        faults.append(f"{x_name} has {len(x):,} samples and {y_name} {len(y):,} classes; they must be as many")
    return faults


def _odd(y: np.ndarray) -> float:
    flat = y.reshape(-1)
    return float(flat[np.argmax(~(flat == np.floor(flat)))])  # NaN is not equal to itself


def _labels(y: np.ndarray) -> np.ndarray:
    """The classes (N,), as whole numbers or texts."""
    flat = y.reshape(-1)
    if flat.dtype.kind == "S":
        return np.char.decode(flat, "utf-8", "replace")
    return flat.astype(np.int64) if flat.dtype.kind in "bf" else flat


def _image_shape(shape: Sequence[int]) -> tuple[int, int] | None:
    """Height and width of grey images; None for what has no two sides, or several channels."""
    sides = [n for n in shape if n > 1]
    return (sides[0], sides[1]) if len(shape) in (2, 3) and len(sides) == 2 else None


def _flat(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x.reshape(len(x), -1))
