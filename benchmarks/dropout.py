"""What dropout costs: CPU milliseconds a trial and step without dropout and with a rate of 0.1, and their ratio.

    python benchmarks/dropout.py [--rounds 9]

One thread of torch, both in one process in turn, an epoch each with its validation on 100 rows.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import replace
from datetime import date

import torch

from phalanx import MLP, TrainerSpec, TrialSpec
from phalanx.data import Dataset, Split
from phalanx.testing import blobs
from phalanx.training.cohort import Cohort

CASES = [  # features, hidden, classes, batch, trials
    (64, (64, 64), 10, 32, 1), (64, (64, 64), 10, 32, 64), (16, (128, 128, 128), 26, 256, 8),
    (16, (128, 128, 128), 26, 256, 64), (10, (384, 384), 2, 256, 8),
]  # fmt: skip
STEPS = 64


def invented(n_features: int, n_classes: int, n_rows: int) -> Dataset:
    """Data of these sizes; a hundred rows validate and test."""

    def split(n: int) -> Split:
        return Split(torch.rand(n, n_features), torch.arange(n) % n_classes)

    names = tuple(map(str, range(n_classes)))
    return replace(blobs(), train=split(n_rows), val=split(100), test=split(100), classes=names, copies={})


def row(case: tuple[int, tuple[int, ...], int, int, int], rounds: int) -> list[str]:
    """The cells of one case."""
    n_features, hidden, n_classes, batch, n_trials = case
    dataset = invented(n_features, n_classes, STEPS * batch)
    cohorts = {}
    for rate in (0.0, 0.1):
        trainer = TrainerSpec(epochs=rounds + 2, batch_size=batch)
        spec = TrialSpec(model=MLP(hidden=hidden, dropout=rate), trainer=trainer)
        cohorts[rate] = Cohort(spec, dataset)
        cohorts[rate].join([replace(spec, seed=seed) for seed in range(n_trials)])
    found: dict[float, list[float]] = {rate: [] for rate in cohorts}
    for turn in range(rounds + 1):
        for rate, cohort in cohorts.items():
            start = time.process_time()
            cohort.epoch()
            if turn:  # the first epoch is a warm-up
                found[rate].append(1000 * (time.process_time() - start) / STEPS / n_trials)
    without, with_dropout = (statistics.median(times) for times in found.values())
    ratios = sorted(b / a for a, b in zip(*found.values(), strict=True))
    name = f"{'-'.join(map(str, (n_features, *hidden, n_classes)))}, batch {batch}, T = {n_trials}"
    ratio = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})"
    return [name, f"{without:.4f}", f"{with_dropout:.4f}", ratio]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{date.today()}, one thread, torch {torch.__version__}, {arguments.rounds} rounds\n")
    head = ["network", "without, ms", "dropout 0.1, ms", "with / without"]
    for cells in (head, ["---"] * len(head), *(row(case, arguments.rounds) for case in CASES)):
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
