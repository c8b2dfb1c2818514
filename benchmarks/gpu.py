"""Cohorts on a CUDA GPU: 256 trials together against the same trials one after another on the same GPU.

    python benchmarks/gpu.py [medium] [small] [digits] [precision] [--rounds 3] [--data-root ../shared/data]

One after another is measured on 8 trials and scaled up. `precision` trains the network of `medium` with and without
the CUDA graph, in tf32 and in bfloat16, and gives the accuracies too. Where the files of MNIST are not in the data
root, those that benchmarks/gpu_images.py wrote are read. `--dry-run` trains a few trials on the CPU, to try each part.
`benchmarks/gpu.sh` runs the tests for a GPU and then each part in a process of its own.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from unittest.mock import patch

import torch

from phalanx import MLP, DeviceSpec, TrainerSpec, TrialSpec, load_dataset, train_cohort, train_trial
from phalanx.data import DataSpec
from phalanx.data.digits import Digits
from phalanx.data.mnist import Mnist
from phalanx.nn.optimizers.sgd import SGD
from phalanx.training import chunk as chunks
from phalanx.training.cuda_graph import cuda_graph

SMALLER = Path(__file__).resolve().parents[1] / "build" / "mnist20k"
PARTS = ("medium", "small", "digits", "precision")  # the largest first


def specs(data, hidden, batch_size, epochs, args) -> list[TrialSpec]:
    if args.dry_run:
        data, epochs = replace(data, n_train=batch_size * 10, n_val=100), 1
    return [
        TrialSpec(
            data=data, model=MLP(hidden=hidden), optimizer=SGD(lr=0.01 + 0.0001 * seed, momentum=0.9), seed=seed,
            trainer=TrainerSpec(epochs=epochs, batch_size=batch_size),
            device=DeviceSpec(kind="cpu" if args.dry_run else "cuda"),
        )
        for seed in range(4 if args.dry_run else 256)
    ]  # fmt: skip


def images(root: Path) -> DataSpec:
    """MNIST with 55,000 training images, or with 16,000 where only the smaller files are."""
    if (root / "MNIST" / "raw").is_dir():
        return Mnist(root=str(root), n_train=55_000, n_val=5_000)
    if (SMALLER / "MNIST" / "raw").is_dir():
        return Mnist(root=str(SMALLER), n_train=16_000, n_val=2_000)
    print(f"MNIST is neither in {root} nor in {SMALLER}, which benchmarks/gpu_images.py writes", file=sys.stderr)
    sys.exit(2)


def seconds(call: Callable[[], object]) -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def one_by_one(trials, dataset) -> None:
    for spec in trials:
        train_trial(spec, dataset)


def work(trials, dataset) -> str:
    model, trainer = trials[0].model, trials[0].trainer
    sizes = (dataset.n_features, *model.hidden, dataset.n_classes)
    return (
        f"{len(trials)} trials of {'-'.join(map(str, sizes))}, {len(dataset.train):,} samples, "
        f"batch {trainer.batch_size}, epochs: {trainer.epochs}"
    )


def together_and_alone(trials, rounds) -> None:
    dataset, n = load_dataset(trials[0].data), len(trials)
    n_alone = min(8, n)
    print(f"| {work(trials, dataset)} | together, s | one by one, s | one by one / together |")
    print("| --- | --- | --- | --- |", flush=True)
    train_cohort(trials[:2], dataset)
    many, alone = [], []
    for n_round in range(1, rounds + 1):
        many.append(seconds(partial(train_cohort, trials, dataset)))
        alone.append(seconds(partial(one_by_one, trials[:n_alone], dataset)) * n / n_alone)
        ratio = [a / b for a, b in zip(alone, many, strict=True)]
        print(f"| rounds: {n_round} | {spread(many)} | {spread(alone)} | {spread(ratio)} |", flush=True)


def graph_and_precision(trials, rounds) -> None:
    dataset = load_dataset(trials[0].data)
    print(f"| {work(trials, dataset)} | s | test accuracy, mean of the trials |")
    print("| --- | --- | --- |", flush=True)
    ways = {"float32": ("float32", cuda_graph), "float32, without a CUDA graph": ("float32", None)}
    ways |= {kind: (kind, cuda_graph) for kind in ("tf32", "bfloat16")}
    if trials[0].device.kind == "cpu":
        del ways["tf32"]  # which only CUDA has
    for way, (precision, capture) in ways.items():
        own = [replace(spec, trainer=replace(spec.trainer, precision=precision)) for spec in trials]
        found, times = [], []
        with patch.object(chunks, "cuda_graph", capture):
            for _ in range(rounds):
                times.append(seconds(lambda own=own, found=found: found.append(train_cohort(own, dataset))))
        accuracy = statistics.fmean(result.metrics.test_accuracy for result in found[-1])
        print(f"| {way} | {spread(times)} | {accuracy:.4f} |", flush=True)


def measure(part: str, args) -> None:
    rounds = 1 if args.dry_run else args.rounds
    if part == "digits":
        trials = specs(Digits(), (32,), 32, 20, args)
    else:
        trials = specs(images(args.data_root), (50, 20) if part == "small" else (256, 128), 128, 2, args)
    (graph_and_precision if part == "precision" else together_and_alone)(trials, rounds)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help="medium, small, digits, precision; all without one")
    parser.add_argument("--data-root", type=Path, default=Path("../shared/data"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dry-run", action="store_true")
    args = parser.parse_args()
    if unknown := set(args.parts) - set(PARTS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; the parts are {', '.join(PARTS)}")
    if not args.dry_run and not torch.cuda.is_available():
        print("there is no CUDA GPU here: nothing was measured; --dry-run tries the parts on the CPU", file=sys.stderr)
        return 2
    device = "the CPU, a dry run" if args.dry_run else torch.cuda.get_device_name()
    print(f"{date.today()}, torch {torch.__version__}, {device}\n", flush=True)
    for part in args.parts or PARTS:
        measure(part, args)
        print(flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
