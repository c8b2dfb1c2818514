"""What points in flight cost a search in quality and save it in time: best value at equal trials and at equal time.

    python benchmarks/in_flight.py [--searches 10] [--trials 40] [--epochs 10] [--beside 0.02] [--jobs 1 4 8 16]

Each search is TPE's, with a study in memory and the scheduler of `hydra/launcher=cohort`: a point that is in flight
trains in the cohort of its static fields. Time is CPU time of asking and training, and `--beside` seconds a trial for
what a whole command does beside it (files, storage). The time that is equal is that of one at a time for all trials.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution

from phalanx import MLP, TrainerSpec, TrialSpec
from phalanx.data.base import DataSpec
from phalanx.data.digits import Digits
from phalanx.data.wine import Wine
from phalanx.jobs.job import Job
from phalanx.jobs.scheduler import CohortScheduler
from phalanx.nn.losses import LOSSES
from phalanx.nn.optimizers import OPTIMIZERS
from phalanx.runs.config import Settings
from phalanx.runs.manifest import Manifest, Sweep
from phalanx.runs.options import CheckpointSpec, TrackingSpec
from phalanx.study import Budget, Evaluator, Outcome, Proposal, open_study, run_study, suggest_from

SPACE = {
    "width": CategoricalDistribution([8, 16, 32]),
    "optimizer": CategoricalDistribution(["sgd", "adam"]),
    "loss": CategoricalDistribution(["cross_entropy", "mse"]),
    "lr": FloatDistribution(0.0005, 0.5, log=True),
    "dropout": FloatDistribution(0.0, 0.5),
}
DATA: dict[str, DataSpec] = {"digits": Digits(), "wine": Wine()}
MOST = 10  # times the trials of one at a time that a search may have in the same time


@dataclass
class Search(Evaluator):
    """One search: the values of its trials in the order they were told, and the seconds until each."""

    data: DataSpec
    epochs: int
    beside_s: float
    folder: Path
    values: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.scheduler, self.in_flight, self.started = CohortScheduler(), dict[Job, Proposal](), time.process_time()

    def submit(self, proposals: Sequence[Proposal]) -> None:
        for proposal in proposals:
            p = proposal.params
            trial = TrialSpec(
                data=self.data, model=MLP(hidden=(p["width"],), dropout=p["dropout"]), loss=LOSSES[p["loss"]](),
                optimizer=OPTIMIZERS[p["optimizer"]](lr=p["lr"]), trainer=TrainerSpec(epochs=self.epochs),
                objective="val_likelihood",
            )  # fmt: skip
            sweep = Sweep("s", proposal.number, Manifest(search=True))
            asked = Settings(trial, TrackingSpec(kind="none"), CheckpointSpec(), ())
            job = Job(asked, self.folder / str(proposal.number), sweep)
            self.in_flight[job] = proposal
            self.scheduler.add(job)

    def results(self) -> list[tuple[Proposal, Outcome]]:
        found = []
        for job, result in self.scheduler.advance():
            value = result.results[0].objective.value if result.results else None
            found.append((self.in_flight.pop(job), Outcome(None if value is None else (value,))))
            self.values.append(value or 0.0)
            self.seconds.append(time.process_time() - self.started + self.beside_s * len(self.values))
        return found

    def best(self, n_trials: int) -> float:
        return max(self.values[:n_trials])

    def n_within(self, seconds: float) -> int:
        return max(sum(second <= seconds for second in self.seconds), 1)


def search(data: DataSpec, n_jobs: int, seed: int, args: argparse.Namespace, within_s: float) -> Search:
    """A search that ends when it has had both its trials and its time."""
    n_trials = args.trials
    with tempfile.TemporaryDirectory() as folder:
        found = Search(data, args.epochs, args.beside, Path(folder))
        study = open_study("s", None, ["maximize"], optuna.samplers.TPESampler(seed=seed))
        for total in itertools.count(n_trials, n_jobs):
            run_study(study, suggest_from(SPACE), found, budget=Budget(total, n_jobs=n_jobs))
            if found.seconds[-1] >= within_s or total >= MOST * n_trials:
                return found
    raise AssertionError("unreachable")


def cell(values: Sequence[float]) -> str:
    """Mean and standard error."""
    return f"{statistics.fmean(values):.4f} ± {statistics.stdev(values) / len(values) ** 0.5:.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--searches", type=int, default=10)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--beside", type=float, default=0.02)
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 4, 8, 16])
    args = parser.parse_args()
    n = args.trials
    print(f"{args.searches} searches by TPE, {args.epochs} epochs a trial, {date.today()}\n")
    head = f"| data | in flight | best likelihood after {n // 2} trials | after {n} | s for {n} | trials in the time of"
    print(f"{head} one at a time | best likelihood in that time |\n| --- | --- | --- | --- | --- | --- | --- |")
    for name, data in DATA.items():
        within = [0.0] * args.searches
        for n_jobs in args.jobs:
            found = [search(data, n_jobs, seed, args, within[seed]) for seed in range(args.searches)]
            if n_jobs == args.jobs[0]:
                within = [each.seconds[n - 1] for each in found]
            counts = [each.n_within(limit) for each, limit in zip(found, within, strict=True)]
            best = [each.best(count) for each, count in zip(found, counts, strict=True)]
            halves, alls = ([each.best(stop) for each in found] for stop in (n // 2, n))
            seconds = statistics.median(each.seconds[n - 1] for each in found)
            row = (
                name,
                n_jobs,
                cell(halves),
                cell(alls),
                f"{seconds:.1f}",
                round(statistics.fmean(counts)),
                cell(best),
            )
            print("|", " | ".join(map(str, row)), "|", flush=True)


if __name__ == "__main__":
    main()
