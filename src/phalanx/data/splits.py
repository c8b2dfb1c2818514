"""Seeded, stratified splits. Own code and not scikit-learn's: that import alone costs two seconds, and its
splitter refuses a class with a single member, which a user's table may well have."""

from __future__ import annotations

import numpy as np
import torch

from phalanx.seeding import generator


def stratified(y_N: np.ndarray, n_take: int, seed: int, purpose: str) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers of a stratified random sample of `n_take` rows and of the rest, in a seeded order.

    Every class gives its share, rounded by largest remainder, so counts differ from exact shares by less than one.
    """
    order = torch.randperm(len(y_N), generator=generator(seed, "split", purpose)).numpy()
    classes, counts = np.unique(y_N, return_counts=True)
    exact = counts * (n_take / len(y_N))
    take = np.floor(exact).astype(int)
    by_remainder = np.argsort(-(exact - take), kind="stable")
    take[by_remainder[: n_take - take.sum()]] += 1
    taken = np.zeros(len(y_N), dtype=bool)
    for label, n in zip(classes, take, strict=True):
        members = order[y_N[order] == label]
        taken[members[:n]] = True
    return order[taken[order]], order[~taken[order]]
