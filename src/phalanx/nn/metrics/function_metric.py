"""A metric that a user wrote as a function of probabilities and classes: `@phalanx.metric`.

Axes: N samples, C classes.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import torch

from phalanx.core.errors import RequestError
from phalanx.core.extensions import ExtensionError, Source, import_sent, source_of
from phalanx.core.metrics import BASIC, FURTHER, METRICS, SPLITS, MetricInfo
from phalanx.nn.metrics.from_probabilities import Probabilities

F = TypeVar("F", bound=Callable[..., Any])
_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class FunctionMetric:
    """A metric of the user's own."""

    name: str
    function: Callable[..., Any]
    source: Source

    def __call__(self, given: Probabilities) -> float:
        """Its value. Raises `RequestError` if the function fails, or returns something else than one number."""
        try:
            value = self.function(torch.from_numpy(given.p_NC.copy()), torch.from_numpy(given.y_N.copy()))
        except Exception as error:
            raise RequestError(
                f"the metric {self.name} fails: {type(error).__name__}: {error} ({self.source})"
            ) from error
        try:
            return float(value)
        except (TypeError, ValueError, RuntimeError) as error:
            got = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
            raise RequestError(f"the metric {self.name} must return one number, got {got} ({self.source})") from error


@lru_cache(maxsize=1)
def own_metrics() -> dict[str, FunctionMetric]:
    """The metrics that users wrote, by name, as far as they are loaded."""
    return {}


def arrive(name: str, sent: Source) -> None:
    """Loads a metric in another process. Raises `ExtensionError` if it cannot have that code.

    What arrives was sent by the process that leads the sweep, whose user has loaded the file.
    """
    fault = "" if name in own_metrics() else import_sent("metric", name, sent)
    found = own_metrics().get(name)
    if found is None or str(found.source) != str(sent):
        there = f"this process has {found.source}" if found else fault
        raise ExtensionError(f"the metric {name} ({sent}) cannot be used here: {there}")


def metric(direction: str, *, low: float = -math.inf, high: float = math.inf) -> Callable[[F], F]:
    """Makes a function a metric, which `trainer.metrics=[NAME]` and `objective=val_NAME` know; returns it as it is.

    The function takes the class probabilities of a split, float32 (N, C), and its classes, int64 (N,), as tensors on
    the CPU, and returns a number; NaN where the metric is not defined.

    Args:
        direction: `maximize` or `minimize`.
        low: The lowest possible value, which intervals and axes do not pass.
        high: The highest one.

    Raises:
        RequestError: The function takes other arguments, or its name is taken or cannot be typed.

    Examples:
        >>> import phalanx
        >>> @phalanx.metric(direction="maximize", low=0, high=1)  # doctest: +SKIP
        ... def within_one(probabilities, y):
        ...     return ((probabilities.argmax(1) - y).abs() <= 1).float().mean()
    """

    if callable(direction):
        raise ExtensionError('write @phalanx.metric(direction="maximize") or (direction="minimize")')

    def mark(function: F) -> F:
        source, name = source_of(function), function.__name__
        if faults := _faults(function, name, direction, source):
            raise ExtensionError(f"{source.file}: {name} {'; '.join(faults)}")
        METRICS[name] = MetricInfo(name, direction, low, high, source=str(source))
        own_metrics()[name] = FunctionMetric(name, function, source)
        return function

    return mark


def _faults(function: Callable[..., Any], name: str, direction: str, source: Source) -> list[str]:
    faults = []
    if direction not in ("maximize", "minimize"):
        faults.append(f"has direction={direction!r}; allowed are maximize and minimize")
    if not _NAME.fullmatch(name) or name.partition("_")[0] in SPLITS:
        faults.append(f"needs a name of small letters, digits and _ that does not begin with {'_, '.join(SPLITS)}_")
    try:
        inspect.signature(function).bind(None, None)
    except TypeError:
        faults.append("must take probabilities (N, C) and classes (N,), and no further arguments without a default")
    other = own_metrics().get(name)
    again = other is not None and (other.source == source or not other.source.file.is_file())
    if not again and (other is not None or name in {info.name for info in (*BASIC, *FURTHER)}):
        first = f"by {other.source.file}" if other else "by a metric of Phalanx"
        faults.append(f"has a name that is taken {first}; rename one of the two")
    return faults
