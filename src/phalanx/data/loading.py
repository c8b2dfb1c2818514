"""Makes a `Dataset` from a data spec: read, split, fit the encoder on the training rows, digest."""

import hashlib
import json

import numpy as np
import torch

from phalanx.core.errors import DataError
from phalanx.data.base import Dataset, DataSpec, Raw, Split
from phalanx.data.encoders import Features, Rows
from phalanx.data.splits import stratified


def load_dataset(spec: DataSpec, device: torch.device | str = "cpu") -> Dataset:
    """Reads, splits and encodes a data source. Raises `DataError` if it cannot be read or split as requested.

    Examples:
        >>> from phalanx import DATASETS, load_dataset
        >>> data = load_dataset(DATASETS["wine"](n_val=30, n_test=30))
        >>> len(data.train), len(data.val), len(data.test), data.n_features, data.n_classes
        (118, 30, 30, 13, 3)
    """
    raw = spec.read()
    n_classes = len(np.unique(raw.y))
    if n_classes < 2:
        raise DataError(f"data={spec.name} has one class only ({raw.classes[0]!r}); a classifier needs two or more")
    train, val, test_x, test_y = _split(spec, raw)
    _check_classes(spec, raw, train, {"validation": raw.y[val], "test": test_y})
    encoder = spec.features().fit(_rows(raw.x, train))
    return Dataset(
        name=spec.name,
        train=_tensors(encoder, _rows(raw.x, train), raw.y[train]),
        val=_tensors(encoder, _rows(raw.x, val), raw.y[val]),
        test=_tensors(encoder, test_x, test_y),
        classes=raw.classes,
        features=encoder,
        digest=_digest(raw, train, val, test_x, test_y, encoder),
        image_shape=raw.image_shape,
        official_test=raw.test_y is not None,
    ).to(device)


def _split(spec: DataSpec, raw: Raw) -> tuple[np.ndarray, np.ndarray, Rows, np.ndarray]:
    """Row numbers for training and validation, and the test rows and their classes."""
    n_test, n_val, n_train = _sizes(spec, len(raw.y), None if raw.test_y is None else len(raw.test_y))
    seed = spec.split_seed
    if raw.test_y is None:
        test, rest = stratified(raw.y, n_test, seed, "test")
        test_x, test_y = _rows(raw.x, test), raw.y[test]
    else:
        rest = np.arange(len(raw.y))
        test_x, test_y = raw.test_x, raw.test_y
        if spec.n_test is not None:
            kept, _ = stratified(test_y, n_test, seed, "test")
            test_x, test_y = _rows(test_x, kept), test_y[kept]
    val, train = (rest[i] for i in stratified(raw.y[rest], n_val, seed, "val"))
    if spec.n_train is not None:
        kept, _ = stratified(raw.y[train], n_train, seed, "train")
        train = train[kept]
    return train, val, test_x, test_y


def _sizes(spec: DataSpec, n_rows: int, n_official: int | None) -> tuple[int, int, int]:
    """The sizes of the test, validation and training splits.

    Args:
        spec: The requested sizes.
        n_rows: Rows outside an official test split.
        n_official: Rows of the official test split; None without one.

    Raises:
        DataError: Some sizes are too large; lists all of them.
    """
    faults: list[str] = []

    def part(key: str, default: int, available: int) -> int:
        asked: int = getattr(spec, key) or default
        if asked <= available:
            return asked
        fits = max(available // 2, 1)
        faults.append(
            f"data.{key} must be at most {max(available, 0)} with data={spec.name} and the other splits, "
            f"got {asked}; try data.{key}={fits}"
        )
        return fits

    if n_official is None:
        n_test = part("n_test", max(1, n_rows // 5), n_rows - 2)
        n_rows -= n_test
    else:
        n_test = part("n_test", n_official, n_official)
    n_val = part("n_val", max(1, n_rows // 5), n_rows - 1)
    n_train = part("n_train", n_rows - n_val, n_rows - n_val)
    if faults:
        raise DataError("\n".join(faults))
    return n_test, n_val, n_train


def _check_classes(spec: DataSpec, raw: Raw, train: np.ndarray, others: dict[str, np.ndarray]) -> None:
    """Raises `DataError` if a class of the other splits does not occur in the training split."""
    seen = np.unique(raw.y[train])
    missing = [
        f"{raw.classes[label]!r} ({np.sum(y == label)} in the {split} split)"
        for split, y in others.items()
        for label in np.setdiff1d(y, seen)
    ]
    if missing:
        n_shown = 5
        more = f" and {len(missing) - n_shown:,} more" if len(missing) > n_shown else ""
        raise DataError(
            f"data={spec.name}: the training split of {len(train)} rows has none of class "
            f"{', '.join(missing[:n_shown])}{more}; "
            f"give more rows of it, take fewer for the other splits (data.n_val, data.n_test), "
            f"or try another split: data.split_seed={spec.split_seed + 1}"
        )


def _rows(x: Rows, index: np.ndarray) -> Rows:
    return x.iloc[index] if hasattr(x, "iloc") else x[index]


def _tensors(encoder: Features, rows: Rows, y_N: np.ndarray) -> Split:
    return Split(torch.from_numpy(encoder.transform(rows)), torch.from_numpy(np.ascontiguousarray(y_N, np.int64)))


def _digest(raw: Raw, train: np.ndarray, val: np.ndarray, test_x: Rows, test_y: np.ndarray, encoder: Features) -> str:
    """A digest of the raw rows, which for pixels are a quarter of the encoded bytes, the splits and the encoder."""
    digest = hashlib.sha256()
    for part in (raw.x, test_x):
        values = part.to_csv(index=False).encode() if hasattr(part, "to_csv") else np.ascontiguousarray(part).data
        digest.update(values)
    for array in (raw.y, train, val, test_y):
        digest.update(np.ascontiguousarray(array, np.int64).data)
    settings = {k: v for k, v in encoder.to_json().items() if k in ("kind", "normalize", "scale")}
    digest.update(json.dumps([raw.classes, settings]).encode())
    return digest.hexdigest()[:16]
