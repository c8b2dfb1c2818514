"""How often a comparison of equals shows a difference: by simulation, with the code that `phalanx compare` runs.

    python benchmarks/error_rates.py [--comparisons 4000]

All groups are equal in truth, so every difference that is shown is a false alarm. The rate is family-wise: the share of
comparisons with one false alarm or more among all their pairs. It should be at most 5 %. With N comparisons a true rate
of 5 % is seen within 1.96 * sqrt(0.05 * 0.95 / N) in 95 % of simulations; what lies above that is printed with a mark.
A second table gives the share of intervals that hold the truth, and of real differences that are found; a third how
intervals of a mean accuracy do near 1, where a t interval leaves the range: cut there, and by ways that stay in it.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from datetime import date

import numpy as np

from phalanx.analysis.statistics import compare, paired, resolution, summarise

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]

NOISE: dict[str, Draw] = {
    "normal": lambda r, shape: r.normal(size=shape),
    "heavy tails (t, 3 df)": lambda r, shape: r.standard_t(3, size=shape),
    "skewed (log-normal)": lambda r, shape: r.lognormal(0, 1, size=shape),
    "accuracy of 10,000 samples": lambda r, shape: r.binomial(10_000, 0.98, shape) / 10_000,
    "accuracy of 360 samples": lambda r, shape: r.binomial(360, 0.965, shape) / 360,
    "accuracy of 40 samples": lambda r, shape: r.binomial(40, 0.965, shape) / 40,
}
GROUPS, SEEDS = (2, 3, 6), (3, 5, 10)


def false_alarms(draw: Draw, n_groups: int, n_seeds: int, n: int, stream: np.random.Generator) -> float:
    """The family-wise rate among `n` comparisons of equal groups, all pairs."""
    false = 0
    for table in draw(stream, (n, n_groups, n_seeds)).tolist():
        groups = {str(i): dict(enumerate(row)) for i, row in enumerate(table)}
        false += any(d.shown for d in compare(groups, "maximize", step=resolution(groups.values())))
    return false / n


def coverage_and_power(n_seeds: int, shift: float, n: int, stream: np.random.Generator) -> tuple[float, float]:
    """How often the 95 % interval of a pair holds a true difference of `shift` standard deviations, and how often
    that difference is shown."""
    covered = shown = 0
    for a, b in stream.normal(size=(n, 2, n_seeds)) * math.sqrt(0.5):  # so the differences have a spread of 1
        found = paired(dict(enumerate(a + shift)), dict(enumerate(b)))
        covered += found.low <= shift <= found.high
        shown += found.shown
    return covered / n, shown / n


def cut(row: np.ndarray, samples: int, stream: np.random.Generator) -> tuple[float, float]:
    found = summarise(row.tolist(), limits=(0.0, 1.0))
    return found.low, found.high


def logit(row: np.ndarray, samples: int, stream: np.random.Generator) -> tuple[float, float]:
    """Student's interval of the log odds, half a sample added to right and wrong ones so that there always are some."""
    found = summarise(np.log((samples * row + 0.5) / (samples * (1 - row) + 0.5)).tolist())
    return 1 / (1 + math.exp(-found.low)), 1 / (1 + math.exp(-found.high))


def bootstrap(row: np.ndarray, samples: int, stream: np.random.Generator) -> tuple[float, float]:
    return tuple(np.quantile(stream.choice(row, (500, len(row))).mean(1), (0.025, 0.975)))


WAYS = {"t, cut at 1": cut, "t of the logit": logit, "bootstrap": bootstrap}
NEAR_ONE = ((10_000, 0.98), (360, 0.965), (360, 0.99), (36, 0.965), (36, 0.99), (36, 0.999))


def held(samples: int, true: float, n: int, stream: np.random.Generator) -> list[float]:
    """The share of `n` intervals of ten seeds that hold the true mean, by each way; then of those of no width."""
    rows = stream.binomial(samples, true, (n, SEEDS[-1])) / samples
    ends = [[way(row, samples, stream) for row in rows] for way in WAYS.values()]
    return [*(np.mean([low <= true <= high for low, high in found]) for found in ends), np.mean(np.ptp(rows, 1) == 0)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--comparisons", type=int, default=4000)
    n = parser.parse_args().comparisons
    stream = np.random.default_rng(0)
    tolerance = 1.96 * math.sqrt(0.05 * 0.95 / n)
    print(f"{date.today()}, {n} comparisons each: 5 % is seen within ± {100 * tolerance:.1f} points\n")
    print("| groups | seeds | " + " | ".join(NOISE) + " |\n|" + " --- |" * (len(NOISE) + 2))
    for n_groups in GROUPS:
        for n_seeds in SEEDS:
            rates = [false_alarms(draw, n_groups, n_seeds, n, stream) for draw in NOISE.values()]
            cells = [f"{100 * rate:.1f} %{' (!)' if rate > 0.05 + tolerance else ''}" for rate in rates]
            print(f"| {n_groups} | {n_seeds} | " + " | ".join(cells) + " |", flush=True)
    print("\n| seeds | coverage of 95 % intervals | a difference of 1 sd found | of 2 sd found |")
    print("| --- | --- | --- | --- |")
    for n_seeds in SEEDS:
        (share, one), (_, two) = (coverage_and_power(n_seeds, shift, n, stream) for shift in (1.0, 2.0))
        print(f"| {n_seeds} | {100 * share:.1f} % | {100 * one:.0f} % | {100 * two:.0f} % |", flush=True)
    print("\n| true accuracy | samples | " + " | ".join(WAYS) + " | all seeds alike |\n|" + " --- |" * (len(WAYS) + 3))
    for samples, true in NEAR_ONE:
        cells = [f"{100 * share:.1f} %" for share in held(samples, true, n, stream)]
        print(f"| {true} | {samples:,} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
