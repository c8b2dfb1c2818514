"""Percentile bootstrap over the samples of a split. Axes: N samples, R resamples, K quantities."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch

RESAMPLES = 1000
LEVEL = 0.95
_KEPT = 2048  # samples up to which the counts are kept for the next trial: 16 MB


class Interval(NamedTuple):
    """A 95 % interval."""

    low: float
    high: float

    @classmethod
    def of(cls, draws_R: np.ndarray) -> Interval:
        """The interval that leaves out 2.5 % of the draws at each end."""
        low, high = np.quantile(draws_R, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return cls(float(low), float(high))


def counted(n_samples: int) -> Iterator[np.ndarray]:
    """How often each sample is in each of `RESAMPLES` resamples with replacement, (N,); always the same ones."""
    if n_samples <= _KEPT:
        yield from _kept(n_samples)
    else:
        yield from _drawn(n_samples)


def _drawn(n_samples: int) -> Iterator[np.ndarray]:
    random = np.random.default_rng(0)
    for _ in range(RESAMPLES):
        yield np.bincount(random.integers(n_samples, size=n_samples), minlength=n_samples).astype(np.float64)


@lru_cache(maxsize=1)
def _kept(n_samples: int) -> np.ndarray:
    return np.stack([*_drawn(n_samples)])


def resampled(values_NK: np.ndarray) -> np.ndarray:
    """The means of K quantities over each resample, (R, K)."""
    n_samples = len(values_NK)
    if n_samples <= _KEPT:
        # By torch, whose threads the caller has set; those of numpy's BLAS would compete with them.
        sums_RK = torch.from_numpy(_kept(n_samples)) @ torch.from_numpy(np.ascontiguousarray(values_NK, np.float64))
        return sums_RK.numpy() / n_samples
    return np.stack([weights_N @ values_NK / n_samples for weights_N in _drawn(n_samples)])
