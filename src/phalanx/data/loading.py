"""From a data spec to a `Dataset`: read, split, fit the features on the training rows, digest."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import torch

from phalanx.core.errors import DataError
from phalanx.data.base import Dataset, DataSpec, Raw, Split
from phalanx.data.encoders import Features
from phalanx.data.splits import stratified

SHOWN = 5  # classes in a list of what is missing


def load_dataset(spec: DataSpec, device: torch.device | str = "cpu") -> Dataset:
    """All three splits of `spec` as tensors on `device`. Raises `DataError` with what to do about it."""
    raw = spec.read()
    n_classes = len(np.unique(raw.y))
    if n_classes < 2:
        raise DataError(f"data={spec.name} has one class only ({raw.classes[0]!r}); a classifier needs two or more")
    train, val, test_x, test_y = _split(spec, raw)
    _learnable(spec, raw, train, {"validation": raw.y[val], "test": test_y})
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
    ).to(device)


def _split(spec: DataSpec, raw: Raw) -> tuple[np.ndarray, np.ndarray, Any, np.ndarray]:
    """Row numbers for training and validation, and the test rows themselves."""
    n_test, n_val, n_train = _sizes(spec, len(raw.y), None if raw.test_y is None else len(raw.test_y))
    seed = spec.split_seed
    if raw.test_x is None:
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
    """Rows for test, validation and training; `n_official` are those of an official test split.

    One `DataError` with every number that is too large.
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


def _learnable(spec: DataSpec, raw: Raw, train: np.ndarray, others: dict[str, np.ndarray]) -> None:
    """Every class of the other splits must occur in training; a class of few members may have missed it."""
    seen = np.unique(raw.y[train])
    lost = [
        f"{raw.classes[label]!r} ({np.sum(y == label)} in the {split} split)"
        for split, y in others.items()
        for label in np.setdiff1d(y, seen)
    ]
    if lost:
        more = f" and {len(lost) - SHOWN:,} more" if len(lost) > SHOWN else ""
        raise DataError(
            f"data={spec.name}: the training split of {len(train)} rows has none of class "
            f"{', '.join(lost[:SHOWN])}{more}; "
            f"give more rows of it, take fewer for the other splits (data.n_val, data.n_test), "
            f"or try another split: data.split_seed={spec.split_seed + 1}"
        )


def _rows(x: Any, index: np.ndarray) -> Any:
    return x.iloc[index] if hasattr(x, "iloc") else x[index]


def _tensors(encoder: Features, rows: Any, y_N: np.ndarray) -> Split:
    return Split(torch.from_numpy(encoder.transform(rows)), torch.from_numpy(np.ascontiguousarray(y_N, np.int64)))


def _digest(raw: Raw, train: np.ndarray, val: np.ndarray, test_x: Any, test_y: np.ndarray, encoder: Features) -> str:
    """Raw bytes rather than prepared tensors: a quarter of the bytes for pixels, and stable across float details."""
    digest = hashlib.sha256()
    for part in (raw.x, test_x):
        values = part.to_csv(index=False).encode() if hasattr(part, "to_csv") else np.ascontiguousarray(part).data
        digest.update(values)
    for array in (raw.y, train, val, test_y):
        digest.update(np.ascontiguousarray(array, np.int64).data)
    settings = {k: v for k, v in encoder.to_json().items() if k in ("kind", "normalize", "scale")}
    digest.update(json.dumps([raw.classes, settings]).encode())
    return digest.hexdigest()[:16]
