"""Baselines: classifiers of other libraries as options of the group model, fitted whole instead of trained by epochs.

Axes: N samples, D features, C classes.
"""

from __future__ import annotations

import functools
import importlib
import io
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from phalanx.core.errors import Fault, RequestError
from phalanx.core.quantities import number
from phalanx.core.reading import MAX_DATA
from phalanx.core.specs import keys_of
from phalanx.nn.models.base import ModelSpec
from phalanx.nn.models.layout import Layout

STATE = "estimator"  # the name of the tensor with the bytes that skops writes
SMALLEST = np.finfo(np.float64).eps  # the lowest probability that counts, as in scikit-learn's log_loss
ROWS = 512  # computed at once, always as many, so that a row alone and among others has the same last bits
KEPT = 4  # estimators that were read last, which need not be read again


@dataclass(frozen=True, kw_only=True)
class EstimatorSpec(ModelSpec):
    """Base of all baselines. To add one, write a file with a subclass that defines `new`, and a YAML file.

    A baseline has no loss, optimizer, schedule or epochs of its own: `training.spec.TrialSpec` replaces these by
    neutral ones, so that they are equal for all trials of a baseline. Its logits are log-probabilities.
    """

    wide: ClassVar[bool] = False  # whether it is fitted in float64; else in float32, in which the rows are
    library: ClassVar[str] = "scikit-learn"  # what fits it
    trusted: ClassVar[tuple[str, ...]] = ()  # types of its state that skops does not know to be safe

    def new(self, seed: int) -> Any:
        """The estimator, with scikit-learn's interface, with the options of this spec, not fitted.

        Args:
            seed: Its `random_state`.
        """
        raise NotImplementedError

    def size(self, fitted: Any) -> int:
        """How many numbers, or nodes of trees, were fitted: what stands as the number of parameters."""
        raise NotImplementedError

    def unsound(self, fitted: Any, n_features: int) -> str:
        """What in a fitted estimator from a file would let it read memory that is not its own; empty if nothing.

        Args:
            fitted: The estimator.
            n_features: D of the rows that it will get.
        """
        return ""

    def faults(self, n_rows: int, n_classes: int) -> list[Fault | str]:
        """Why this baseline cannot be fitted to such rows.

        Args:
            n_rows: The number of training rows.
            n_classes: How many classes are among them.
        """
        return []

    @property
    def traits(self) -> str:
        """The options, as a title has them."""
        pairs = [(field.name, getattr(self, field.name)) for field in keys_of(self)]
        given = [(name, value) for name, value in pairs if value not in (None, "none")]
        return " ".join(f"{name}={number(v) if isinstance(v, float) else v}" for name, v in given)

    def layout(self, n_features: int, n_classes: int) -> Layout:
        """No tensors: what was fitted is not a row of numbers."""
        return Layout((), ())

    def train(self, x_ND: Tensor, y_N: Tensor, seed: int) -> tuple[Any, list[str]]:
        """Fits the estimator with one thread.

        Args:
            x_ND: Encoded training rows.
            y_N: Their classes.
            seed: Its `random_state` is the seed modulo 2**32, which is what scikit-learn takes.

        Returns:
            The fitted estimator, and what its library warned of.
        """
        with one_thread(self), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            fitted = self.new(seed % 2**32).fit(self._rows(x_ND), y_N.numpy())
        said = dict.fromkeys(str(warning.message).partition("\n")[0] for warning in caught)
        return fitted, [f"{self.library}: {text}" for text in said]

    def log_probabilities(self, fitted: Any, x_ND: Tensor, n_classes: int) -> Tensor:
        """Log-probabilities, float32 (N, C). A class that has no training row, and any other of probability 0, counts
        as 2.2e-16, as in scikit-learn's `log_loss`.

        Args:
            fitted: The fitted estimator.
            x_ND: Encoded rows.
            n_classes: C.
        """
        p_NC = np.zeros((len(x_ND), n_classes))
        columns = np.asarray(fitted.classes_, dtype=np.int64)
        with one_thread(self):
            for start in range(0, len(x_ND), ROWS):
                x_BD = x_ND[start : start + ROWS]
                filled_BD = torch.nn.functional.pad(x_BD, (0, 0, 0, ROWS - len(x_BD)))
                p_NC[start : start + len(x_BD), columns] = fitted.predict_proba(self._rows(filled_BD))[: len(x_BD)]
        return torch.from_numpy(np.log(np.maximum(p_NC, SMALLEST)).astype(np.float32))

    def logits(self, state: Mapping[str, Tensor], x_ND: Tensor, n_classes: int) -> Tensor:
        """As `log_probabilities`, from a `state`. Raises `RequestError` if it is none of this baseline."""
        return self.log_probabilities(self.fitted(state, x_ND.shape[1], n_classes), x_ND, n_classes)

    def state(self, fitted: Any, x_ND: Tensor, y_N: Tensor) -> dict[str, Tensor]:
        """A fitted estimator as tensors, for a file.

        Args:
            fitted: The fitted estimator.
            x_ND: The rows that it was fitted to.
            y_N: Their classes.
        """
        content = _skops().dumps(fitted, compression=zipfile.ZIP_DEFLATED, compresslevel=1)
        return {STATE: torch.frombuffer(bytearray(content), dtype=torch.uint8)}

    def fitted(self, state: Mapping[str, Tensor], n_features: int, n_classes: int) -> Any:
        """The estimator that a state holds. No code from it is run, and no type that is not trusted is made.

        Args:
            state: As of `state`.
            n_features: D of the rows that it has to take.
            n_classes: C of the data.

        Raises:
            RequestError: The state is none of this baseline, is damaged, or asks for other types.
        """
        if sorted(state) != [STATE] or state[STATE].dtype != torch.uint8 or state[STATE].ndim != 1:
            raise RequestError(f"model={self.name} has its state in one tensor of bytes, {STATE}; got {sorted(state)}")
        return _read(self, state[STATE].numpy().tobytes(), n_features, n_classes)

    def _rows(self, x_ND: Tensor) -> np.ndarray:
        rows_ND: np.ndarray = x_ND.numpy()
        return rows_ND.astype(np.float64) if self.wide else rows_ND


def one_thread(spec: EstimatorSpec) -> AbstractContextManager[Any]:
    """Has BLAS and OpenMP use one thread, so that the same numbers come from any machine and beside any neighbour.

    Args:
        spec: The baseline, whose libraries these are.
    """
    limited: AbstractContextManager[Any] = load_libraries(spec).limit(limits=1)
    return limited


@functools.lru_cache(maxsize=32)
def load_libraries(spec: EstimatorSpec) -> Any:
    """Imports what a baseline needs, which may take seconds; returns what limits its threads."""
    spec.new(0)
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()  # finds the libraries that are loaded now


@functools.lru_cache(maxsize=KEPT)
def _read(spec: EstimatorSpec, content: bytes, n_features: int, n_classes: int) -> Any:
    """The estimator in `content`; see `EstimatorSpec.fitted`."""
    skops = _skops()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(info.file_size for info in archive.infolist()) > MAX_DATA:
                raise ValueError("it is larger than any file that is read")
        odd = sorted(set(skops.get_untrusted_types(data=content)) - set(spec.trusted))
        if odd:
            raise RequestError(
                f"its state asks for types that model={spec.name} does not have, and is not loaded: {', '.join(odd)}"
            )
        fitted = skops.loads(content, trusted=list(spec.trusted))
        fault = _fault(spec, fitted, n_features, n_classes)
    except RequestError:
        raise
    except Exception as error:
        raise RequestError(f"the state of model={spec.name} cannot be read: {type(error).__name__}: {error}") from error
    if fault:
        raise RequestError(f"the state of model={spec.name} is not sound: {fault}")
    return fitted


def _skops() -> Any:
    """skops, which is imported for the state of a baseline alone. Raises `RequestError` where it is not installed."""
    try:
        return importlib.import_module("skops.io")
    except ModuleNotFoundError as error:
        raise RequestError(f"baselines are written and read by skops: {error}; type pip install skops") from error


def _fault(spec: EstimatorSpec, fitted: Any, n_features: int, n_classes: int) -> str:
    expected = type(spec.new(0))
    if type(fitted) is not expected:
        return f"it is a {type(fitted).__name__} instead of a {expected.__name__}"
    classes = np.asarray(fitted.classes_)
    if classes.ndim != 1 or classes.dtype.kind != "i" or not set(classes.tolist()) <= set(range(n_classes)):
        return f"its classes are {classes.tolist()}, those of the data are 0 to {n_classes - 1}"
    if (given := getattr(fitted, "n_features_in_", n_features)) != n_features:
        return f"it takes {given} features, the rows have {n_features}"
    if hasattr(fitted, "n_jobs"):
        fitted.n_jobs = 1
    return spec.unsound(fitted, n_features)


def unsound_nodes(
    left_N: np.ndarray, right_N: np.ndarray, feature_N: np.ndarray, inner_N: np.ndarray, n_features: int
) -> bool:
    """Whether a walk through these nodes of a tree could leave them, not end, or read a column that is not there.

    Args:
        left_N: The left child of each node.
        right_N: The right one.
        feature_N: The column that it looks at.
        inner_N: Whether it has children.
        n_features: D.
    """
    places_N = np.arange(len(inner_N))
    behind = (left_N > places_N) & (right_N > places_N) & (np.maximum(left_N, right_N) < len(inner_N))
    return bool((inner_N & ~(behind & (feature_N >= 0) & (feature_N < n_features))).any()) or not len(inner_N)


def balanced(class_weight: str) -> str | None:
    """The option `class_weight` as scikit-learn takes it."""
    return None if class_weight == "none" else class_weight


CLASS_WEIGHTS: Sequence[str] = ("none", "balanced")
