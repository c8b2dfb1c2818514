"""Two cores: one program with two threads of torch, two chunks in two Python threads, or two processes.

    python benchmarks/workers.py [--data-root ../shared/data] [--rounds 5]

The processes are started and warmed up beforehand; each trains half of the trials with one thread of torch.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from unittest.mock import patch

import torch
from cohorts import specs

from phalanx import TrialSpec, load_dataset, train_cohort
from phalanx.core.device import DeviceSpec
from phalanx.data.digits import Digits
from phalanx.data.mnist import Mnist
from phalanx.training import cohort as cohorts
from phalanx.training.planning import Workers


def in_process(trials: list[TrialSpec]) -> int:
    torch.set_num_threads(1)
    trials = [replace(spec, device=DeviceSpec(kind="cpu", threads=1)) for spec in trials]
    return len(train_cohort(trials, load(trials[0].data)))


kept: dict[object, object] = {}


def load(data):
    if data not in kept:
        kept[data] = load_dataset(data)
    return kept[data]


def ways(trials: list[TrialSpec], pool) -> dict[str, Callable[[], object]]:
    half = -(-len(trials) // 2)

    def planned(count: int, threads: int) -> object:
        with (
            patch.object(cohorts, "workers", lambda *_: Workers(count, threads)),
            patch.object(cohorts, "chunk_size", lambda *_: -(-len(trials) // count)),
        ):
            return train_cohort(trials, load(trials[0].data))

    return {
        "one thread": lambda: planned(1, 1),
        "two threads of torch": lambda: planned(1, 2),
        "two chunks in threads": lambda: planned(2, 1),
        "two processes": lambda: pool.map(in_process, [trials[:half], trials[half:]], chunksize=1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", default="../shared/data")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    images = Mnist(root=args.data_root, n_train=10_000, n_val=2_000)
    cases = {
        "64 trials of digits 64-32-10, batch 32, 20 epochs": specs(Digits(), (32,), 32, 20, 64),
        "256 trials of digits 64-32-10, batch 32, 20 epochs": specs(Digits(), (32,), 32, 20, 256),
        "32 trials of 784-50-20-10, batch 64, 2 epochs": specs(images, (50, 20), 64, 2, 32),
        "8 trials of 784-256-128-10, batch 128, 2 epochs": specs(images, (256, 128), 128, 2, 8),
    }
    cohorts.AUTOTUNE_FROM_S = float("inf")
    print(f"{date.today()}, torch {torch.__version__}, {torch.get_num_threads()} threads; seconds\n")
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        for number, (name, trials) in enumerate(cases.items()):
            todo = ways(list(trials), pool)
            if not number:
                print("| work | " + " | ".join(todo) + " |")
                print("| --- |" + " --- |" * len(todo))
            times: dict[str, list[float]] = {way: [] for way in todo}
            for turn in range(args.rounds + 1):  # the first warms up
                for way, work in todo.items():
                    start = time.perf_counter()
                    work()
                    times[way] += [time.perf_counter() - start] * (turn > 0)
            cells = [f"{statistics.median(t):.2f} ({min(t):.2f}-{max(t):.2f})" for t in times.values()]
            print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
