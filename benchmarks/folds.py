"""Five folds with five seeds each in one cohort, against the same 25 trials one after another and against 25 seeds.

    python benchmarks/folds.py [--rounds 3] [--cpu]

All in this process, on data that are loaded before; rounds alternate the ways, so that a busy moment hits all of them.
With --cpu in seconds of the processor, with one thread, which other processes disturb less.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date

import torch

from phalanx import MLP, TrainerSpec, TrialSpec, load_dataset, partition, train_cohort, train_trial
from phalanx.data import Dataset
from phalanx.data.digits import Digits

FOLDS, SEEDS = 5, 5
Clock = Callable[[], float]


def trials(hidden: tuple[int, ...], batch_size: int | None) -> list[TrialSpec]:
    """Each fold with each seed."""
    plain = TrialSpec(model=MLP(hidden=hidden), trainer=TrainerSpec(epochs=20, batch_size=batch_size))
    folds = [Digits(resampling="kfold", folds=FOLDS, fold=fold) for fold in range(FOLDS)]
    return [replace(plain, data=fold, seed=seed) for fold in folds for seed in range(SEEDS)]


def together(specs: Sequence[TrialSpec], datasets: Sequence[Dataset]) -> None:
    (group,) = partition(specs, datasets)
    train_cohort([specs[i] for i in group], [datasets[i] for i in group])


def seconds(work: Callable[[], object], clock: Clock) -> float:
    start = clock()
    work()
    return clock() - start


def row(hidden: tuple[int, ...], batch_size: int | None, rounds: int, clock: Clock) -> str:
    specs = trials(hidden, batch_size)
    loaded = {spec.data: load_dataset(spec.data) for spec in specs}
    datasets = [loaded[spec.data] for spec in specs]
    one_fold = [replace(spec, data=specs[0].data, seed=seed) for seed, spec in enumerate(specs)]
    ways: dict[str, Callable[[], object]] = {
        "together": lambda: together(specs, datasets),
        "seeds": lambda: train_cohort(one_fold, datasets[0]),
        "serial": lambda: [train_trial(spec, data) for spec, data in zip(specs, datasets, strict=True)],
    }
    ways["together"]()
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            times[name].append(seconds(way, clock))
    ratios = [a / b for a, b in zip(times["serial"], times["together"], strict=True)]
    widths = "-".join(map(str, (64, *hidden, 10)))
    cells = [f"digits {widths}, {f'batch {batch_size}' if batch_size else 'one batch'}, 20 epochs"]
    cells += [f"{statistics.median(found):.2f}" for found in times.values()]
    cells.append(f"{statistics.median(ratios):.1f} ({min(ratios):.1f}-{max(ratios):.1f})")
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cpu", action="store_true", help="seconds of the processor, with one thread")
    args = parser.parse_args()
    clock = time.process_time if args.cpu else time.perf_counter
    if args.cpu:
        torch.set_num_threads(1)
    print(f"{date.today()}, torch {torch.__version__}, {torch.get_num_threads()} threads\n")
    print("| work | together, s | 25 seeds of one fold together, s | one by one, s | one by one / together |")
    print("| --- | --- | --- | --- | --- |")
    for hidden, batch_size in (((32,), 32), ((64, 64), 32), ((32,), 8)):
        print(row(hidden, batch_size, args.rounds, clock), flush=True)


if __name__ == "__main__":
    main()
