"""Reads image files as pixels, for training and for prediction alike.

Axes: h × w pixels, 3 colours.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from phalanx.core.errors import DataError
from phalanx.data.array_file import opened_data

SUFFIXES = (".png", ".jpg", ".jpeg")
MODES = {"grey": "L", "rgb": "RGB"}  # how PIL calls the colours that an image may be read in


@dataclass(frozen=True)
class ImageForm:
    """The images that a model takes; with `resize` those of other sizes are made equal to it, else they are refused."""

    height: int
    width: int
    color: str = "grey"
    resize: bool = False

    def __post_init__(self) -> None:
        """Raises `ValueError` for what no image has, since a model file may be anybody's."""
        if not (isinstance(self.height, int) and isinstance(self.width, int) and min(self.height, self.width) > 0):
            raise ValueError("the height and width of its images must be whole numbers above 0")
        if self.color not in MODES:
            raise ValueError(f"the colour of its images must be one of {', '.join(MODES)}, got {self.color!r}")

    @property
    def n_numbers(self) -> int:
        """The numbers of one image."""
        return self.height * self.width * (1 if self.color == "grey" else 3)

    def read(self, path: Path) -> np.ndarray:
        """The pixels of a file in this form, uint8 (h, w) or (h, w, 3). Raises `DataError` if it does not fit."""
        found = read_image(path, self.color, (self.height, self.width) if self.resize else None)
        if found.shape[:2] != (self.height, self.width):
            wanted, got = f"{self.width} × {self.height}", f"{found.shape[1]} × {found.shape[0]}"
            raise DataError(f"{path} must be {wanted} pixels (width × height), got {got}; resize it")
        return found


def read_image(path: Path, color: str, size: tuple[int, int] | None = None) -> np.ndarray:
    """The pixels of an image file, uint8 (h, w) if grey, else (h, w, 3), turned as the camera says.

    Args:
        path: The file.
        color: `grey`, the luminance of colours, or `rgb`.
        size: Height and width that the image gets, each side by itself, by bilinear interpolation; None: its own.

    Raises:
        DataError: The file cannot be read, or its pixels have no one meaning.
    """
    from PIL import Image, ImageOps

    try:
        with opened_data(path) as file, Image.open(file) as opened:
            image = ImageOps.exif_transpose(opened)
            _check(path, image)
            image = image.convert(MODES[color])
            if size is not None and image.size != size[::-1]:
                image = image.resize(size[::-1], Image.Resampling.BILINEAR)
            return np.asarray(image)
    except DataError:  # which is a ValueError
        raise
    except (OSError, SyntaxError, EOFError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} cannot be read as an image: {error}") from error


def _check(path: Path, image: Any) -> None:
    if image.mode not in ("1", "L", "LA", "P", "RGB", "RGBA"):
        raise DataError(f"{path} must be an 8-bit grey-scale or colour image, got mode {image.mode}; convert it")
    if image.has_transparency_data and image.convert("RGBA").getchannel("A").getextrema()[0] < 255:
        raise DataError(f"{path} is partly transparent, so its grey levels are not known; flatten it")


def is_image(path: Path) -> bool:
    """Whether a file is one of those that are read, by its name."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
