"""Writes files that a user named: a link stays a link, a file keeps its mode, and a pipe or a device is written to."""

import contextlib
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from phalanx.core.files import replacing

_OPEN_FILES = Path("/dev/fd")  # has a name for each open file of this process
_MOST_LINKS = 40  # that Linux follows


@contextlib.contextmanager
def named_file(path: Path) -> Iterator[Path]:
    """Yields a temporary path, whose content goes to `path` when the block succeeds; if it raises, `path` is untouched.

    A plain file is replaced at once, with the mode and the owner of the file before, and a link is followed. Other hard
    links to it keep the content before. A pipe, a terminal or a device such as `/dev/null` gets the content.

    Raises:
        OSError: `path` cannot be written: it is read-only, or neither a plain file nor a pipe nor a character device.
    """
    if is_plain(path):
        target = Path(os.path.realpath(path))
        before = target.stat() if target.exists() else None
        if before is not None and not os.access(target, os.W_OK):
            raise PermissionError(13, os.strerror(13), str(path))
        with replacing(target) as temporary:
            yield temporary
            if before is not None:
                with contextlib.suppress(OSError):  # another user's file, in a folder that this user may write to
                    os.chown(temporary, before.st_uid, before.st_gid)
                temporary.chmod(stat.S_IMODE(before.st_mode))
        return
    if what := no_file(path):
        raise OSError(22, what, str(path))
    with tempfile.TemporaryDirectory() as folder:
        yield (temporary := Path(folder, "content"))
        _pour(temporary, path)


def write_named(path: Path, text: str) -> None:
    """Writes text as UTF-8 to a file that a user named, as `named_file` does."""
    with named_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def is_plain(path: Path) -> bool:
    """Whether `path` is a regular file, or will be one: not a pipe, a device, or an open file of this process."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return True
    return stat.S_ISREG(mode) and _descriptor(path) is None


def no_file(path: Path) -> str:
    """What a path is that `named_file` does not write to, such as a disk, which would lose all it holds; else empty."""
    try:
        kind = stat.S_IFMT(path.stat().st_mode)
    except OSError:
        return ""
    if kind in (stat.S_IFREG, stat.S_IFIFO, stat.S_IFCHR) or _descriptor(path) is not None:
        return ""
    return {stat.S_IFDIR: "a folder", stat.S_IFBLK: "a block device", stat.S_IFSOCK: "a socket"}.get(kind, "no file")


def _descriptor(path: Path) -> int | None:
    """The number of the open file that a name such as `/dev/stdout` or `/dev/fd/3` means; None for other names."""
    for _ in range(_MOST_LINKS):
        folder = path.parent.resolve()
        if folder == _OPEN_FILES.resolve() and path.name.isdecimal():
            return int(path.name)
        if not path.is_symlink():
            return None
        path = folder / os.readlink(path)
    return None


def _pour(content: Path, path: Path) -> None:
    """Writes the content of a file to an open file of this process, a pipe or a device."""
    number = _descriptor(path)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    try:
        # Opened by its name once more, a file that the shell has opened would be emptied, and written from its start.
        with open(path if number is None else os.dup(number), "wb") as target, open(content, "rb") as source:
            shutil.copyfileobj(source, target)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
