"""Seconds a trial of a search as tutorials do it (`tutorial_way.py`) and as Phalanx does, tracked, in turn.

    python benchmarks/tutorial.py [--rounds 3] [--trials 11] [--ours 101]

A trial's time is the difference between a search of so many trials and one of a single trial, so it has no imports.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
SEARCH = ["-m", "hydra/sweeper=optuna"]


def seconds(script: Path, n_trials: int, *arguments: str) -> float:
    """The wall time of a search. Raises `CalledProcessError` if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPATH": str(HERE / "src"), "OMP_NUM_THREADS": "1"}
        started = time.perf_counter()
        subprocess.run(
            [sys.executable, str(script), *SEARCH, f"hydra.sweeper.n_trials={n_trials}", *arguments],
            cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={**environment, "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"},
        )  # fmt: skip
        return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=11, help="of the tutorial's search")
    parser.add_argument("--ours", type=int, default=101, help="of Phalanx's search")
    options = parser.parse_args()
    searches = {
        "tutorial": (HERE / "benchmarks" / "tutorial_way.py", options.trials, "+lr=tag(log,interval(0.0001,0.01))"),
        "Phalanx": (HERE / "train.py", options.ours, "optimizer.lr=tag(log,interval(0.0001,0.01))"),
    }
    taken: dict[str, list[float]] = {name: [] for name in searches}
    print(
        "| round | " + " | ".join(f"{name}, s a trial" for name in searches) + " | ratio |\n| --- | --- | --- | --- |"
    )
    for number in range(options.rounds):
        for name, (script, trials, space) in searches.items():
            one, many = seconds(script, 1, space), seconds(script, trials, space)
            taken[name].append((many - one) / (trials - 1))
        theirs, ours = (times[-1] for times in taken.values())
        print(f"| {number + 1} | {theirs:.3f} | {ours:.3f} | {theirs / ours:.1f} |", flush=True)
    theirs, ours = map(statistics.median, taken.values())
    print(f"| median | {theirs:.3f} | {ours:.3f} | {theirs / ours:.1f} |")


if __name__ == "__main__":
    main()
