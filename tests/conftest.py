"""Shared fixtures: tiny data, quiet Optuna, a working folder of one's own."""

from __future__ import annotations

import os
import signal
from pathlib import Path

# Tests run beside each other: with a thread each they do not wait for one another. Set before torch is loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

from phalanx.data import Dataset, Split
from phalanx.data.features import ArrayFeatures

pytest.register_assert_rewrite("drivers")  # whose checks then say what differed

# A shell that starts tests in the background has them ignore Ctrl-C, and all that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent
MNIST_ROOT = ROOT.parent / "shared" / "data"


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


@pytest.fixture(scope="session")
def dataset() -> Dataset:
    return blobs()


@pytest.fixture
def mnist_root() -> Path:
    if not (MNIST_ROOT / "MNIST" / "raw").is_dir():
        pytest.skip(f"the MNIST files are not in {MNIST_ROOT.name}/ beside the checkout")
    return MNIST_ROOT


@pytest.fixture
def interruptible():
    """SIGINT and SIGTERM as in train.py: a process that was started in the background ignores the former."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, signal.default_int_handler) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)
