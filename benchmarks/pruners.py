"""What each pruner saves, and what it costs: epochs trained and best value found, over several searches.

    python benchmarks/pruners.py [--searches 10] [--trials 40] [--epochs 20]

Every search draws its points at random, so all pruners see the same ones. A trial does not depend on its cohort, so
each point is trained once, to the end, together with the others; a pruner is then fed the curves, epoch by epoch.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import dataclass
from datetime import date

import optuna

from phalanx import MLP, TrainerSpec, TrialSpec, load_dataset, partition, train_cohort
from phalanx.core.result import EpochMetrics
from phalanx.data.digits import Digits
from phalanx.nn.optimizers.sgd import SGD
from phalanx.study import Budget, Outcome, Pruning, open_study, run_study, suggest_from

SPACE = {
    "lr": optuna.distributions.FloatDistribution(1e-3, 1.0, log=True),
    "momentum": optuna.distributions.FloatDistribution(0.0, 0.95),
    "dropout": optuna.distributions.FloatDistribution(0.0, 0.7),
    "width": optuna.distributions.CategoricalDistribution([8, 32, 128]),
}


def pruners(epochs: int) -> dict[str, optuna.pruners.BasePruner]:
    """Each option of conf/hydra/sweeper/pruner with its defaults there."""
    made = optuna.pruners
    return {
        "none": made.NopPruner(),
        "median": made.MedianPruner(),
        "percentile 25": made.PercentilePruner(25.0),
        "successive_halving": made.SuccessiveHalvingPruner(),
        "hyperband": made.HyperbandPruner(max_resource=epochs),
        "patient": made.PatientPruner(made.MedianPruner(), patience=2),
        "threshold 0.5": made.ThresholdPruner(lower=0.5, n_warmup_steps=3),
        "wilcoxon": made.WilcoxonPruner(p_threshold=0.1),
    }


@dataclass
class Search:
    """What one search came to."""

    epochs: int
    best: float


def points(seed: int, n_trials: int) -> list[dict]:
    """The points that a random search with this seed draws."""
    study = open_study("p", None, ["maximize"], optuna.samplers.RandomSampler(seed=seed))
    drawn: list[dict] = []

    def note(proposals):
        drawn.extend(dict(p.params) for p in proposals)
        return [Outcome((0.0,)) for _ in proposals]

    run_study(study, suggest_from(SPACE), note, budget=Budget(n_trials))
    return drawn


def curves(drawn: list[dict], epochs: int) -> list[tuple[EpochMetrics, ...]]:
    """The learning curve of every point, trained in cohorts."""
    specs = [
        TrialSpec(
            data=Digits(), model=MLP(hidden=(p["width"],), dropout=p["dropout"]),
            optimizer=SGD(lr=p["lr"], momentum=p["momentum"]), trainer=TrainerSpec(epochs=epochs),
        )
        for p in drawn
    ]  # fmt: skip
    dataset, found = load_dataset(Digits()), [()] * len(specs)
    for cohort in partition(specs):
        for place, result in zip(cohort, train_cohort([specs[i] for i in cohort], dataset, test=False), strict=True):
            found[place] = result.history
    return found


def search(pruner: optuna.pruners.BasePruner, seed: int, known: list[tuple[EpochMetrics, ...]]) -> Search:
    """One search in which every trial walks along its curve until the pruner ends it."""
    study = open_study("p", None, ["maximize"], optuna.samplers.RandomSampler(seed=seed), pruner)
    trained = 0

    def evaluate(proposals):
        nonlocal trained
        outcomes = []
        for proposal in proposals:
            curve = known[proposal.number]
            watcher, best, pruned = Pruning(proposal.trial, "val_accuracy", len(curve)), 0.0, False
            for row in curve:
                trained += 1
                best = max(best, row.val_accuracy)
                pruned = bool(watcher.on_epoch({0: row}))
                if pruned:
                    break
            outcomes.append(Outcome((best,), pruned=pruned))
        return outcomes

    run_study(study, suggest_from(SPACE), evaluate, budget=Budget(len(known)))
    return Search(trained, study.best_value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--searches", type=int, default=10)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--epochs", type=int, default=20)
    args = parser.parse_args()
    seeds = range(args.searches)
    known = {seed: curves(points(seed, args.trials), args.epochs) for seed in seeds}
    found = {
        name: [search(pruner, seed, known[seed]) for seed in seeds] for name, pruner in pruners(args.epochs).items()
    }
    print(f"{args.searches} random searches of {args.trials} trials of {args.epochs} epochs, {date.today()}\n")
    print("| pruner | epochs trained | saved | best validation accuracy lost, points, mean (worst) |")
    print("| --- | --- | --- | --- |")
    for name, runs in found.items():
        lost = [100 * (full.best - run.best) for full, run in zip(found["none"], runs, strict=True)]
        part = statistics.fmean(run.epochs / full.epochs for full, run in zip(found["none"], runs, strict=True))
        epochs = statistics.fmean(run.epochs for run in runs)
        print(f"| {name} | {epochs:,.0f} | {1 - part:.0%} | {statistics.fmean(lost):.2f} ({max(lost):.2f}) |")


if __name__ == "__main__":
    main()
