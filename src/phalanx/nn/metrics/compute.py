"""Computes metrics by their names. Axes: T trials, N samples, C classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from phalanx.core.metrics import BASIC
from phalanx.nn.metrics.from_counts import FROM_COUNTS, Counts
from phalanx.nn.metrics.from_probabilities import FROM_PROBABILITIES, Probabilities
from phalanx.nn.metrics.function_metric import own_metrics


@dataclass(frozen=True)
class Wanted:
    """Metrics to compute beside loss, accuracy and likelihood, sorted by what they are computed from."""

    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, names: Sequence[str]) -> Wanted:
        """Those of `names` that are not computed in any case, each once."""
        basic = {info.name for info in BASIC}
        return cls(tuple(name for name in dict.fromkeys(names) if name not in basic))

    @property
    def counts(self) -> bool:
        """Whether any of them needs the counts of the classes."""
        return any(name in FROM_COUNTS for name in self.names)

    @property
    def probabilities(self) -> bool:
        """Whether any of them needs the probabilities of all classes."""
        return any(name not in FROM_COUNTS for name in self.names)

    def without_probabilities(self) -> Wanted:
        """Those that need the counts alone."""
        return Wanted(tuple(name for name in self.names if name in FROM_COUNTS))

    def unknown(self) -> dict[str, float]:
        """NaN for each of them."""
        return dict.fromkeys(self.names, math.nan)

    def compute(
        self, counts_3C: np.ndarray | None, log_p_NC: np.ndarray | None, y_N: np.ndarray | None
    ) -> dict[str, float]:
        """The metrics of one trial.

        Args:
            counts_3C: Its part of `count_classes`; None where no metric needs it.
            log_p_NC: Log-probabilities, float32 (N, C); None where no metric needs them.
            y_N: The true classes, int64 (N,), to these.

        Raises:
            RequestError: A metric of the user's own fails.
        """
        found: dict[str, float] = {}
        if counts_3C is not None:
            counts = Counts.of(counts_3C)
            found |= {name: FROM_COUNTS[name](counts) for name in self.names if name in FROM_COUNTS}
        if log_p_NC is not None and y_N is not None:
            given = Probabilities(log_p_NC, y_N)
            broken = bool(np.isnan(log_p_NC).any())
            for name in self.names:
                if name not in FROM_COUNTS:
                    found[name] = math.nan if broken else _of_probabilities(name, given)
        return {name: found[name] for name in self.names}


def _of_probabilities(name: str, given: Probabilities) -> float:
    function = FROM_PROBABILITIES.get(name)
    return own_metrics()[name](given) if function is None else function(given)
