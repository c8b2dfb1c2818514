"""A folder that appears whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from phalanx.core.errors import RequestError
from phalanx.core.files import delete_stale, temporary_of


def check_free(folder: Path, option: str) -> None:
    """Raises `RequestError` if something is at this path already, other than an empty folder.

    Args:
        folder: The folder that is to be written.
        option: The option that gives another one, for the message.
    """
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if os.path.lexists(folder):
        raise RequestError(f"{folder} is there already, and nothing is written over; give another folder with {option}")


@contextlib.contextmanager
def whole_folder(folder: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yields an empty folder that becomes `folder` when the block succeeds and is deleted when it raises.

    What a killed process left beside it is deleted.

    Args:
        folder: The folder to write, which must be free, or empty.
        replace: Whether a folder that is there is replaced.
    """
    temporary = temporary_of(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    delete_stale(folder.parent)
    try:
        temporary.mkdir()
        yield temporary
        if replace and folder.is_dir():
            aside = temporary_of(folder)
            os.replace(folder, aside)
            os.replace(temporary, folder)
            shutil.rmtree(aside)
        else:
            os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
