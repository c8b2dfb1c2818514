"""A run's folder: who may train in it."""

from __future__ import annotations

import fcntl

import pytest

from phalanx.core.errors import RequestError
from phalanx.runs.folder_lock import lock_run
from phalanx.runs.layout import RunPaths


def test_a_folder_is_locked_for_as_long_as_the_lock_is_held(tmp_path):
    lock = lock_run(tmp_path)
    assert lock_run(tmp_path / ".." / tmp_path.name) is lock
    with open(RunPaths(tmp_path).lock) as other:  # as another process would
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        del lock
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with pytest.raises(RequestError, match="another process is training in"):
            lock_run(tmp_path)
    assert lock_run(tmp_path).is_locked
