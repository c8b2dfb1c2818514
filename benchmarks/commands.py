"""Whole commands, as a person waits for them: grids, a search and a single run of tiny networks.

    python benchmarks/commands.py [--rounds 3] [--against DIR] [--only "grid of 64"] [--tracking]

`--against` measures the same commands in another checkout too, in turn, with the packages of this Python. Each is a
process of its own, from its start to its end, with folders that are thrown away. CPU time is that of the command and of
what it waited for, and hardly depends on what else the machine does. The wait for a number is the time from the last
line of an epoch or a trial to the first line of the summary.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
SEARCH = ["-m", "hydra/sweeper=optuna", "hydra/sweeper/sampler=random", "hydra.sweeper.n_trials=64"]
LR = "optimizer.lr=tag(log,interval(0.001,0.1))"
ONE_NETWORK = ["-m", "hydra/sweeper=optuna", "model.hidden=[64,32]", LR, "trainer.epochs=20"]
TINY = ["-m", "model.hidden=[32]", "trainer.epochs=20"]
TORCH = "import of torch alone"  # which says how fast the machine is now
PACKAGES = "import torch, hydra, omegaconf, rich.console, matplotlib.figure, matplotlib.backends.backend_agg"
COMMANDS = {
    TORCH: ["-c", "import torch"],
    "imports of packages of a single run": ["-c", PACKAGES],
    "imports of packages of a search": ["-c", f"{PACKAGES}, optuna, sqlalchemy.orm, alembic.config"],
    "single run of 20 epochs": ["trainer.epochs=20"],
    "default search of 20, 20 epochs": ["-m", "hydra/sweeper=optuna", "trainer.epochs=20"],
    "search of 1, 20 epochs": [*ONE_NETWORK, "hydra.sweeper.n_trials=1"],
    "search of 101, 20 epochs": [*ONE_NETWORK, "hydra.sweeper.n_trials=101"],
    "search of 101, 20 epochs, one at a time": [*ONE_NETWORK, "hydra.sweeper.n_trials=101", "hydra.sweeper.n_jobs=1"],
    "grid of 1, 20 epochs": [*TINY, "seed=0"],
    "grid of 64, 20 epochs": [*TINY, "seed=range(64)"],
    "single run": [],
    "grid of 64": ["-m", "seed=range(64)"],
    "grid of 256": ["-m", "seed=range(256)"],
    "grid of 64, processes": ["-m", "seed=range(64)", "hydra.launcher.executor=processes"],
    "search of 64, 16 at a time": [*SEARCH, "hydra.sweeper.n_jobs=16", LR],
}


@dataclass(frozen=True)
class Taken:
    """Seconds of one command."""

    wall: float
    cpu: float
    wait: float  # for its first number


def measure(checkout: Path, arguments: list[str], tracking: bool) -> Taken:
    """Runs one command. Raises `CalledProcessError` if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        where = f"hydra.sweep.dir={folder}/out" if "-m" in arguments else f"hydra.run.dir={folder}/out"
        store = [f"tracking.uri=sqlite:///{folder}/mlflow.db"] if tracking else ["tracking=none"]
        epochs = [] if any(text.startswith("trainer.epochs=") for text in arguments) else ["trainer.epochs=2"]
        command = [sys.executable, "train.py", *arguments, *epochs, where, *store]
        if arguments[:1] == ["-c"]:
            command = [sys.executable, *arguments]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        started = trained = number = time.perf_counter()
        with subprocess.Popen(
            command, cwd=checkout, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(checkout / "src")},
        ) as process:  # fmt: skip
            for line in process.stdout or ():
                if line.startswith(("epoch ", "trial ")):
                    trained = time.perf_counter()
                elif line.startswith(("train loss ", "best ")) and number < trained:
                    number = time.perf_counter()
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)
        wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return Taken(wall, cpu, number - trained)


def summary(values: list[float]) -> str:
    """Median and range."""
    return f"{statistics.median(values):.1f} ({min(values):.1f}-{max(values):.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--against", type=Path, help="another checkout")
    parser.add_argument("--only", choices=COMMANDS, action="append", help="of the commands these alone")
    parser.add_argument("--tracking", action="store_true", help="log to MLflow, in a new SQLite file each")
    options = parser.parse_args()
    checkouts = [HERE, *([options.against.resolve()] if options.against else [])]
    before = " before | its CPU | its wait | before / now | of CPU |" if options.against else ""
    head = f"| command, digits, 2 epochs if it says nothing else | seconds | CPU | wait for a number |{before}"
    print(head, "| --- " * (head.count("|") - 1) + "|", sep="\n")
    for name in options.only or COMMANDS:
        taken: dict[Path, list[Taken]] = {checkout: [] for checkout in checkouts}
        for _ in range(options.rounds):
            for checkout in checkouts:
                taken[checkout].append(measure(checkout, COMMANDS[name], options.tracking))
        cells = [summary([getattr(t, of) for t in taken[c]]) for c in checkouts for of in ("wall", "cpu", "wait")]
        if options.against:
            for of in ("wall", "cpu"):
                now, then = (statistics.median(getattr(t, of) for t in taken[c]) for c in checkouts)
                cells.append(f"{then / now:.1f}")
        print("|", " | ".join([name, *cells]), "|", flush=True)


if __name__ == "__main__":
    sys.exit(main())
