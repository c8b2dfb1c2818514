"""Shared fixtures: tiny data, quiet Optuna, a working folder of one's own."""

from __future__ import annotations

import os
import signal
from pathlib import Path

# Tests run beside each other: with a thread each they do not wait for one another. Set before torch is loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

pytest.register_assert_rewrite("support")  # its assertions then show what differed

from support.datasets import blobs
from support.places import MNIST_ROOT
from support.slow_tests import function_of, listed, long_ones

from phalanx.data import Dataset

# A shell that starts tests in the background has them ignore Ctrl-C, and all that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    slow, long = listed(), long_ones()
    for item in items:
        if function_of(item.nodeid) in slow:
            item.add_marker(pytest.mark.slow)
        if item.nodeid in long:
            item.add_marker(pytest.mark.long)


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
