"""Arrays of NumPy in a file: `.npy` with one, `.npz` with several by name. Nothing is unpickled, so no code runs."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from phalanx.core.errors import DataError, UnreadableFile
from phalanx.core.reading import MAX_DATA, opened


@contextmanager
def opened_data(path: Path) -> Iterator[BinaryIO]:
    """Opens a file of samples that the user named, so links are followed.

    Raises `DataError` for a pipe, a device, or more than 16 GiB, and `FileNotFoundError`.
    """
    try:
        with opened(path.resolve(), limit=MAX_DATA) as file:
            yield file
    except UnreadableFile as error:
        raise DataError(str(error)) from error


@contextmanager
def open_arrays(path: Path) -> Iterator[np.ndarray | Mapping[str, np.ndarray]]:
    """Opens an array file.

    Args:
        path: The file, which the user named: links are followed.

    Yields:
        The array of a `.npy`; of a `.npz` its arrays by name, each read when it is asked for.

    Raises:
        DataError: The file is none of these, is damaged, holds Python objects or is larger than 16 GiB; also for an
            array that cannot be read inside the block.
    """
    try:
        with opened_data(path) as file:
            loaded = np.load(file, allow_pickle=False)
            if not isinstance(loaded, np.ndarray):
                size = sum(member.file_size for member in loaded.zip.infolist())
                if size > MAX_DATA:
                    raise DataError(f"{path} has {size:,} bytes when it is unpacked, and at most {MAX_DATA:,} are read")
            yield loaded
    except DataError:  # which is a ValueError
        raise
    except (ValueError, EOFError, KeyError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        if "pickle" in str(error):  # numpy's own words advise to load it all the same
            advice = "save plain numbers or texts with numpy.save or numpy.savez"
            raise DataError(f"{path} holds pickled Python objects, which could run code; {advice}") from error
        raise DataError(f"{path} is not an array file of numpy, or is damaged: {error}") from error
