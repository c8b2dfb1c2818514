"""Waits for something that another process or thread does."""

from __future__ import annotations

import time

PATIENCE_S = 60  # a machine may be busy


def until(condition):
    """Waits for what will come true, however busy the machine is."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
