"""Ways to correct the paired t-test over folds and draws, side by side: false alarms, and true differences found.

    python benchmarks/fold_tests.py [--simulations 1500] [--quick]

The learners and rows are those of `overlapping.py`. First both learners are equal; then the classes are further apart
in the feature that one of them sees. Each way is a variance of the mean of n values, s² times a factor, and degrees of
freedom; p is the share of the rows that are evaluated, o = p / (1 - p):

- "Nadeau and Bengio": 1/n + o, n - 1
- "one repetition's freedom": the same, 1/p - 1 (the folds of one repetition less one)
- "10": the same, 10 (Bouckaert 2003, of ten times ten folds)
- "no more than 1/p values": max(1/n, p) + o, n - 1
- "repetitions": over repeated folds, the variance of one cross-validation by Nadeau and Bengio less what the spread
  between repetitions says that their number takes from it
- "now": 1/n + o (1 + c), n - 1, where c is the share of the pairs that can evaluate the same rows
  (`phalanx.analysis.overlap`)

Axes: S simulations, R repetitions, K folds, J = R·K values, L learners.
"""

from __future__ import annotations

import argparse
import math
from datetime import date

import numpy as np
from overlapping import LEARNERS, Fold, accuracies, draws, k_fold, shown, two
from scipy.stats import t

from phalanx.analysis.overlap import correlation_of_values
from phalanx.analysis.student import resolution

GAP = 0.3
WAYS = ("Nadeau and Bengio", "one repetition's freedom", "10", "no more than 1/p values", "repetitions")
_Kind = tuple[str, list[Fold], int]  # its name, the folds or draws, and how many of them make a division


def kinds(n_rows: int, stream: np.random.Generator) -> list[_Kind]:
    folds = [(f"{k} folds" + (f", {times} times" if times > 1 else ""), k_fold(k, times, stream, n_rows), k)
             for k, times in ((5, 1), (10, 1), (5, 2), (5, 3), (2, 5), (10, 3), (10, 10))]  # fmt: skip
    return folds + [(f"{n} draws of {share:.0%}", draws(n, share, stream, n_rows), 1)
                    for n, share in ((5, 0.2), (10, 0.2), (30, 0.2), (10, 0.1), (30, 0.1))]  # fmt: skip


def rates(tables_SJL: np.ndarray, evaluated: float, of_division: int) -> list[float]:
    """The share of simulations in which each way shows a difference; NaN where it is for repeated folds alone."""
    away_SJ = tables_SJL[:, :, 0] - tables_SJL[:, :, 1]
    n, odds, step = away_SJ.shape[1], evaluated / (1 - evaluated), [resolution(two(x).values()) for x in tables_SJL]
    rounding_S = np.square(step) / 12
    spread_S, few = away_SJ.var(1, ddof=1) + rounding_S, min(n, round(1 / evaluated)) - 1
    usual_S = spread_S * (1 / n + odds)
    found = [
        _rate(away_SJ, usual_S, n - 1), _rate(away_SJ, usual_S, few), _rate(away_SJ, usual_S, min(n - 1, 10)),
        _rate(away_SJ, spread_S * (max(1 / n, evaluated) + odds), n - 1), math.nan,
    ]  # fmt: skip
    if 1 < of_division < n:
        away_SRK = away_SJ.reshape(len(away_SJ), -1, of_division)
        one_S = (away_SRK.var(2, ddof=1).mean(1) + rounding_S) * (1 / of_division + odds)
        saved_S = (1 - of_division / n) * away_SRK.mean(2).var(1, ddof=1)
        found[-1] = _rate(away_SJ, np.maximum(one_S - saved_S, usual_S), n - 1)
    now = correlation_of_values(evaluated, [place // of_division for place in range(n)])
    return [*found, shown(tables_SJL, now)]


def _rate(away_SJ: np.ndarray, variance_S: np.ndarray, df: int) -> float:
    limit_S = t.ppf(0.975, df) * np.sqrt(variance_S)
    return float((np.abs(away_SJ.mean(1)) > np.maximum(limit_S, 1e-12)).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=1500)
    parser.add_argument("--quick", action="store_true", help="20 simulations each: does it still run?")
    arguments = parser.parse_args()
    n, stream = 20 if arguments.quick else arguments.simulations, np.random.default_rng(0)
    print(f"{date.today()}, {n} simulations each: 5 % is seen within ± {196 * math.sqrt(0.05 * 0.95 / n):.1f} points")
    for gap, n_rows, title in ((0.0, 100, "equal"), (0.0, 30, "equal"), (GAP, 100, "different")):
        print(f"\n| {title} learners, {n_rows} rows | {' | '.join(WAYS)} | now |\n|" + " --- |" * (len(WAYS) + 2))
        for learner in LEARNERS:
            for name, folds, of_division in kinds(n_rows, stream):
                tables_SJL = accuracies(learner, folds, False, n, stream, gap)
                found = rates(tables_SJL, len(folds[0][1]) / n_rows, of_division)
                cells = ["–" if math.isnan(rate) else f"{100 * rate:.1f} %" for rate in found]
                print(f"| {name}, {learner} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
