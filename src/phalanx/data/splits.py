"""Seeded, stratified splits. Own code and not scikit-learn's: that import alone costs two seconds, and its
splitter refuses a class with a single member, which a user's table may well have."""

from __future__ import annotations

import numpy as np
import torch

from phalanx.core.seeding import generator


def stratified(y_N: np.ndarray, n_take: int, seed: int, purpose: str) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers of a stratified random sample of `n_take` rows and of the rest, in a seeded order.

    Every class gives its share, rounded by largest remainder, so counts differ from exact shares by less than one.
    """
    order = torch.randperm(len(y_N), generator=generator(seed, "split", purpose)).numpy()
    _, counts = np.unique(y_N, return_counts=True)
    exact = counts * (n_take / len(y_N))
    take = np.floor(exact).astype(int)
    by_remainder = np.argsort(-(exact - take), kind="stable")
    take[by_remainder[: n_take - take.sum()]] += 1
    # Rows by class, in the seeded order inside each: the first `take` of every class are taken.
    by_class = np.argsort(y_N[order], kind="stable")
    place = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    taken = np.zeros(len(y_N), dtype=bool)
    taken[by_class[place < np.repeat(take, counts)]] = True
    return order[taken], order[~taken]
