"""What each sampler finds with the same number of trials: best validation loss and accuracy, over several searches.

    python benchmarks/samplers.py [--searches 5] [--trials 40] [--epochs 8] [--samplers tpe gp …]

All search the same space on digits with the same training seed, so that they differ by the points they choose alone.
The grid divides the space into as many points as there are trials, or a few more.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

import optuna

from phalanx import MLP, TrainerSpec, TrialSpec, load_dataset, train_trial
from phalanx.data.digits import Digits
from phalanx.nn.optimizers.sgd import SGD
from phalanx.study import Budget, Outcome, open_study, run_study, suggest_from

SPACE = {
    "lr": optuna.distributions.FloatDistribution(1e-3, 1.0, log=True),
    "momentum": optuna.distributions.FloatDistribution(0.0, 0.95),
    "dropout": optuna.distributions.FloatDistribution(0.0, 0.6),
    "width": optuna.distributions.IntDistribution(8, 128, step=8),
}
GRID = {"lr": [0.003, 0.01, 0.03, 0.1, 0.3], "momentum": [0.0, 0.9], "dropout": [0.0, 0.3], "width": [32, 128]}
SAMPLERS: dict[str, Callable[[int], optuna.samplers.BaseSampler]] = {
    "random": lambda seed: optuna.samplers.RandomSampler(seed),
    "grid": lambda seed: optuna.samplers.GridSampler(GRID, seed),
    "qmc": lambda seed: optuna.samplers.QMCSampler(seed=seed, scramble=True),
    "tpe": lambda seed: optuna.samplers.TPESampler(seed=seed),
    "gp": lambda seed: optuna.samplers.GPSampler(seed=seed),
    "cmaes": lambda seed: optuna.samplers.CmaEsSampler(seed=seed),
    "nsgaii": lambda seed: optuna.samplers.NSGAIISampler(seed=seed, population_size=10),
}


@dataclass
class Search:
    """What one search came to."""

    losses: list[float]  # in order of trials
    accuracies: list[float]
    seconds: float  # of the search, without the training

    def best(self, n_trials: int) -> float:
        return min(self.losses[:n_trials])


def search(sampler: optuna.samplers.BaseSampler, n_trials: int, epochs: int) -> Search:
    """One study, each trial trained alone. The number that a diverged trial counts as is that of guessing, log 10."""
    dataset, found = load_dataset(Digits()), Search([], [], 0.0)
    training = 0.0

    def evaluate(proposals) -> Sequence[Outcome]:
        nonlocal training
        started, (proposal,) = time.perf_counter(), proposals
        p = proposal.params
        spec = TrialSpec(
            data=Digits(), model=MLP(hidden=(p["width"],), dropout=p["dropout"]), objective="val_loss",
            optimizer=SGD(lr=p["lr"], momentum=p["momentum"]), trainer=TrainerSpec(epochs=epochs),
        )  # fmt: skip
        result = train_trial(spec, dataset, test=False)
        value = result.objective.value
        found.losses.append(2.302585 if value is None else value)
        found.accuracies.append(0.0 if value is None else result.metrics.val_accuracy)
        training += time.perf_counter() - started
        return [Outcome(None if value is None else (value,))]

    started = time.perf_counter()
    study = open_study("s", None, ["minimize"], sampler)
    run_study(study, suggest_from(SPACE), evaluate, budget=Budget(n_trials))
    found.seconds = time.perf_counter() - started - training
    return found


def row(name: str, runs: Sequence[Search], stops: Sequence[int]) -> str:
    """A line of the table."""
    cells = []
    for stop in stops:
        best = [run.best(stop) for run in runs]
        cells.append(f"{statistics.fmean(best):.4f} ± {statistics.stdev(best):.4f}")
    accuracy = statistics.fmean(run.accuracies[run.losses.index(min(run.losses))] for run in runs)
    cost = statistics.fmean(1000 * run.seconds / len(run.losses) for run in runs)
    return f"| {name} | " + " | ".join(cells) + f" | {100 * accuracy:.1f} % | {cost:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--searches", type=int, default=5)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--samplers", nargs="+", choices=SAMPLERS, default=list(SAMPLERS))
    args = parser.parse_args()
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    stops = [args.trials // 4, args.trials // 2, args.trials]
    print(f"{args.searches} searches of {args.trials} trials of {args.epochs} epochs on digits, {date.today()}\n")
    after = " | ".join(f"best validation loss after {stop}" for stop in stops)
    print(f"| sampler | {after} | its validation accuracy | ms a trial to choose |")
    print("| --- |" + " --- |" * (len(stops) + 2))
    for name in args.samplers:
        runs = [search(SAMPLERS[name](seed), args.trials, args.epochs) for seed in range(args.searches)]
        print(row(name, runs, stops), flush=True)


if __name__ == "__main__":
    main()
