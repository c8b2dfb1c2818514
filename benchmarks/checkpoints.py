"""What a checkpoint costs: milliseconds to write and to take up again, for one trial and for a cohort.

    python benchmarks/checkpoints.py [--rounds 20]

Invented data with MNIST's shapes: a checkpoint has no data in it. Written as in training, with fsync.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import torch

from phalanx import MLP, OPTIMIZERS, TrainerSpec, TrialSpec
from phalanx.data import Dataset, Split
from phalanx.data.encoders import ArrayFeatures
from phalanx.runs.checkpoint import RunCheckpointer
from phalanx.runs.layout import RunPaths
from phalanx.runs.options import CheckpointSpec
from phalanx.training.cohort import Cohort

WIDTHS = ((128, 64), (1200, 600, 300))


def data() -> Dataset:
    def split(n: int) -> Split:
        return Split(torch.rand(n, 784), torch.arange(n) % 10)

    features = ArrayFeatures(normalize="none", mean=(0.0,), std=(1.0,), n_features=784)
    return Dataset("invented", split(512), split(64), split(64), tuple("0123456789"), features, "invented")


def milliseconds(action: Callable[[], object], rounds: int) -> str:
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        action()
        times.append(1000 * (time.perf_counter() - start))
    return f"{statistics.median(times):.1f} ({min(times):.1f}-{max(times):.1f})"


def row(hidden: tuple[int, ...], optimizer: str, n_trials: int, folder: Path, rounds: int) -> str:
    spec = TrialSpec(
        model=MLP(hidden=hidden), optimizer=OPTIMIZERS[optimizer](), trainer=TrainerSpec(epochs=9, batch_size=128)
    )
    specs, often = [replace(spec, seed=seed) for seed in range(n_trials)], CheckpointSpec(every_epochs=1)
    cohort = Cohort(spec, data())
    positions = cohort.join(specs)
    cohort.epoch()
    paths = [RunPaths(folder / str(seed)) for seed in range(n_trials)]
    checkpointers = [RunCheckpointer(path, often, [one]) for path, one in zip(paths, specs, strict=True)]
    for checkpointer in checkpointers:
        checkpointer.begin(data())

    def write() -> None:
        for checkpointer, position in zip(checkpointers, positions, strict=True):
            checkpointer.epoch_ended(lambda position=position: [cohort.snapshot(position)])

    written = milliseconds(write, rounds)
    read = milliseconds(lambda: [RunCheckpointer(p, often, [s]) for p, s in zip(paths, specs, strict=True)], rounds)
    name = "-".join(map(str, (784, *hidden, 10)))
    size = sum(path.checkpoint.stat().st_size for path in paths) / 1e6
    return f"| {n_trials} of {name}, {optimizer} | {size:.1f} | {written} | {read} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    print(f"{date.today()}, {torch.get_num_threads()} CPU cores, torch {torch.__version__}, {rounds} rounds")
    print("| trials | MB | written, ms | read, ms |\n| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory(dir=".") as folder:
        for place, (hidden, optimizer, n_trials) in enumerate(
            (hidden, optimizer, n) for hidden in WIDTHS for optimizer in ("sgd", "adam") for n in (1, 16)
        ):
            print(row(hidden, optimizer, n_trials, Path(folder, str(place)), rounds))


if __name__ == "__main__":
    main()
