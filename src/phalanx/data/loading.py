"""Makes a `Dataset` from a data spec: read, split, fit the encoder on the training rows, digest."""

import hashlib
import json
from collections.abc import Mapping

import numpy as np
import torch

from phalanx.core.errors import DataError
from phalanx.data.base import Dataset, DataSpec, Raw, Split
from phalanx.data.doubts import class_doubts, repeated_rows, telling_columns
from phalanx.data.encoders import Features, Rows
from phalanx.data.resampling import split_rows
from phalanx.data.shared_rows import pays, shared_splits
from phalanx.data.table_encoder import TableFeatures


def load_dataset(spec: DataSpec, device: torch.device | str = "cpu", *, joined: bool = False) -> Dataset:
    """Reads, splits and encodes a data source. Raises `DataError` if it cannot be read or split as requested.

    With `joined` the validation rows are training rows too, behind the others, and the encoder is fitted on both.

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
    places = split_rows(spec, raw)
    train, val, test = places.train, places.val, places.test
    train = np.concatenate([train, val]) if joined else train
    test_x, test_y = (raw.x, raw.y) if raw.test_y is None else (raw.test_x, raw.test_y)
    test_x, test_y = _rows(test_x, test), test_y[test]
    _check_classes(spec, raw, train, {"validation": raw.y[val], "test": test_y})
    encoder = (raw.features or spec.features()).fit(_rows(raw.x, train))
    val_x = _rows(raw.x, val)
    train_split = _tensors(encoder, _rows(raw.x, train), raw.y[train])
    val_split, test_split = _tensors(encoder, val_x, raw.y[val]), _tensors(encoder, test_x, test_y)
    others = {"validation": val_split, "test": test_split}
    doubts = [] if spec.is_known or joined else _doubts(raw, encoder, train_split, others)
    if pays(spec.resampling, raw.x, train_split):
        held = [(raw.x, train), (raw.x, val), (raw.x if raw.test_y is None else raw.test_x, test)]
        train_split, val_split, test_split = shared_splits(encoder, held, [train_split, val_split, test_split])
    return Dataset(
        name=spec.name,
        train=train_split,
        val=val_split,
        test=test_split,
        classes=raw.classes,
        features=encoder,
        digest=_digest(raw, train, val, test_x, test_y, encoder),
        image_shape=raw.image_shape,
        inputs="; ".join(filter(None, [encoder.summary(), *raw.about])),
        notes=(*raw.notes, *places.notes, *doubts, *_unseen(encoder, {"validation": val_x, "test": test_x})),
        official_test=raw.test_y is not None,
        largest_train=None if joined else places.largest_train,
        image_form=raw.image_form,
        feature_names=tuple(getattr(encoder, "column_names", spec.feature_names)),
        row_numbers={"val": _numbers(raw.x, val), "test": _numbers(raw.x if raw.test_y is None else raw.test_x, test)},
    ).to(device)


def _doubts(raw: Raw, encoder: Features, train: Split, others: Mapping[str, Split]) -> list[str]:
    """What makes an accuracy on these rows mean less than it seems."""
    notes = class_doubts(raw.y, raw.classes)
    if hasattr(raw.x, "iloc"):
        dropped = encoder.reader.dropped if isinstance(encoder, TableFeatures) else ()
        notes += telling_columns(raw.x, raw.y, dropped)
    return notes + repeated_rows(train.x_ND.numpy(), {name: split.x_ND.numpy() for name, split in others.items()})


def _unseen(encoder: Features, others: Mapping[str, Rows]) -> list[str]:
    """What of the other splits training never had."""
    return [f"{split} split: {note}" for split, rows in others.items() for note in encoder.notes(rows)]


def _numbers(x: Rows, index: np.ndarray) -> np.ndarray:
    """The rows of the source, from 0: those of a table keep their numbers when others are dropped."""
    return np.asarray(x.index)[index] if hasattr(x, "iloc") else index


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
    settings = {k: v for k, v in encoder.to_json().items() if k in ("kind", "normalize", "scale", "scaling")}
    digest.update(json.dumps([raw.classes, settings]).encode())
    return digest.hexdigest()[:16]
