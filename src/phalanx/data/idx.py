"""Images in IDX files, as those of MNIST, in torchvision's folder layout.

torchvision is used for downloading only: importing it takes 2.5 s, and its errors do not name the damaged file.

An IDX file has two zero bytes, the type (8: unsigned bytes), the number of axes, the length of each axis as a
big-endian 32-bit number, then the values. Axes: N images, D = 784 pixels.
"""

import contextlib
import gzip
import logging
import math
import os
import shutil
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from phalanx.core.errors import DataError, UnreadableFile
from phalanx.core.files import delete_stale, temporary_of
from phalanx.core.reading import opened
from phalanx.core.specs import static
from phalanx.data.base import DataSpec, Raw
from phalanx.data.encoders import ArrayFeatures

_SHAPE = (28, 28)
_MAX_FILE = 2**30  # bytes, unpacked: twenty times the images of MNIST
_FILES = tuple(f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class IdxImages(DataSpec):
    """Base of the sources in this format, which define `name`, `torchvision_name` and `labels`."""

    is_known: ClassVar[bool] = True
    torchvision_name: ClassVar[str]  # torchvision's name of the data set, and of its folder below `root`
    labels: ClassVar[tuple[str, ...]]  # the name of each class
    root: str = static("~/.cache/phalanx", determines_numbers=False)
    normalize: str = static("global", choices=("global", "feature", "none"))
    scale: float = static(255.0, gt=0)
    first: int | None = static(None, ge=2)  # the number of images to use, from the start of the official training split
    n_val: int | None = static(5000, ge=1)

    def read(self) -> Raw:
        """60,000 and 10,000 images, uint8 of shape (N, 784), which are downloaded first if a file is missing."""
        folder = Path(os.path.expanduser(self.root)) / self.torchvision_name / "raw"
        if any(_find(folder, name) is None for name in _FILES):
            self._download(folder)
        x, y = self._read_part(folder, "train")
        test_x, test_y = self._read_part(folder, "t10k")
        if self.first is not None and self.first > len(y):
            raise DataError(f"data.first must be at most {len(y)}, the images there are, got {self.first}")
        x, y = x[: self.first], y[: self.first]
        return Raw(x=x, y=y, classes=self.labels, test_x=test_x, test_y=test_y, image_shape=_SHAPE)

    def features(self) -> ArrayFeatures:
        return ArrayFeatures(normalize=self.normalize, scale=self.scale)

    def _read_part(self, folder: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
        """Images (N, 784) uint8 and labels (N,) int64 of one split."""
        images_path, labels_path = (_find(folder, n) or folder / n for n in _FILES if n.startswith(part))
        images, labels = read_idx(images_path, n_axes=3), read_idx(labels_path, n_axes=1)
        if images.shape[1:] != _SHAPE:
            raise _broken(images_path, "images of 28 x 28 pixels", "{} x {}".format(*images.shape[1:]))
        if len(images) != len(labels):
            expected = f"{len(images)} labels, one for each image in {images_path.name}"
            raise _broken(labels_path, expected, str(len(labels)))
        if labels.max() >= len(self.labels):
            row = int(np.argmax(labels >= len(self.labels)))
            raise _broken(labels_path, f"labels from 0 to {len(self.labels) - 1}", f"{labels[row]} at position {row}")
        return images.reshape(len(images), -1), labels.astype(np.int64)

    def _download(self, folder: Path) -> None:
        """Downloads into a temporary folder and moves complete files, so that a failure leaves nothing behind."""
        new = [path for path in (folder, *folder.parents) if not path.exists()]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            scratch = temporary_of(folder.parent / "download")
            scratch.mkdir()
            delete_stale(folder.parent)
            try:
                _log.info("downloading %s to %s", self.torchvision_name, folder)
                import torchvision.datasets

                getattr(torchvision.datasets, self.torchvision_name)(str(scratch), download=True)
                for name in _FILES:
                    if _find(folder, name) is None:
                        os.replace(scratch / self.torchvision_name / "raw" / name, folder / name)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
        except Exception as error:  # of torchvision, the network or the disk: the advice is the same
            with contextlib.suppress(OSError):  # one that is not empty, or was never made
                for path in new:
                    path.rmdir()
            raise DataError(self._not_there(folder, error)) from error

    def _not_there(self, folder: Path, error: Exception) -> str:
        cause = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        missing = [name for name in _FILES if _find(folder, name) is None]
        which = "the" if len(missing) == len(_FILES) else f"{len(missing)} of the"
        return (
            f"data={self.name}: {which} four files of {self.torchvision_name} are not in {folder} "
            f"and could not be downloaded ({cause}).\n"
            f"Put these files there, as they are or with .gz: {', '.join(missing)}; "
            f"or say where they are: data.root=FOLDER reads FOLDER/{self.torchvision_name}/raw. "
            f"data=digits needs no network."
        )


def read_idx(path: Path, n_axes: int) -> np.ndarray:
    """The values of an IDX file, uint8, with `n_axes` axes, read-only. Raises `DataError` if it is damaged."""
    content = _content(path)
    if not content:
        raise _broken(path, "an IDX file", "an empty file")
    n_header, magic = 4 + 4 * n_axes, bytes((0, 0, 8, n_axes))
    if content[:4] != magic:
        raise _broken(path, f"the first bytes {magic.hex()} of an IDX file with {n_axes} axes", content[:4].hex())
    if len(content) < n_header:
        raise _broken(path, f"a header of {n_header} bytes", f"{len(content)} bytes")
    shape = tuple(int(n) for n in np.frombuffer(content, ">u4", n_axes, offset=4))
    n_values = math.prod(shape)
    if n_values == 0:
        raise _broken(path, "at least one value", f"the shape {shape}")
    if len(content) != n_header + n_values:
        raise _broken(path, f"{n_header + n_values} bytes for the shape {shape}", f"{len(content)} bytes")
    return np.frombuffer(content, np.uint8, offset=n_header).reshape(shape)


def _find(folder: Path, name: str) -> Path | None:
    """The file, with or without .gz, also as Kaggle has it (a folder `train-images.idx3-ubyte`), or None."""
    names = [f"{stem}{end}" for stem in (name, name.replace("-idx", ".idx")) for end in ("", ".gz")]
    paths = [path for found in names for path in (folder / found / found, folder / found)]  # in a folder of its name
    return next((path for path in paths if os.path.exists(path)), None)


def _content(path: Path) -> bytes:
    try:
        with opened(path.resolve(), limit=_MAX_FILE) as file:
            content = (gzip.GzipFile(fileobj=file) if path.suffix == ".gz" else file).read(_MAX_FILE + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _broken(path, "a whole gzip file", f"a broken one ({error})") from error
    except UnreadableFile as error:
        raise DataError(f"{path} {error.fault}; make it readable, or give data.root") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; make it readable, or give data.root") from error
    if len(content) > _MAX_FILE:
        raise _broken(path, f"at most {_MAX_FILE:,} bytes", "more")
    return content


def _broken(path: Path, expected: str, found: str) -> DataError:
    return DataError(
        f"{path} is broken: expected {expected}, found {found}; "
        "delete it so that it is downloaded again, or give another folder with data.root"
    )
