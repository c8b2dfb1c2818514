"""Simulated cross-validations and data sets for `error_rates.py`: how often their tests say what is not so.

Two learners are equal in truth, since they differ only in which of two exchangeable features they see. So a difference
that is shown is a false alarm. Axes: S simulations, N rows, M rows to predict, J folds or draws, L learners.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from phalanx.analysis.overlap import correlation_of_values
from phalanx.analysis.posterior import with_probabilities
from phalanx.analysis.ranks import compare_ranks
from phalanx.analysis.statistics import Difference, compare, paired
from phalanx.analysis.student import resolution

N, AT_ONCE = 100, 200  # rows; simulations at once
SHIFT = 0.7  # half the distance of the class means, in standard deviations of a feature

Fold = tuple[np.ndarray, np.ndarray]  # the rows that train, and those that are evaluated


def k_fold(k: int, repeats: int, stream: np.random.Generator, n_rows: int = N) -> list[Fold]:
    parts = [part for _ in range(repeats) for part in np.array_split(stream.permutation(n_rows), k)]
    return [(np.setdiff1d(np.arange(n_rows), part), part) for part in parts]


def draws(n: int, share: float, stream: np.random.Generator, n_rows: int = N) -> list[Fold]:
    parts = [stream.permutation(n_rows)[: round(share * n_rows)] for _ in range(n)]
    return [(np.setdiff1d(np.arange(n_rows), part), part) for part in parts]


def nearest_mean(x_SNL: np.ndarray, y_SN: np.ndarray, rows: np.ndarray, new_SML: np.ndarray) -> np.ndarray:
    """Predicted classes (S, M, L) of the class with the nearer mean: a stable learner."""
    x, y = x_SNL[:, rows], y_SN[:, rows, None]
    one = (x * y).sum(1, keepdims=True) / y.sum(1, keepdims=True)
    zero = (x * (1 - y)).sum(1, keepdims=True) / (1 - y).sum(1, keepdims=True)
    return (new_SML > (one + zero) / 2) == (one > zero)


def nearest_row(x_SNL: np.ndarray, y_SN: np.ndarray, rows: np.ndarray, new_SML: np.ndarray) -> np.ndarray:
    """Predicted classes (S, M, L) of the nearest training row: an unstable learner."""
    found = [np.abs(new_SML[:, :, None, k] - x_SNL[:, None, rows, k]).argmin(2) for k in range(x_SNL.shape[2])]
    return np.stack([np.take_along_axis(y_SN[:, rows], place, 1) for place in found], 2) == 1


LEARNERS = {"stable": nearest_mean, "unstable": nearest_row}


def drawn(n: int, n_rows: int, stream: np.random.Generator, gap: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """`n` times rows with two features, half of them in each class, which are `gap` further apart in the first one."""
    y_SN = np.tile(np.arange(n_rows) % 2, (n, 1))
    return stream.normal(size=(n, n_rows, 2)) + (SHIFT + np.array([gap, 0])) * (2 * y_SN[:, :, None] - 1), y_SN


def accuracies(
    learner: str, folds: list[Fold], on_test: bool, n: int, stream: np.random.Generator, gap: float = 0.0
) -> np.ndarray:
    """The accuracies (S, J, L), on each fold's own rows or on one test split.

    The test split has each row twice, once with the features exchanged, so that the learners are equal on it too.
    """
    found = []
    n_rows = sum(map(len, folds[0]))
    for start in range(0, n, AT_ONCE):
        here = min(AT_ONCE, n - start)
        x_SNL, y_SN = drawn(here, n_rows, stream, gap)
        half, y_half = drawn(here, n_rows // 2, stream)
        test = np.concatenate([half, half[:, :, ::-1]], 1), np.concatenate([y_half, y_half], 1)
        rows = []
        for train, part in folds:
            new, true = test if on_test else (x_SNL[:, part], y_SN[:, part])
            rows.append((LEARNERS[learner](x_SNL, y_SN, train, new) == true[:, :, None]).mean(1))
        found.append(np.stack(rows, 1))
    return np.concatenate(found)


def two(table_JL: np.ndarray) -> dict[str, dict[int, float]]:
    return {str(k): dict(enumerate(column)) for k, column in enumerate(table_JL.T.tolist())}


def shown(tables_SJL: np.ndarray, correlation: float) -> float:
    """The share of comparisons in which a difference is shown."""
    found = 0
    for table_JL in tables_SJL:
        groups = two(table_JL)
        found += compare(groups, "maximize", step=resolution(groups.values()), correlation=correlation)[0].shown
    return found / len(tables_SJL)


def folds_rates(n: int, stream: np.random.Generator) -> Iterator[tuple[str, tuple[float, ...]]]:
    """False alarms over folds: taken for independent, corrected for the training rows that they share, and now; on the
    folds' own rows, then on one test split."""
    kinds = {
        "5 folds": (k_fold(5, 1, stream), 1 / 5, 5, 3 / 4),
        "10 folds, 10 times": (k_fold(10, 10, stream), 1 / 10, 10, 9 / 10),
        "10 draws of a fifth": (draws(10, 0.2, stream), 1 / 5, 1, 4 / 5),
    }
    for learner in LEARNERS:
        for kind, (folds, evaluated, of_division, in_common) in kinds.items():
            n_here = n if len(folds) < 50 else n // 4
            now = correlation_of_values(evaluated, [place // of_division for place in range(len(folds))])
            own, test = (accuracies(learner, folds, on_test, n_here, stream) for on_test in (False, True))
            rates = [shown(own, correlation) for correlation in (0, evaluated, now)]
            yield f"{kind}, {learner}", (*rates, *(shown(test, correlation) for correlation in (0, now, in_common)))


def over_data(n_groups: int, n_data: int, n: int, stream: np.random.Generator) -> tuple[float, float]:
    """False alarms over data sets among equal groups, all pairs, and against a baseline where there are three or more.
    Each data set has a level and a spread of its own."""
    false = np.zeros(2)
    for _ in range(n):
        spread = stream.lognormal(0, 1, n_data)
        values = (stream.normal(0, 5, n_data) + spread * stream.normal(size=(n_groups, n_data))).tolist()
        table = {str(k): row for k, row in enumerate(values)}
        for place, baseline in enumerate((None, "0")):
            false[place] += any(d.shown for d in compare_ranks(table, "maximize", baseline).differences)
    return float(false[0]) / n, float(false[1]) / n


def one_differs(n_groups: int, n_data: int, n: int, stream: np.random.Generator) -> tuple[float, float]:
    """The same where one group is much worse than the others, which are equal: Friedman's test then always rejects."""
    false = np.zeros(2)
    for _ in range(n):
        values = stream.normal(size=(n_groups, n_data))
        values[0] -= 10
        table = {str(k): row for k, row in enumerate(values.tolist())}
        for place, baseline in enumerate((None, "1")):
            found = compare_ranks(table, "maximize", baseline).differences
            false[place] += any(d.shown for d in found if "0" not in (d.a, d.b))
    return float(false[0]) / n, float(false[1]) / n


def at_the_edge(n_seeds: int, n: int, stream: np.random.Generator) -> tuple[float, ...]:
    """How often a probability above 95 % is wrong: of "better by more than SIZE", where the true difference is just
    SIZE and where it is zero, and of "neither", where it is just SIZE."""
    size, wrong = 1.0, np.zeros(3)
    for a, b in stream.normal(size=(n, 2, n_seeds)) * math.sqrt(0.5):

        def probabilities(shift: float, a: np.ndarray = a, b: np.ndarray = b) -> tuple[float, float, float]:
            found: Difference = paired(dict(enumerate((a + shift).tolist())), dict(enumerate(b.tolist())))
            judged = with_probabilities([found], size)[0].probabilities
            assert judged is not None
            return judged

        edge, zero = probabilities(size), probabilities(0.0)
        wrong += edge[0] > 0.95, max(zero[0], zero[2]) > 0.95, edge[1] > 0.95
    return tuple((wrong / n).tolist())
