"""Which members an ensemble has and with which weights, from their class probabilities on the validation rows.

Where these rows choose (`greedy`, `best`), an ensemble is never worse on them than the best of its candidates. The
seeds of one point are averaged without a choice: on a few hundred rows the best seed leads by luck. Their average is
never worse in mean log p than they are in the mean, since the logarithm is concave.
Axes: K candidates, N rows, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from phalanx.core.metrics import find_metric, split_name
from phalanx.core.seeding import derive
from phalanx.nn.metrics.compute import Wanted
from phalanx.nn.metrics.from_counts import count_classes
from phalanx.runs.manifest import WAYS

SEEDS, GREEDY, BEST = WAYS
PARTS = 5  # of the validation rows, for the estimate of `cross_fitted`

Score = tuple[float, float]  # the measure, so that more is better, and among equal ones the mean log p of the class


@dataclass(frozen=True)
class Measure:
    """What members are chosen by: a metric without its split, as of a trial's objective."""

    name: str

    @classmethod
    def of(cls, objective: str) -> Measure:
        """That of an objective. Losses are different functions for different trials, so likelihood stands for them."""
        name = split_name(objective)[1]
        return cls("likelihood" if name == "loss" else name)

    @property
    def sign(self) -> int:
        """1 if more is better, else -1."""
        info = find_metric(self.name)
        return -1 if info is not None and info.direction == "minimize" else 1

    def value(self, p_NC: np.ndarray, y_N: np.ndarray) -> float:
        """The metric of class probabilities, float64 (N, C), for the true classes, int64 (N,)."""
        return metrics_of(p_NC, y_N, [self.name])[self.name]

    def score(self, p_NC: np.ndarray, y_N: np.ndarray) -> Score:
        """What is compared; a metric that is not defined is the worst."""
        found = metrics_of(p_NC, y_N, [self.name, "loss"])
        value = self.sign * found[self.name]
        return (-math.inf if math.isnan(value) else value), -found["loss"]


def mean_log_p(p_NC: np.ndarray, y_N: np.ndarray) -> float:
    """The mean log-probability of the true class; -inf where one has none."""
    with np.errstate(divide="ignore"):
        return float(np.log(p_NC[np.arange(len(y_N)), y_N]).mean())


def metrics_of(p_NC: np.ndarray, y_N: np.ndarray, names: Sequence[str]) -> dict[str, float]:
    """Metrics of class probabilities by name, without their split; `loss` is the mean -log p of the true class.

    Args:
        p_NC: Class probabilities, float64.
        y_N: The true classes, int64.
        names: The metrics.

    Raises:
        RequestError: A metric of the user's own fails.
    """
    class_N = p_NC.argmax(1)
    log_p = mean_log_p(p_NC, y_N)
    found = {"loss": -log_p, "accuracy": float((class_N == y_N).mean()), "likelihood": math.exp(log_p)}
    wanted = Wanted.of(names)
    if wanted.names:
        counts_3C = count_classes(
            torch.from_numpy(class_N)[None], torch.from_numpy(y_N)[None], p_NC.shape[1]
        )[0].numpy()  # fmt: skip
        with np.errstate(divide="ignore"):
            found |= wanted.compute(counts_3C, np.log(p_NC).astype(np.float32), y_N)
    return {name: found[name] for name in names}


@dataclass(frozen=True)
class Choice:
    """The members of an ensemble.

    Attributes:
        weights_K: Of each candidate; 0 for those that are no member, 1 in sum.
        path: What greedy selection drew, in order; empty for the other ways.
    """

    weights_K: np.ndarray
    path: tuple[int, ...] = ()

    @property
    def members(self) -> list[int]:
        """The places of the members, the largest weight first."""
        order = sorted(range(len(self.weights_K)), key=lambda k: (-self.weights_K[k], k))
        return [k for k in order if self.weights_K[k] > 0]


def mean_of(p_KNC: np.ndarray, weights_K: np.ndarray) -> np.ndarray:
    """The weighted mean (N, C) of the candidates' probabilities, for weights whose sum is not 0."""
    used_K = np.flatnonzero(weights_K)
    mean_NC: np.ndarray = np.tensordot(weights_K[used_K] / weights_K[used_K].sum(), p_KNC[used_K], 1)
    return mean_NC


def choose(how: str, p_KNC: np.ndarray, y_N: np.ndarray, measure: Measure, n_members: int) -> Choice:
    """Chooses the members.

    Args:
        how: `seeds` takes all candidates, `best` as many of the best ones as give the best plain mean, and `greedy` is
            the function of that name.
        p_KNC: The candidates' class probabilities, float64.
        y_N: The true classes, int64.
        measure: By what.
        n_members: At most so many members of `best`, or draws of `greedy`.
    """
    if how == SEEDS:
        return Choice(np.full(len(p_KNC), 1 / len(p_KNC)))
    scores = [measure.score(p_NC, y_N) for p_NC in p_KNC]
    if how == GREEDY:
        found = greedy(p_KNC, y_N, measure, n_members)
    else:
        order = sorted(range(len(p_KNC)), key=lambda k: (-scores[k][0], -scores[k][1], k))[:n_members]
        means = np.cumsum(p_KNC[order], 0) / np.arange(1, len(order) + 1)[:, None, None]
        together = [measure.score(p_NC, y_N) for p_NC in means]
        n_taken = together.index(max(together)) + 1
        found = Choice(np.bincount(order[:n_taken], minlength=len(p_KNC)) / n_taken)
    if measure.score(mean_of(p_KNC, found.weights_K), y_N)[0] >= max(scores)[0]:
        return found
    return Choice(np.eye(len(p_KNC))[scores.index(max(scores))])  # where rounding makes the mean worse


def greedy(p_KNC: np.ndarray, y_N: np.ndarray, measure: Measure, n_draws: int) -> Choice:
    """Draws candidates with replacement, each time the one with which the mean of all drawn so far is best, and keeps
    the draws up to the best mean (Caruana et al., Ensemble selection from libraries of models, ICML 2004).

    Args:
        p_KNC: The candidates' class probabilities, float64.
        y_N: The true classes, int64.
        measure: By what; among equal ones the earliest candidate is drawn.
        n_draws: How many are drawn.
    """
    sum_NC, path, scores = np.zeros(p_KNC.shape[1:]), list[int](), list[Score]()
    for n_drawn in range(1, n_draws + 1):
        found = [measure.score((sum_NC + p_NC) / n_drawn, y_N) for p_NC in p_KNC]
        scores.append(max(found))
        path.append(found.index(scores[-1]))
        sum_NC += p_KNC[path[-1]]
    kept = path[: scores.index(max(scores)) + 1]
    return Choice(np.bincount(kept, minlength=len(p_KNC)) / len(kept), tuple(kept))


def gains(p_KNC: np.ndarray, y_N: np.ndarray, measure: Measure, choice: Choice) -> dict[int, float]:
    """What each member adds to the measure: that of the ensemble less that of the others with their weights.

    Args:
        p_KNC: The candidates' class probabilities, float64.
        y_N: The true classes, int64.
        measure: The measure, whose values are subtracted as they are.
        choice: The members.

    Returns:
        By the member's place; the measure itself of an only one.
    """
    whole = measure.value(mean_of(p_KNC, choice.weights_K), y_N)
    found = dict[int, float]()
    for k in choice.members:
        others_K = choice.weights_K.copy()
        others_K[k] = 0
        found[k] = whole - measure.value(mean_of(p_KNC, others_K), y_N) if others_K.any() else whole
    return found


def cross_fitted(
    p_KNC: np.ndarray, y_N: np.ndarray, measure: Measure, choose_from: Callable[[np.ndarray, np.ndarray], Choice]
) -> float | None:
    """The measure on rows that did not choose: of `PARTS` parts of the rows each is predicted by the members that the
    other rows choose. What it lacks to the measure on the rows that chose is the winner's curse of this choice.

    Args:
        p_KNC: The candidates' class probabilities, float64.
        y_N: The true classes, int64.
        measure: The measure.
        choose_from: Chooses from the probabilities (K, n, C) and classes (n,) of some of the rows.

    Returns:
        The measure of all rows' predictions; None of fewer rows than two a part.
    """
    if len(y_N) < 2 * PARTS:
        return None
    part_N = np.random.default_rng(derive(0, "ensemble", "parts")).permutation(len(y_N)) % PARTS
    p_NC = np.empty(p_KNC.shape[1:])
    for part in range(PARTS):
        here_N = part_N == part
        p_NC[here_N] = mean_of(p_KNC[:, here_N], choose_from(p_KNC[:, ~here_N], y_N[~here_N]).weights_K)
    return measure.value(p_NC, y_N)
