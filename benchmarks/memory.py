"""Memory of the process that leads a long search of tiny networks, by the number of trials that have ended.

    python benchmarks/memory.py [--trials 1500] [--every 250] [--against DIR]

`--against` measures another checkout too, afterwards, with the same Python. The search is that of "A long study of tiny
networks" in README.md.
Objects are those that Python's garbage collector knows beyond the imports, collected or not.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
SEARCH = [
    "-m", "hydra/sweeper=optuna", "hydra.sweeper.study_name=big", "hydra/sweeper/sampler=random",
    "hydra.sweeper.n_jobs=64", "trainer.epochs=3", "trainer.batch_size=128", "model.hidden=[8]",
    "optimizer.lr=tag(log,interval(0.001,1))", "optimizer.weight_decay=interval(0,0.01)", "tracking=none",
]  # fmt: skip
WATCH = """
import gc, resource, runpy, sys, time
import phalanx.jobs.sweep_log as sweep_log

every, began, ended = int(sys.argv[1]), time.perf_counter(), sweep_log.SweepLog.trial_ended

def trial_ended(self, number, overrides):
    before = len(self.known)
    ended(self, number, overrides)
    if len(self.known) > before and len(self.known) % every == 0:
        resident = int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
        values = len(self.known), time.perf_counter() - began, resident / 1e6, len(gc.get_objects()) / 1e3
        print("| {:,} | {:.0f} | {:.0f} | {:.0f} |".format(*values), file=sys.stderr, flush=True)

sweep_log.SweepLog.trial_ended = trial_ended
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def measure(checkout: Path, trials: int, every: int) -> None:
    """Prints a row for each `every` trials. Raises `CalledProcessError` if the search fails."""
    print(
        f"\n{checkout.name}\n\n| trials | s | resident, MB | objects, thousands |\n| --- | --- | --- | --- |",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        given = [f"hydra.sweep.dir={folder}/out", f"hydra.sweeper.n_trials={trials}"]
        subprocess.run(
            [sys.executable, "-c", WATCH, str(every), "train.py", *SEARCH, *given], cwd=checkout, check=True,
            stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(checkout / "src")},
        )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1500)
    parser.add_argument("--every", type=int, default=250)
    parser.add_argument("--against", type=Path, help="another checkout")
    options = parser.parse_args()
    for checkout in [HERE, *([options.against.resolve()] if options.against else [])]:
        measure(checkout, options.trials, options.every)


if __name__ == "__main__":
    main()
