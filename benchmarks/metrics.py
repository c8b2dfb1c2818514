"""What metrics and class weights cost: CPU milliseconds of an epoch and of a step without any, with the metrics of the
confusion matrix, with all metrics, and with class weights.

    python benchmarks/metrics.py [--rounds 9]

Last, milliseconds a trial for all metrics of the saved weights on all splits. One thread, in alternating rounds.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import torch

from phalanx import MLP, Callback, TrainerSpec, TrialSpec, load_dataset
from phalanx.core.metrics import FURTHER
from phalanx.data import Dataset, Split
from phalanx.nn.metrics.compute import Wanted
from phalanx.nn.metrics.from_counts import FROM_COUNTS
from phalanx.testing import blobs
from phalanx.training.cohort import Cohort
from phalanx.training.evaluation import evaluate

CHOICES = {"none": (), "counts": tuple(FROM_COUNTS), "all": tuple(info.name for info in FURTHER), "weights": ()}


class StepClock(Callback):
    """Keeps the CPU time after each step."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_step(self, epoch: int, step: int) -> None:
        self.seconds.append(time.process_time())

    def take(self) -> float:
        """The median of a step in milliseconds since the last call."""
        steps = [1000 * (after - before) for before, after in itertools.pairwise(self.seconds)]
        self.seconds = []
        return statistics.median(steps)


def images() -> Dataset:
    """Invented data with a sixth of MNIST's rows, its features and its classes."""

    def split(n: int) -> Split:
        return Split(torch.rand(n, 784), torch.arange(n) % 10)

    like = blobs()
    return replace(
        like, train=split(10_000), val=split(1_000), test=split(1_667), classes=tuple("0123456789"), copies={}
    )


def medians(cohorts: dict[str, Cohort], clocks: dict[str, StepClock], rounds: int) -> list[dict[str, float]]:
    """Milliseconds of an epoch and of a step, by name."""
    epochs: dict[str, list[float]] = {name: [] for name in cohorts}
    steps: dict[str, list[float]] = {name: [] for name in cohorts}
    for _ in range(rounds):
        for name, cohort in cohorts.items():
            start = time.process_time()
            cohort.epoch()
            epochs[name].append(1000 * (time.process_time() - start))
            steps[name].append(clocks[name].take())
    return [{name: statistics.median(times[1:]) for name, times in found.items()} for found in (epochs, steps)]


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


def rows_of(title: str, spec: TrialSpec, dataset: Dataset, n_trials: int, rounds: int) -> tuple[list[str], list[str]]:
    """A row of milliseconds an epoch, and one of milliseconds a step and of the end."""
    cohorts, clocks = {}, {name: StepClock() for name in CHOICES}
    for name, metrics in CHOICES.items():
        own = replace(spec, trainer=replace(spec.trainer, metrics=metrics, epochs=rounds + 1))
        own = replace(own, loss=replace(own.loss, class_weights="balanced" if name == "weights" else "none"))
        cohorts[name] = Cohort(own, dataset, clocks[name])
        cohorts[name].join([replace(own, seed=seed) for seed in range(n_trials)])
    epochs, steps = medians(cohorts, clocks, rounds)
    without, with_all = last(cohorts["none"], dataset, rounds)
    by_epoch = [f"{value:.1f}" for value in epochs.values()]
    by_epoch += [f"{epochs[name] / epochs['none']:.2f}" for name in CHOICES if name != "none"]
    by_step = [*(f"{value:.3f}" for value in steps.values()), f"{without:.2f}", f"{with_all:.2f}"]
    return [title, *by_epoch], [title, *by_step]


def show(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    for cells in (head, ["---"] * len(head), *rows):
        print(f"| {' | '.join(cells)} |")
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    print(f"{date.today()}, one thread, torch {torch.__version__}, {rounds} rounds")
    small = TrialSpec(model=MLP(hidden=(32,)), trainer=TrainerSpec(batch_size=32))
    large = TrialSpec(model=MLP(hidden=(50, 20)), trainer=TrainerSpec(batch_size=64))
    digits = load_dataset(small.data)
    rows = [rows_of(f"{n} of digits 64-32-10, batch 32", small, digits, n, rounds) for n in (1, 64)]
    rows.append(rows_of("8 of 784-50-20-10, 10,000 rows, batch 64", large, images(), 8, rounds))
    names = [name for name in CHOICES if name != "none"]
    epochs, steps = zip(*rows, strict=True)
    show(["an epoch", *(f"{name}, ms" for name in CHOICES), *(f"{name} / none" for name in names)], epochs)
    show(["a step, and the end", *(f"{name}, ms" for name in CHOICES), "end without, ms", "end, ms"], steps)


if __name__ == "__main__":
    main()
