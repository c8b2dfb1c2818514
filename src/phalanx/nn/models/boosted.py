"""Boosted trees of packages that are installed apart from Phalanx: what these have in common.

Axes: N samples, D features, C classes.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from phalanx.core.errors import Fault, RequestError, UnreadableFile
from phalanx.core.reading import parse_json
from phalanx.nn.models.estimator import KEPT, STATE, EstimatorSpec

CLASSES = "classes"  # the name of the tensor with the classes (C,) that have training rows, in the order of the columns
Probabilities = Callable[[np.ndarray], np.ndarray]  # of rows (N, D): (N, C), or those of the second of two classes (N,)


@dataclass(frozen=True)
class Trees:
    """Fitted trees, from a file or just fitted, which is the same: both are read from the content of a file."""

    classes_: np.ndarray
    content: bytes
    n_nodes: int
    probabilities: Probabilities

    def predict_proba(self, x_ND: np.ndarray) -> np.ndarray:
        """Class probabilities (N, C), as scikit-learn's estimators give them, of rows (N, D)."""
        p = np.asarray(self.probabilities(x_ND), dtype=np.float64)
        return np.stack([1 - p, p], axis=1) if p.ndim == 1 else p


@dataclass(frozen=True, kw_only=True)
class BoostedSpec(EstimatorSpec):
    """Base of the baselines that a package of boosted trees fits, which has the name of the option.

    Its state is the package's own text, of which only what has been checked to be a sound forest gets to the package.
    """

    distribution: ClassVar[str] = ""  # what pip installs

    def written(self, estimator: Any) -> bytes:
        """What the package has fitted, as the text that `read` takes.

        Args:
            estimator: The estimator of `new`, fitted to classes 0 to C - 1.
        """
        raise NotImplementedError

    def read(self, content: bytes, n_features: int, n_classes: int) -> tuple[Probabilities, int]:
        """Checks what `written` wrote, and has the package read it.

        Args:
            content: The text, which anyone may have changed.
            n_features: D.
            n_classes: C, of the classes that had training rows.

        Returns:
            What computes the probabilities, and the number of nodes of all trees.

        Raises:
            ValueError: The content is anything but what `written` writes for these options.
        """
        raise NotImplementedError

    def train(self, x_ND: Tensor, y_N: Tensor, seed: int) -> tuple[Any, list[str]]:
        """See `EstimatorSpec.train`. The package takes the seed modulo 2**31."""
        classes, places_N = np.unique(y_N.numpy(), return_inverse=True)
        estimator, notes = super().train(x_ND, torch.from_numpy(places_N), seed % 2**31)
        content = self.written(estimator)
        return _read(self, content, tuple(classes.tolist()), x_ND.shape[1]), notes

    def size(self, fitted: Any) -> int:
        """The nodes of all trees, leaves among them."""
        return int(fitted.n_nodes)

    def state(self, fitted: Any, x_ND: Tensor, y_N: Tensor) -> dict[str, Tensor]:
        """See `EstimatorSpec.state`."""
        content = torch.frombuffer(bytearray(fitted.content), dtype=torch.uint8)
        return {STATE: content, CLASSES: torch.from_numpy(fitted.classes_)}

    def fitted(self, state: Mapping[str, Tensor], n_features: int, n_classes: int) -> Any:
        """See `EstimatorSpec.fitted`."""
        found = {name: (tensor.dtype, tensor.ndim) for name, tensor in state.items()}
        if found != {STATE: (torch.uint8, 1), CLASSES: (torch.int64, 1)}:
            raise RequestError(f"model={self.name} has its state in the tensors {STATE} and {CLASSES}; got {found}")
        classes = state[CLASSES].tolist()
        if len(classes) < 2 or classes != sorted({*classes} & {*range(n_classes)}):
            raise RequestError(
                f"the state of model={self.name} is not sound: its classes are {classes}, those of the data are 0 to "
                f"{n_classes - 1}"
            )
        return _read(self, state[STATE].numpy().tobytes(), tuple(classes), n_features)

    def faults(self, n_rows: int, n_classes: int) -> list[Fault | str]:
        """It needs its package, and two classes."""
        faults: list[Fault | str] = []
        if importlib.util.find_spec(self.name) is None:
            faults.append(missing(self))
        if n_classes < 2:
            allowed = "a model that can be fitted to rows of one class"
            faults.append(Fault("model.name", self.name, allowed, "model=majority"))
        return faults


def missing(spec: BoostedSpec) -> str:
    """What to type where the package of a baseline is not installed."""
    return f"model={spec.name} needs the package {spec.name}; type pip install {spec.distribution}"


def package(spec: BoostedSpec) -> Any:
    """The package of a baseline, which is imported for its fits and predictions alone.

    Raises:
        RequestError: It is not installed, or cannot be imported.
    """
    try:
        return importlib.import_module(spec.name)
    except ModuleNotFoundError as error:
        raise RequestError(missing(spec)) from error
    except Exception as error:  # a library of the system that is missing, mostly
        raise RequestError(f"model={spec.name}: its package cannot be imported: {error}") from error


def strict_json(content: bytes) -> Any:
    """JSON from a file, whose numbers `numbers` checks. Raises `ValueError` if it is none."""
    try:
        return parse_json(content.decode(), "it")
    except UnreadableFile as error:
        raise ValueError(error.fault) from error


def numbers(given: Any, length: int, name: str, *, whole: bool = False) -> np.ndarray:
    """A list of JSON as an array, int64 or float64.

    Args:
        given: What stands where a list should be.
        length: How many numbers it has to have.
        name: Its name, for the message.
        whole: Whether they are whole numbers.

    Raises:
        ValueError: It is anything else, or a number is not finite.
    """
    kinds = (int,) if whole else (int, float)
    if not isinstance(given, list) or len(given) != length or not {*map(type, given)} <= {*kinds}:
        raise ValueError(f"{name} is no row of as many numbers as it needs")
    values = np.array(given, dtype=np.int64 if whole else np.float64)
    if not np.isfinite(values).all():
        raise ValueError(f"{name} has numbers that are not finite")
    return values


@functools.lru_cache(maxsize=KEPT)
def _read(spec: BoostedSpec, content: bytes, classes: tuple[int, ...], n_features: int) -> Trees:
    """The trees in `content`. Raises `RequestError` where they are not sound, or the package is not installed."""
    package(spec)
    try:
        probabilities, n_nodes = spec.read(content, n_features, len(classes))
    except RequestError:
        raise
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        raise RequestError(f"the state of model={spec.name} is not sound or of another version: {why}") from error
    return Trees(np.array(classes, dtype=np.int64), content, n_nodes, probabilities)
