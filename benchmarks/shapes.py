"""What padding different networks to one shape saves on this machine: blocks of a shape each against shared ones.

    python benchmarks/shapes.py [--rounds 5]

Each row trains the same trials, by the cost that a chunk of its own (`planning.CHUNK_S`): none is padded
at 0, all are at infinity. Digits, batch 32, 5 epochs, SGD.
"""

from __future__ import annotations

import argparse
import statistics
import time
from datetime import date

import torch

from phalanx import MLP, DeviceSpec, TrainerSpec, TrialSpec, load_dataset, train_cohort
from phalanx.nn.optimizers.sgd import SGD
from phalanx.training import planning

SETS: dict[str, tuple[list[tuple[int, ...]], int]] = {
    "64 widths from 8 to 71, one hidden layer, 1 seed": ([(width,) for width in range(8, 72)], 1),
    "the same, 5 seeds": ([(width,) for width in range(8, 72)], 5),
    "1 to 3 hidden layers of 32, 64, 128 or 256, 1 seed": (
        [(w,) * depth for depth in (1, 2, 3) for w in (32, 64, 128, 256)],
        1,
    ),
    "the same shapes, 5 seeds": ([(w,) * depth for depth in (1, 2, 3) for w in (32, 64, 128, 256)], 5),
}
COSTS = (0.0, planning.CHUNK_S["cpu"], float("inf"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    dataset = load_dataset(TrialSpec().data)
    print(f"{date.today()}, torch {torch.__version__}, {torch.get_num_threads()} threads\n")
    print("| trials | a chunk for each shape, s | padded by the rule, s | all padded, s |")
    print("| --- | --- | --- | --- |")
    for name, (shapes, n_seeds) in SETS.items():
        specs = [
            TrialSpec(
                seed=seed,
                model=MLP(hidden=hidden),
                optimizer=SGD(),
                trainer=TrainerSpec(epochs=5),
                device=DeviceSpec(pad=True),
            )
            for hidden in shapes
            for seed in range(n_seeds)
        ]
        times: dict[float, list[float]] = {cost: [] for cost in COSTS}
        for _ in range(rounds):
            for cost in COSTS:
                planning.CHUNK_S["cpu"] = cost
                start = time.perf_counter()
                train_cohort(specs, dataset)
                times[cost].append(time.perf_counter() - start)
        cells = [f"{statistics.median(t):.2f} ({min(t):.2f}-{max(t):.2f})" for t in times.values()]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
