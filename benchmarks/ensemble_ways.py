"""Seeds, greedy or best: the three ways of `phalanx ensemble` beside the best trial, on the test split.

    python benchmarks/ensemble_ways.py [--splits 6] [--data digits,wine,breast_cancer,iris,clouds]

For each table and `data.split_seed` one search of 20 trials in the default space, and three ensembles of it. Log
loss is cut at 36, as of a probability of 0.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from datetime import date
from pathlib import Path

from sklearn import datasets

from phalanx.analysis.ensemble.build import make_ensemble
from phalanx.analysis.ensemble.candidates import read_candidates
from phalanx.analysis.ensemble.measured import measured
from phalanx.analysis.ensemble.networks import Library
from phalanx.runs.manifest import WAYS
from phalanx.runs.sweep_folder import sweep_summary

ROOT = Path(__file__).parents[1]
OURS = ("digits", "wine", "clouds")  # options of `data`; the others are tables of scikit-learn
ALONE = "best trial"
Row = Mapping[str, float | None]


def overrides(name: str, folder: Path) -> list[str]:
    if name in OURS:
        return [f"data={name}"]
    table = getattr(datasets, f"load_{name}")(as_frame=True).frame
    table["target"] = "c" + table["target"].astype(str)
    table.to_csv(folder / f"{name}.csv", index=False)
    return ["data=csv", f"data.path={folder / name}.csv", "data.target=target"]


def search(name: str, split: int, folder: Path) -> tuple[dict[str, Row], bool]:
    """The test metrics by way, and whether all seeds together are worse on validation than the best of them."""
    sweep = folder / "sweep"
    command = [
        sys.executable, "train.py", "-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=20", *overrides(name, folder),
        f"data.split_seed={split}", f"hydra.sweeper.sampler.seed={split}", "hydra.sweeper.ensemble=greedy",
        "hydra.sweeper.study_name=a", "tracking=none", f"hydra.sweep.dir={sweep}",
    ]  # fmt: skip
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    every, library = read_candidates(sweep, []).candidates, Library(lambda text: None, [])
    best = next(one for one in every if sweep_summary(sweep)["best"] in one.numbers)
    library.obtain([best])
    found: dict[str, Row] = {ALONE: measured("test", library.tested(best), best.first.dataset.test.y_N.numpy()).metrics}
    made = {how: make_ensemble(sweep, how, None, folder / how, lambda text: None) for how in WAYS}
    found |= {how: one.written.stored.metrics for how, one in made.items()}
    return found, made["seeds"].value < made["seeds"].best


def cells(rows: list[dict[str, Row]], way: str) -> str:
    accuracy = 100 * statistics.fmean(row[way]["test_accuracy"] or 0.0 for row in rows)
    losses = [36.0 if (loss := row[way]["test_loss"]) is None else min(loss, 36.0) for row in rows]
    return f"{accuracy:.2f}, {statistics.median(losses):.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--splits", type=int, default=6)
    parser.add_argument("--data", default="digits,wine,breast_cancer,iris,clouds")
    asked = parser.parse_args()
    ways = (ALONE, *WAYS)
    print(f"{date.today()}, {asked.splits} splits each: mean test accuracy in %, median log loss")
    print(f"| table | {' | '.join(ways)} |\n| --- |{' --- |' * len(ways)}")
    every: list[dict[str, Row]] = []
    n_worse = 0
    for name in asked.data.split(","):
        rows: list[dict[str, Row]] = []
        for split in range(1, asked.splits + 1):
            with tempfile.TemporaryDirectory() as folder:
                row, is_worse = search(name, split, Path(folder))
            rows.append(row)
            n_worse += is_worse
        every += rows
        print(f"| {name} | {' | '.join(cells(rows, way) for way in ways)} |", flush=True)
    print(f"| all | {' | '.join(cells(every, way) for way in ways)} |")
    print(f"seeds worse on validation than the best seed: {n_worse} of {len(every)} searches")


if __name__ == "__main__":
    main()
