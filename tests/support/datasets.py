"""Small data sets made up for tests."""

from __future__ import annotations

from phalanx.testing import blobs

__all__ = ["blobs"]
