"""Writes files atomically: to a temporary file in the same folder, which is then renamed."""

import contextlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from phalanx.core.process_identity import LABEL, labelled_gone, own_label

DAY_S = 86_400.0
_TEMPORARY = re.compile(rf"\..+\.(?P<label>{LABEL.pattern})-[0-9a-f]{{8}}(\.[^.]*)?")


@contextlib.contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yields a temporary path that replaces `path` when the block succeeds and is deleted when it raises.

    Temporary files that a killed process left in the folder are deleted. An `OSError` names `path`. With
    `durable=False` it does not wait for the disk, so a power cut may lose the whole file.
    """
    temporary = temporary_of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if durable:
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
        os.replace(temporary, path)
        delete_stale(path.parent)
    except OSError as error:
        if error.errno is None or error.filename not in (None, str(temporary), temporary):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def temporary_of(path: Path) -> Path:
    """A new name beside `path` for a temporary file or folder; it tells `delete_stale` which process made it."""
    return path.with_name(f".{path.name[:40]}.{own_label()}-{uuid.uuid4().hex[:8]}{path.suffix}")


def delete_stale(folder: Path) -> None:
    """Deletes temporary files and folders whose process has ended, or cannot be seen from here and is a day late."""
    with contextlib.suppress(OSError):  # such as a folder that may be written to and not listed
        for name in os.listdir(folder):
            if name.startswith(".") and (found := _TEMPORARY.fullmatch(name)):
                file, gone = folder / name, labelled_gone(found["label"])
                # The folder changed when the latest file was made in it; both times are of the disk's clock.
                if gone or (gone is None and folder.stat().st_mtime - file.stat().st_mtime > DAY_S):
                    shutil.rmtree(file) if file.is_dir() and not file.is_symlink() else file.unlink(missing_ok=True)


def write_text(path: Path, text: str, *, durable: bool = True) -> None:
    """Writes a text file atomically, as UTF-8.

    Args:
        path: The file; missing folders are created.
        text: Its new content.
        durable: Whether to wait until the content is on the disk.
    """
    with replacing(path, durable=durable) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Writes JSON atomically. NaN and infinity, which JSON lacks, become null."""
    write_text(path, json.dumps(_finite(content), indent=2, allow_nan=False) + "\n")


def _finite(content: Any) -> Any:
    if isinstance(content, float):
        return content if content - content == 0 else None
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_finite(value) for value in content]
    return content
