"""Small data sets made up for tests."""

from __future__ import annotations

import torch

from phalanx.data import Dataset, Split
from phalanx.data.encoders import ArrayFeatures


def blobs(n_train: int = 96, n_val: int = 40, n_features: int = 6, n_classes: int = 3, seed: int = 0) -> Dataset:
    """Gaussian clouds, one a class, close enough to overlap: learnable and never perfect."""
    stream = torch.Generator().manual_seed(seed)
    centres = torch.randn(n_classes, n_features, generator=stream)

    def split(n: int) -> Split:
        y = torch.randint(n_classes, (n,), generator=stream)
        return Split(centres[y] + 0.8 * torch.randn(n, n_features, generator=stream), y)

    features = ArrayFeatures(normalize="none", mean=(0.0,), std=(1.0,), n_features=n_features)
    return Dataset(
        "blobs", split(n_train), split(n_val), split(n_val), tuple("abcdefghij"[:n_classes]), features, "blobs"
    )
