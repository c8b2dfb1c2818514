"""What metrics cost: CPU milliseconds of an epoch without any, with those of the confusion matrix, and with all.

    python benchmarks/metrics.py [--rounds 9]

Last, milliseconds a trial for all metrics of the saved weights on all splits. One thread, in alternating rounds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import replace
from datetime import date

import torch

from phalanx import MLP, TrainerSpec, TrialSpec, load_dataset
from phalanx.core.metrics import FURTHER
from phalanx.data import Dataset, Split
from phalanx.nn.metrics.compute import Wanted
from phalanx.nn.metrics.from_counts import FROM_COUNTS
from phalanx.testing import blobs
from phalanx.training.cohort import Cohort
from phalanx.training.evaluation import evaluate

CHOICES = {"none": (), "counts": tuple(FROM_COUNTS), "all": tuple(info.name for info in FURTHER)}


def images() -> Dataset:
    """Invented data with a sixth of MNIST's rows, its features and its classes."""

    def split(n: int) -> Split:
        return Split(torch.rand(n, 784), torch.arange(n) % 10)

    like = blobs()
    return replace(
        like, train=split(10_000), val=split(1_000), test=split(1_667), classes=tuple("0123456789"), copies={}
    )


def medians(cohorts: dict[str, Cohort], rounds: int) -> dict[str, float]:
    found: dict[str, list[float]] = {name: [] for name in cohorts}
    for _ in range(rounds):
        for name, cohort in cohorts.items():
            start = time.process_time()
            cohort.epoch()
            found[name].append(1000 * (time.process_time() - start))
    return {name: statistics.median(times[1:]) for name, times in found.items()}


def last(cohort: Cohort, dataset: Dataset, rounds: int) -> tuple[float, float]:
    """Milliseconds a trial for the saved weights on all splits: as without further metrics, and with all."""
    stack = cohort.chunks[0].stack
    times: dict[Wanted, list[float]] = {Wanted(): [], Wanted(CHOICES["all"]): []}
    for _ in range(rounds):
        for wanted, own in times.items():
            start = time.process_time()
            for split in (dataset.train, dataset.val, dataset.test):
                evaluate(stack.model, stack.layout, stack.loss, stack.kept_TP, split, stack.depths, wanted)
            own.append(1000 * (time.process_time() - start) / len(stack.rows))
    without, with_all = (statistics.median(own) for own in times.values())
    return without, with_all


def row(title: str, spec: TrialSpec, dataset: Dataset, n_trials: int, rounds: int) -> str:
    cohorts = {}
    for name, metrics in CHOICES.items():
        own = replace(spec, trainer=replace(spec.trainer, metrics=metrics, epochs=rounds + 1))
        cohorts[name] = Cohort(own, dataset)
        cohorts[name].join([replace(own, seed=seed) for seed in range(n_trials)])
    found, (without, with_all) = medians(cohorts, rounds), last(cohorts["none"], dataset, rounds)
    epochs = " | ".join(f"{value:.1f}" for value in found.values())
    ratios = " | ".join(f"{found[name] / found['none']:.2f}" for name in ("counts", "all"))
    return f"| {title} | {epochs} | {ratios} | {without:.2f} | {with_all:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    print(f"{date.today()}, one thread, torch {torch.__version__}, {rounds} rounds")
    print("| work | none, ms | counts, ms | all, ms | counts / none | all / none | end without, ms | end, ms |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    small = TrialSpec(model=MLP(hidden=(32,)), trainer=TrainerSpec(batch_size=32))
    digits = load_dataset(small.data)
    for n_trials in (1, 64):
        print(row(f"{n_trials} of digits 64-32-10, batch 32", small, digits, n_trials, rounds), flush=True)
    large = TrialSpec(model=MLP(hidden=(50, 20)), trainer=TrainerSpec(batch_size=64))
    print(row("8 of 784-50-20-10, 10,000 rows, batch 64", large, images(), 8, rounds), flush=True)


if __name__ == "__main__":
    main()
