"""One process at a time trains in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from phalanx.core.advice import folder_option
from phalanx.core.errors import RequestError
from phalanx.runs.layout import RunPaths, relative

if TYPE_CHECKING:
    from filelock import FileLock


def lock_run(root: Path) -> FileLock:
    """Locks the folder of a run, as `lock_folder` does."""
    return lock_folder(root, f"for a run of its own beside it type {folder_option('from_run', relative(root))}")


def lock_folder(root: Path, advice: str) -> FileLock:
    """Keeps other processes from training in this folder for as long as the caller holds the lock that is returned.

    In one process, all locks of a folder are one object. A run and a sweep have the same lock.

    Args:
        root: The folder.
        advice: What else to type, as the end of the message.

    Raises:
        RequestError: Another process trains there.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(RunPaths(root).lock, is_singleton=True)
    try:
        lock.acquire(blocking=False)
        return lock
    except Timeout:
        raise RequestError(
            f"another process is training in {relative(root)}; wait until it has ended, or stop it with Ctrl-C, and "
            f"then type the same command again; {advice}"
        ) from None
