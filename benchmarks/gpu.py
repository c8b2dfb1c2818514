"""Cohorts on a CUDA GPU: 256 trials together against the same trials one after another on the same GPU.

    python benchmarks/gpu.py [--data-root ../shared/data] [--rounds 3] [--images 55000]

Needs torch and a GPU, nothing else of the project's environment. One after another is measured on 8 trials and scaled
up. Also: with and without the CUDA graph, and what tf32 and bfloat16 do to speed and accuracy.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from dataclasses import replace
from datetime import date
from functools import partial
from unittest.mock import patch

import torch

from phalanx import MLP, TrainerSpec, TrialSpec, load_dataset, train_cohort, train_trial
from phalanx.data.digits import Digits
from phalanx.data.mnist import Mnist
from phalanx.nn.optimizers.sgd import SGD
from phalanx.training import chunk as chunks
from phalanx.training.cuda_graph import cuda_graph

N_SERIAL = 8


def specs(data, hidden, batch_size, epochs, n, precision="float32"):
    return [
        TrialSpec(
            data=data, model=MLP(hidden=hidden), optimizer=SGD(lr=0.01 + 0.0001 * seed, momentum=0.9), seed=seed,
            trainer=TrainerSpec(epochs=epochs, batch_size=batch_size, precision=precision),
        )
        for seed in range(n)
    ]  # fmt: skip


def seconds(work) -> float:
    torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def spread(values) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def one_by_one(trials, dataset) -> None:
    for spec in trials:
        train_trial(spec, dataset)


def together_and_alone(cases, rounds) -> None:
    print("| work | together, s | one by one, s | one by one / together |")
    print("| --- | --- | --- | --- |")
    for name, trials in cases.items():
        dataset, n = load_dataset(trials[0].data), len(trials)
        train_cohort(trials[:2], dataset)
        many, alone = [], []
        for _ in range(rounds):
            many.append(seconds(partial(train_cohort, trials, dataset)))
            alone.append(seconds(partial(one_by_one, trials[:N_SERIAL], dataset)) * n / N_SERIAL)
        ratio = [a / b for a, b in zip(alone, many, strict=True)]
        print(f"| {name} | {spread(many)} | {spread(alone)} | {spread(ratio)} |", flush=True)


def graph_and_precision(trials, dataset, rounds) -> None:
    print("\n| 256 trials of 784-256-128-10 | s | test accuracy, mean of the trials |")
    print("| --- | --- | --- |")
    ways = {"float32": (trials, cuda_graph), "float32, without a CUDA graph": (trials, None)}
    for precision in ("tf32", "bfloat16"):
        ways[precision] = ([replace(s, trainer=replace(s.trainer, precision=precision)) for s in trials], cuda_graph)
    for name, (own, capture) in ways.items():
        found, times = [], []
        for _ in range(rounds):
            with patch.object(chunks, "cuda_graph", capture):
                times.append(seconds(lambda own=own, found=found: found.append(train_cohort(own, dataset))))
        accuracy = statistics.fmean(r.metrics.test_accuracy for r in found[-1])
        print(f"| {name} | {spread(times)} | {accuracy:.4f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", default="../shared/data")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=55_000)
    args = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("there is no CUDA GPU here: nothing was measured")
    print(f"{date.today()}, torch {torch.__version__}, {torch.cuda.get_device_name()}\n")
    images = Mnist(root=args.data_root, n_train=args.images, n_val=5_000)
    cases = {
        "256 trials of 784-50-20-10, batch 128, 2 epochs": specs(images, (50, 20), 128, 2, 256),
        "256 trials of 784-256-128-10, batch 128, 2 epochs": specs(images, (256, 128), 128, 2, 256),
        "256 trials of digits 64-32-10, batch 32, 20 epochs": specs(Digits(), (32,), 32, 20, 256),
    }
    together_and_alone(cases, args.rounds)
    medium = list(cases.values())[1]
    graph_and_precision(medium, load_dataset(images), args.rounds)


if __name__ == "__main__":
    main()
