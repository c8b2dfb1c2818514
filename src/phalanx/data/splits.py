"""Seeded, stratified splits. scikit-learn's take seconds to import and reject a class with a single member."""

import numpy as np
import torch

from phalanx.core.seeding import generator


def stratified(y_N: np.ndarray, n_take: int, seed: int, purpose: str) -> tuple[np.ndarray, np.ndarray]:
    """Draws a stratified random sample; returns the row numbers of the sample and of the others, in random order.

    Each class contributes its share, rounded by largest remainder, so that counts differ from exact shares by less than
    one.

    Args:
        y_N: The class of each row.
        n_take: The number of rows to draw.
        seed: The seed of the order.
        purpose: Distinguishes several draws with one seed.
    """
    order = torch.randperm(len(y_N), generator=generator(seed, "split", purpose)).numpy()
    _, counts = np.unique(y_N, return_counts=True)
    exact = counts * (n_take / len(y_N))
    take = np.floor(exact).astype(int)
    by_remainder = np.argsort(-(exact - take), kind="stable")
    take[by_remainder[: n_take - take.sum()]] += 1
    # Rows by class, in random order inside each: the first `take` of each class are drawn.
    by_class = np.argsort(y_N[order], kind="stable")
    place = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    taken = np.zeros(len(y_N), dtype=bool)
    taken[by_class[place < np.repeat(take, counts)]] = True
    return order[taken], order[~taken]


def unstratified(y_N: np.ndarray, n_take: int, seed: int, purpose: str) -> tuple[np.ndarray, np.ndarray]:
    """Draws a random sample whatever the classes; as `stratified` else."""
    order = torch.randperm(len(y_N), generator=generator(seed, "split", purpose)).numpy()
    return order[:n_take], order[n_take:]
