"""What a part of a cohort costs as a job of its own: from its submission to its result, for a trial of one epoch.

    python benchmarks/slurm_jobs.py [--rounds 5]
    tests/slurm/with_slurm.sh .venv/bin/python benchmarks/slurm_jobs.py     # with a real Slurm

Medians, with the range in brackets. Each job begins with Python, torch and the data.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import tempfile
import time
from contextlib import closing
from pathlib import Path

from phalanx import TrainerSpec, TrialSpec
from phalanx.data.cache import dataset_of
from phalanx.jobs.executors.dispatch import RemoteScheduler
from phalanx.jobs.executors.options import LauncherSpec
from phalanx.jobs.executors.slurm import SubmititSpec
from phalanx.jobs.job import Job
from phalanx.jobs.scheduler import train_together
from phalanx.runs.config import Settings
from phalanx.runs.manifest import Sweep
from phalanx.runs.options import CheckpointSpec, TrackingSpec


def jobs_of(folder: Path, n_jobs: int) -> list[Job]:
    trials = [TrialSpec(seed=seed, trainer=TrainerSpec(epochs=1)) for seed in range(n_jobs)]
    asked = [Settings(trial, TrackingSpec(kind="none"), CheckpointSpec(), (trial.objective,)) for trial in trials]
    return [Job(one, folder / str(number), Sweep("sweep", number)) for number, one in enumerate(asked)]


def seconds(cluster: str, n_parts: int) -> float:
    """Until parts of one job each have come back, at most two at a time."""
    with tempfile.TemporaryDirectory(dir=".") as folder:
        options = LauncherSpec(executor="submitit", workers=2, submitit=SubmititSpec(cluster=cluster))
        jobs = jobs_of(Path(folder).absolute(), n_parts)
        dataset_of(jobs[0].trial.data)
        with closing(RemoteScheduler(options)) as shards:
            start = time.perf_counter()
            shards.submit([[job] for job in jobs])
            while shards.running:
                for _, result in shards.advance():
                    if result.error is not None:
                        raise result.error
            return time.perf_counter() - start


def here() -> float:
    """The same trial in this process, warm."""
    (job,) = jobs_of(Path("never"), 1)
    start = time.perf_counter()
    train_together([job])
    return time.perf_counter() - start


def row(name: str, found: list[float]) -> None:
    print(f"| {name} | {statistics.median(found):.2f} s ({min(found):.2f}–{max(found):.2f}) |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = range(parser.parse_args().rounds)
    print("| one trial of one epoch | until the result is there |\n| --- | --- |")
    here()
    row("in the process that leads", [here() for _ in rounds])
    clusters = {"local": "submitit on this machine"}
    if shutil.which("sbatch"):
        clusters["slurm"] = subprocess.run(["sbatch", "--version"], capture_output=True, text=True).stdout.strip()
    for cluster, name in clusters.items():
        row(f"{name}: one job", [seconds(cluster, 1) for _ in rounds])
        row(f"{name}: six jobs, two at a time", [seconds(cluster, 6) for _ in range(2)])


if __name__ == "__main__":
    main()
