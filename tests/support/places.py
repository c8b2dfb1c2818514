"""Where the tests find the checkout and the real MNIST files."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


MNIST_ROOT = ROOT.parent / "shared" / "data"
