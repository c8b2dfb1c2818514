"""How much each source of variance moves a result: splits, folds of a split, and seeds on them.

Axes: G splits, F folds of each, S seeds on each.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from phalanx.analysis.statistics import FOLDS, SEEDS, SPLITS, Place, Repeat

SOURCES = (SPLITS, FOLDS, SEEDS)  # the order of the axes


@dataclass(frozen=True)
class Source:
    """One source of variance.

    Attributes:
        name: `splits`, `folds` or `seeds`.
        levels: How many there are, inside the sources before it: folds of each split, seeds on each fold.
        std: The standard deviation that it causes alone, in the unit of the values.
    """

    name: str
    levels: int
    std: float


def sources_of_variance(values: Mapping[Repeat, float], places: str) -> tuple[Source, ...]:
    """Estimates variance components of results that were trained on several splits or folds, with the same seeds.

    The model is a sum of independent random effects: of the split, of the fold in its split, and of all that another
    seed changes on the same fold. The estimates are those of the balanced analysis of variance (Searle, Casella and
    McCulloch 1992, chapter 4), in which splits and folds are crossed with seeds: seeds have their variance on the same
    fold; the variance of folds is the covariance, over folds, of different seeds, which have only the fold in common;
    that of splits is the covariance of different seeds' means over folds, less the share of the folds in it. An
    estimate below zero counts as zero. With one seed, what seeds do is a part of folds and of splits, and with one
    fold, what folds do is a part of splits.

    Args:
        values: The metric by (place, seed), where the place is a split's seed, a fold, or (split's seed, fold).
        places: What the places are if they are single numbers: `splits` or `folds`.

    Returns:
        The sources with two levels or more, the outermost first; none where values are missing, so that not each
        place has the same seeds or not each split the same folds.
    """
    levels = {(*_split_and_fold(repeat[0], places), repeat[1]) for repeat in values if isinstance(repeat, tuple)}
    axes = [sorted(level) for level in map(set, zip(*levels, strict=True))]
    if not values or len(levels) < len(values) or len(levels) < math.prod(map(len, axes)):
        return ()
    x_GFS = np.empty([len(axis) for axis in axes])
    for repeat, value in values.items():
        place, seed = repeat  # type: ignore[misc]
        at = (*_split_and_fold(place, places), seed)
        x_GFS[tuple(axis.index(level) for axis, level in zip(axes, at, strict=True))] = value
    n_folds = x_GFS.shape[1]
    of_folds = float(np.mean([_shared(x_FS) for x_FS in x_GFS])) if n_folds > 1 else 0.0
    of_splits = _shared(x_GFS.mean(1)) - of_folds / n_folds if len(x_GFS) > 1 else 0.0
    of_seeds = float(x_GFS.var(2, ddof=1).mean()) if x_GFS.shape[2] > 1 else 0.0
    found = zip(SOURCES, x_GFS.shape, (of_splits, of_folds, of_seeds), strict=True)
    return tuple(Source(name, n, math.sqrt(max(0.0, variance))) for name, n, variance in found if n > 1)


def _split_and_fold(place: Place, places: str) -> tuple[int, int]:
    if isinstance(place, tuple):
        split, fold = place
        return split, fold
    return (place, 0) if places == SPLITS else (0, place)


def _shared(x_PS: np.ndarray) -> float:
    """The variance of what different seeds have in common on a place: their covariance over places, mean over pairs of
    seeds; with one seed its variance."""
    n_seeds = x_PS.shape[1]
    if n_seeds == 1:
        return float(x_PS.var(ddof=1))
    own = x_PS.var(0, ddof=1).sum()
    return float((x_PS.sum(1).var(ddof=1) - own) / (n_seeds * (n_seeds - 1)))
