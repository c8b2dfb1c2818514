"""A user's arrays: a file of `numpy.savez` with samples, their classes and, where it has one, a test split.

Axes: N samples, D features, h × w pixels.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from phalanx.core.advice import override
from phalanx.core.errors import DataError, Fault
from phalanx.core.specs import static
from phalanx.data.array_file import open_arrays
from phalanx.data.base import DataSpec, Raw
from phalanx.data.encoders import Features, array_features
from phalanx.data.samples import raw_of
from phalanx.data.scaling import ARRAY_SCALINGS, scaling_faults

NAMES = {  # by option: what such an array is usually called
    "x": ("x", "X", "x_train", "X_train", "train_x", "train_images", "images", "data", "arr_0"),
    "y": ("y", "Y", "y_train", "train_y", "train_labels", "labels", "target", "arr_1"),
    "test_x": ("test_x", "x_test", "X_test", "test_images"),
    "test_y": ("test_y", "y_test", "test_labels"),
}
NONE = "none"  # the value of an option that leaves the test split out


@dataclass(frozen=True, kw_only=True)
class Npz(DataSpec):
    """Numbers (N, D), images (N, h, w) or (N, h, w, channels), and a class for each: a whole number or a text."""

    name: ClassVar[str] = "npz"
    path: str = static(determines_numbers=False, advice="FILE.npz")
    title: str | None = static(None, determines_numbers=False)
    x: str | None = static(None)
    y: str | None = static(None)
    test_x: str | None = static(None)
    test_y: str | None = static(None)
    normalize: str = static("feature", choices=("global", "feature", "none"))
    scaling: str = static("standard", choices=ARRAY_SCALINGS, neutral=True)

    def conflicts(self) -> list[Fault | str]:
        return [*super().conflicts(), *scaling_faults(self.scaling, self.normalize)]

    def features(self) -> Features:
        return array_features(self.normalize, self.scaling)

    def read(self) -> Raw:
        """All samples, x of shape (N, D) in the file's own type; classes are sorted as numbers or alphabetically."""
        path = Path(os.path.expanduser(self.path))
        try:
            with open_arrays(path) as arrays:
                if isinstance(arrays, np.ndarray):
                    raise DataError(
                        f"{path} holds one array without a name; data=npz needs samples and classes, "
                        "as numpy.savez('file.npz', x=x, y=y) writes them"
                    )
                names = self._names(path, arrays)
                found = {option: arrays[name] for option, name in names.items()}
        except FileNotFoundError as error:
            raise DataError(f"data.path: there is no file {path.absolute()}; type data.path=FILE.npz") from error
        return raw_of(found, names, str(path))

    def _names(self, path: Path, arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
        """The name of the array of each option. Raises `DataError` with all that are not there or not clear."""
        names, faults = {}, []
        for option, usual in NAMES.items():
            asked = getattr(self, option)
            found = [name for name in usual if name in arrays] if asked is None else [asked]
            if asked == NONE or (not found and option.startswith("test_")):
                continue
            if len(found) == 1 and found[0] in arrays:
                names[option] = found[0]
                continue
            allowed = "its arrays are " + (", ".join(arrays) or "none")
            what = f"has no array {found[0]!r}" if len(found) == 1 else "may be " + " or ".join(found)
            what = what if found else "is not clear from the names"
            faults.append(
                f"data.{option} {what}; {allowed}; type {override(f'data.{option}', _free(arrays, names, usual))}"
            )
        if ("test_x" in names) != ("test_y" in names) and not faults:
            lacking = "test_y" if "test_x" in names else "test_x"
            faults.append(
                f"data.{lacking} is missing for the test split; name its array, or leave the split out: "
                f"data.{'test_x' if lacking == 'test_y' else 'test_y'}={NONE}"
            )
        if faults:
            raise DataError("\n  - ".join([f"{path} cannot be used:", *faults]))
        return names


def _free(arrays: Mapping[str, np.ndarray], taken: Mapping[str, str], usual: Sequence[str]) -> str:
    """An array that no option has yet, with a usual name if there is one."""
    return next((name for name in (*usual, *arrays) if name in arrays and name not in taken.values()), "NAME")
