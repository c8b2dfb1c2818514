"""Whole commands, as a person waits for them: grids, a search and a single run of tiny networks.

    python benchmarks/commands.py [--rounds 3] [--against DIR] [--only grid of 64] [--tracking]

`--against` measures the same commands in another checkout too, in turn. Each is a process of its own, from its start to
its end, with folders that are thrown away.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
SEARCH = ["-m", "hydra/sweeper=optuna", "hydra/sweeper/sampler=random", "hydra.sweeper.n_trials=64"]
COMMANDS = {
    "single run": [],
    "grid of 64": ["-m", "seed=range(64)"],
    "grid of 256": ["-m", "seed=range(256)"],
    "grid of 64, processes": ["-m", "seed=range(64)", "hydra.launcher.executor=processes"],
    "search of 64, 16 at a time": [*SEARCH, "hydra.sweeper.n_jobs=16", "optimizer.lr=tag(log,interval(0.001,0.1))"],
}


def seconds(checkout: Path, arguments: list[str], tracking: bool) -> float:
    """The wall time of one command. Raises `CalledProcessError` if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        where = f"hydra.sweep.dir={folder}/out" if "-m" in arguments else f"hydra.run.dir={folder}/out"
        store = [f"tracking.uri=sqlite:///{folder}/mlflow.db"] if tracking else ["tracking=none"]
        command = [str(checkout / ".venv/bin/python"), "train.py", *arguments, "trainer.epochs=2", where, *store]
        started = time.perf_counter()
        subprocess.run(command, cwd=checkout, check=True, capture_output=True)
        return time.perf_counter() - started


def summary(values: list[float]) -> str:
    """Median and range."""
    return f"{statistics.median(values):.1f} ({min(values):.1f}-{max(values):.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--against", type=Path, help="another checkout, with a .venv of its own")
    parser.add_argument("--only", choices=COMMANDS, action="append", help="of the commands these alone")
    parser.add_argument("--tracking", action="store_true", help="log to MLflow, in a new SQLite file each")
    options = parser.parse_args()
    checkouts = [HERE, *([options.against.resolve()] if options.against else [])]
    head = "| command, 2 epochs of digits | seconds |" + (" before | before / now |" if options.against else "")
    print(head, "| --- " * (head.count("|") - 1) + "|", sep="\n")
    for name in options.only or COMMANDS:
        taken: dict[Path, list[float]] = {checkout: [] for checkout in checkouts}
        for _ in range(options.rounds):
            for checkout in checkouts:
                taken[checkout].append(seconds(checkout, COMMANDS[name], options.tracking))
        cells = [summary(taken[checkout]) for checkout in checkouts]
        if options.against:
            cells.append(f"{statistics.median(taken[checkouts[1]]) / statistics.median(taken[HERE]):.1f}")
        print("|", " | ".join([name, *cells]), "|", flush=True)


if __name__ == "__main__":
    sys.exit(main())
