"""The only reader of JSON and YAML, and of all files that a folder may have from somebody else.

A file of a folder is read if it is a regular file inside the folder and not larger than a limit; JSON and YAML must not
be nested deeply, hold a key twice, or refer to other places of the file. Everything else is one `UnreadableFile`, which
names the file and the fault. A file that is not there stays a `FileNotFoundError`.
"""

import json
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from phalanx.core.errors import UnreadableFile
from phalanx.core.plain_yaml import NotPlain, plain_yaml

T = TypeVar("T")

MIB = 2**20
MAX_DEPTH = 100  # lists and mappings inside each other
MAX_JSON = 16 * MIB
MAX_YAML = MIB
MAX_TABLE = 256 * MIB  # of metrics.csv with a million epochs, a log, an image
MAX_DATA = 16 * 1024 * MIB  # of a table or array of samples, a model, a checkpoint
_MAX_DIGITS = 300  # of a whole number: less than the largest float has
_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)', re.DOTALL)  # of JSON; the last one may lack its end


@contextmanager
def opened(path: Path, *, inside: Path | None = None, limit: int | None = None) -> Iterator[BinaryIO]:
    """Opens a regular file for reading; a pipe or a device is refused and never waited for.

    Args:
        path: The file.
        inside: The folder that the file has to be in when all links are followed; None for the folder of `path`.
        limit: The largest size, in bytes; None for any.

    Yields:
        The file, opened in binary mode.

    Raises:
        FileNotFoundError: There is no such file.
        UnreadableFile: It is no regular file, lies outside or is too large, or the system refuses to open it.
    """
    folder = (inside or path.parent).resolve()
    try:
        found = path.resolve(strict=True)
        if not found.is_relative_to(folder):
            raise UnreadableFile(path, f"is a link out of the folder {folder}; put a copy in its place")
        descriptor = os.open(found, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: links in a circle; ValueError: a NUL
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise UnreadableFile(path, f"cannot be opened: {reason}") from error
    try:
        _check(path, os.fstat(descriptor), limit)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            yield file
    finally:
        os.close(descriptor)


def check_file(path: Path, *, inside: Path | None = None, limit: int | None = None) -> None:
    """Checks a file that a library is going to open; arguments and exceptions are those of `opened`."""
    with opened(path, inside=inside, limit=limit):
        pass


def _check(path: Path, state: os.stat_result, limit: int | None) -> None:
    if not stat.S_ISREG(state.st_mode):
        raise UnreadableFile(path, "is not a regular file but a folder, a device or a pipe")
    if limit is not None and state.st_size > limit:
        raise UnreadableFile(path, _too_large(f"{state.st_size:,}", limit))


def _too_large(size: str, limit: int) -> str:
    return f"has {size} bytes, and at most {limit:,} are read"


def read_bytes(path: Path, *, inside: Path | None = None, limit: int = MAX_JSON) -> bytes:
    """Returns the content of a file; arguments and exceptions are those of `opened`."""
    with opened(path, inside=inside, limit=limit) as file:
        content = file.read(limit + 1)  # it may have grown, and files of /proc have no size
    if len(content) > limit:
        raise UnreadableFile(path, _too_large(f"more than {limit:,}", limit))
    return content


def read_text(path: Path, *, inside: Path | None = None, limit: int = MAX_JSON) -> str:
    """Returns the text of a file in UTF-8; arguments and exceptions are those of `opened`."""
    content = read_bytes(path, inside=inside, limit=limit)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnreadableFile(path, f"is damaged: {error}") from error


def read_json(path: Path, *, inside: Path | None = None, limit: int = MAX_JSON) -> Any:
    """Returns the content of a JSON file; arguments and exceptions are those of `opened`."""
    return parse_json(read_text(path, inside=inside, limit=limit), path)


def read_entry(path: Path, key: str, kind: type[T]) -> T:
    """Returns one entry of the object in a JSON file.

    Args:
        path: The file.
        key: The name of the entry.
        kind: The type of its value.

    Raises:
        FileNotFoundError: There is no such file.
        UnreadableFile: The file is damaged, or has no such entry.
    """
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(value := content.get(key), kind):
        raise UnreadableFile(path, f"is damaged: it must have {key!r}, of the type {kind.__name__}")
    return value


def read_yaml(path: Path, *, inside: Path | None = None, limit: int = MAX_YAML) -> Any:
    """Returns the content of a YAML file, interpolations as text; arguments and exceptions are those of `opened`."""
    return parse_yaml(read_text(path, inside=inside, limit=limit), path)


def parse_json(text: str, source: object) -> Any:
    """Returns the values of a JSON text. Raises `UnreadableFile` that calls it `source` for a text of another form."""
    try:
        _check_depth(text)
        values = json.loads(text, object_pairs_hook=_unique, parse_int=_whole)
        if "\\u" in text:
            json.dumps(values, ensure_ascii=False).encode()  # raises for half a surrogate pair, which no file can hold
        return values
    except ValueError as error:
        raise UnreadableFile(source, f"is damaged: {error}") from error


def parse_yaml(text: str, source: object) -> Any:
    """Returns the values of a YAML text, as OmegaConf reads them; interpolations stay text.

    Raises `UnreadableFile` that calls it `source` for a text that is no YAML, or more than plain values.
    """
    if len(text) > MAX_YAML:
        raise UnreadableFile(source, _too_large(f"more than {MAX_YAML:,}", MAX_YAML))
    try:
        return plain_yaml(text, MAX_DEPTH)
    except NotPlain as error:
        raise UnreadableFile(source, f"is damaged: {error}") from error


def _check_depth(text: str) -> None:
    """Raises `ValueError` for JSON that is nested so deeply that its parser could crash."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for bracket in re.findall(r"[\[\]{}]", _STRINGS.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > MAX_DEPTH:
            raise ValueError(f"more than {MAX_DEPTH} lists and objects are nested")


def _whole(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"it has a number of {len(text):,} digits")
    return int(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"it has the key {twice!r} twice")
    return found
