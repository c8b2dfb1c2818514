"""What a search costs beside the training: suggest and bookkeeping a trial, with few and with many trials known.

    python benchmarks/search_cost.py [--known 100 1000 10000] [--samplers tpe random] [--trials 30]

The study is filled with random trials first, then `run_study` adds trials that take no time. `memory` and `sqlite`
(in the form that a sweep uses) tell the sampler from the storage.
"""

from __future__ import annotations

import argparse
import math
import random
import sqlite3
import statistics
import tempfile
import time
from datetime import date
from itertools import pairwise
from pathlib import Path

import optuna

from phalanx.study import Budget, Leases, Outcome, open_study, run_study, suggest_from

SPACE = {
    "model": optuna.distributions.CategoricalDistribution(["mlp2", "mlp3", "mlp4"]),
    "model.width": optuna.distributions.CategoricalDistribution([32, 64, 128, 256]),
    "loss": optuna.distributions.CategoricalDistribution(["nll", "cross_entropy", "mse"]),
    "optimizer": optuna.distributions.CategoricalDistribution(["sgd", "adam"]),
    "optimizer.lr": optuna.distributions.FloatDistribution(0.0005, 0.5, log=True),
}
SAMPLERS = {
    "tpe": optuna.samplers.TPESampler,
    "random": optuna.samplers.RandomSampler,
    "nsgaii": optuna.samplers.NSGAIISampler,
}


def value(params: dict) -> float:
    return math.log(params["optimizer.lr"] / 0.01) ** 2 + params["model.width"] / 256 + random.random()


def known_trials(n: int) -> list[optuna.trial.FrozenTrial]:
    """Finished random trials."""
    stream, trials = random.Random(0), []
    for _ in range(n):
        params = {key: stream.choice(d.choices) for key, d in SPACE.items() if hasattr(d, "choices")}
        params["optimizer.lr"] = math.exp(stream.uniform(math.log(0.0005), math.log(0.5)))
        trials.append(optuna.trial.create_trial(params=params, distributions=SPACE, value=value(params)))
    return trials


def cost(url: str | None, sampler: str, trials: list[optuna.trial.FrozenTrial], n_more: int) -> tuple[float, float]:
    """Median and largest milliseconds a trial; the study at `url` holds `trials` already, one in memory takes them."""
    study = open_study("cost", url, ["minimize"], SAMPLERS[sampler](seed=0))
    if url is None:
        study.add_trials(trials)
    stamps = [time.perf_counter()]

    def evaluate(proposals):
        stamps.append(time.perf_counter())
        return [Outcome((value(dict(p.params)),)) for p in proposals]

    leases = Leases.of(url, "cost")
    run_study(study, suggest_from(SPACE), evaluate, budget=Budget(len(trials) + n_more), leases=leases)
    gaps = [1000 * (b - a) for a, b in pairwise(stamps[1:])]
    return statistics.median(gaps), max(gaps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--known", type=int, nargs="+", default=[100, 1000, 10000])
    parser.add_argument("--samplers", nargs="+", choices=SAMPLERS, default=["tpe", "random"])
    parser.add_argument("--trials", type=int, default=30)
    args = parser.parse_args()
    print(f"milliseconds a trial, median (largest) of {args.trials}, {date.today()}\n")
    print("| sampler | storage | " + " | ".join(f"{n:,} known" for n in args.known) + " |")
    print("| --- | --- |" + " --- |" * len(args.known))
    with tempfile.TemporaryDirectory() as folder:
        filled = {n: known_trials(n) for n in args.known}
        files = {n: Path(folder) / f"{n}.db" for n in args.known}
        for n, trials in filled.items():
            open_study("cost", f"sqlite:///{files[n]}", ["minimize"], None).add_trials(trials)
        for sampler in args.samplers:
            for storage in ("memory", "sqlite"):
                cells = []
                for n, trials in filled.items():
                    copy = Path(folder) / f"{n}-{sampler}.db"
                    if storage == "sqlite":
                        with sqlite3.connect(files[n]) as source, sqlite3.connect(copy) as target:
                            source.backup(target)
                    url = None if storage == "memory" else f"sqlite:///{copy}"
                    middle, largest = cost(url, sampler, trials, args.trials)
                    cells.append(f"{middle:.1f} ({largest:.1f})")
                print(f"| {sampler} | {storage} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
