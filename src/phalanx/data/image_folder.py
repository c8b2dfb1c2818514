"""A user's images: a folder with a folder of image files for each class.

Axes: N images.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from phalanx.core.errors import DataError, Fault, listed
from phalanx.core.specs import static
from phalanx.data.base import DataSpec, Raw
from phalanx.data.cell_values import Kind
from phalanx.data.encoders import ArrayFeatures
from phalanx.data.images import SUFFIXES, ImageForm, is_image, read_image
from phalanx.data.table_classes import class_order, class_positions

_SHOWN = 5  # files or sizes that a message lists


@dataclass(frozen=True, kw_only=True)
class ImageFolder(DataSpec):
    """Images are `path/CLASS/*.png` or `.jpg`; folders `train` and `test` in it have such folders."""

    name: ClassVar[str] = "image_folder"
    path: str = static(determines_numbers=False, advice="FOLDER")
    title: str | None = static(None, determines_numbers=False)
    size: tuple[int, ...] | None = static(None, ge=1, le=10_000, min_items=2)
    color: str = static("grey", choices=("grey", "rgb"))
    normalize: str = static("global", choices=("global", "feature", "none"))

    def conflicts(self) -> list[Fault | str]:
        if self.size is None or len(self.size) == 2:
            return []
        return [
            Fault("data.size", list(self.size), "a list of two whole numbers, height and width", "data.size=[28,28]")
        ]

    def features(self) -> ArrayFeatures:
        return ArrayFeatures(normalize=self.normalize)

    def read(self) -> Raw:
        """The pixels of all images, uint8 (N, D), by class and name of the file."""
        root = Path(os.path.expanduser(self.path))
        is_split = (root / "train").is_dir() and (root / "test").is_dir()
        folders = [root / "train", root / "test"] if is_split else [root]
        files, notes = zip(*(_images(folder) for folder in folders), strict=True)
        labels = [[path.parent.name for path in paths] for paths in files]
        kind = Kind.NUMBER if all(label.isdecimal() for label in labels[0]) else Kind.TEXT
        classes = class_order(labels[0], kind)
        if is_split and (unknown := sorted(set(labels[1]) - set(classes))):
            raise DataError(f"{folders[1]} has classes that {folders[0]} lacks: {listed(unknown)}")
        pixels = self._pixels([path for paths in files for path in paths])
        height, width = pixels.shape[1:3]
        x, n = pixels.reshape(len(pixels), -1), len(files[0])
        y = [class_positions(own, classes) for own in labels]
        about = (f"{len(x):,} images, {height} × {width} {self.color}", *filter(None, notes))
        return Raw(
            x=x[:n], y=y[0], classes=classes, about=about,
            image_shape=(height, width) if self.color == "grey" else None,
            test_x=x[n:] if is_split else None, test_y=y[1] if is_split else None,
            image_form=ImageForm(height, width, self.color, resize=self.size is not None),
        )  # fmt: skip

    def _pixels(self, paths: Sequence[Path]) -> np.ndarray:
        """The pixels (N, h, w) or (N, h, w, 3). Raises `DataError` that names all files that cannot be read."""
        size = None if self.size is None else (self.size[0], self.size[1])
        found, faults = [], []
        for path in paths:
            try:
                found.append(read_image(path, self.color, size))
            except DataError as error:
                faults.append(str(error))
        if faults:
            more = [f"and {len(faults) - _SHOWN} more"] * (len(faults) > _SHOWN)
            head = f"{len(faults)} of {len(paths)} images in {self.path} cannot be used:"
            raise DataError("\n  - ".join([head, *faults[:_SHOWN], *more]))
        sizes = Counter(image.shape[:2] for image in found).most_common()
        if len(sizes) > 1:
            shown = listed([f"{height} × {width} ({n:,} images)" for (height, width), n in sizes], _SHOWN)
            raise DataError(
                f"{self.path} has images of {len(sizes)} sizes (height × width): {shown}; to make them equal, type "
                f"'data.size=[{sizes[0][0][0]},{sizes[0][0][1]}]'"
            )
        return np.stack(found)


def _images(folder: Path) -> tuple[list[Path], str]:
    """The image files of all classes, by class and name, and a note of what was left out."""
    try:
        classes = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        raise DataError(f"data.path: {folder.absolute()} is no folder that can be read ({error.strerror})") from error
    inside = [path for each in classes for path in sorted(each.iterdir()) if not path.name.startswith(".")]
    files = [path for path in inside if path.is_file() and is_image(path)]
    with_images = {path.parent for path in files}
    if not files:
        raise DataError(
            f"{folder} must have a folder for each class with files {', '.join(SUFFIXES)}; its folders are "
            f"{listed([path.name for path in classes]) or 'none'}"
        )
    if empty := [path.name for path in classes if path not in with_images]:
        raise DataError(f"{folder} has folders without images ({', '.join(SUFFIXES)}): {listed(empty)}; remove them")
    others = [path.name for path in inside if path not in set(files)]
    return files, f"left out, since no images: {len(others):,} files ({listed(others)})" if others else ""
