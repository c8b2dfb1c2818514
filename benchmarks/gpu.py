"""Cohorts on a CUDA GPU: 256 trials together and one after another, and what a step is made of.

    python benchmarks/gpu.py [PART ...] [--seconds 30] [--data-root ../shared/data] [--dry-run]

| part | what it measures |
| --- | --- |
| medium, small, digits | 256 trials of a network together, against the same trials one after another on the same GPU |
| graphs | a step with and without the CUDA graph, of 256 trials and of one; what a capture costs |
| limit | a step beside the least time that its operations and bytes take on this GPU |
| cpu | an epoch of 256 trials on the GPU, against one on two cores of this machine |
| precision | tf32 and bfloat16: seconds, and the accuracy of the same trials |
| profile | where the time of a step and of an epoch goes |
| memory | the memory of a cohort, estimated and used, and the largest one |

Each part prints rows of a table as soon as they are there, and begins no row after `--seconds`. A part that fails does
not stop the others. Where the files of MNIST are not in the data root, those that benchmarks/gpu_images.py wrote are
read. `--dry-run` trains a few trials on the CPU, to see that each part runs. `benchmarks/gpu.sh` runs the tests for a
GPU and then each part in a process of its own.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path

import gpu_profile
import torch
from gpu_work import (
    NETWORKS,
    Machine,
    epoch,
    heads,
    loaded,
    new_chunk,
    peak_bytes_per_s,
    peak_flops_per_s,
    products,
    say,
    sizes,
    step_seconds,
    step_work,
    title,
)

from phalanx import DeviceSpec, TrialSpec, load_dataset, train_cohort, train_trial
from phalanx.core.result import TrialResult
from phalanx.data import Dataset
from phalanx.training.cohort import BUFFERS
from phalanx.training.planning import free_bytes

ALONE = 6  # trials that are trained one after another, from which all of them are scaled up


def spread(values: Sequence[float]) -> str:
    """The median, and the range of several."""
    middle = f"{statistics.median(values):.3g}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.3g}-{max(values):.3g})"


def in_epochs(results: Sequence[TrialResult]) -> float:
    """The seconds of training and validation of trials: each has its share of those of its cohort."""
    return sum(result.train_seconds for result in results)


def against_alone(machine: Machine, name: str) -> None:
    """256 trials together, and one after another; a round each until the time is up."""
    specs, dataset = loaded(machine, name)
    n_alone = min(ALONE, len(specs))
    print(
        f"{len(specs)} trials of {title(specs[0], dataset)}, {len(dataset.train):,} samples, batch "
        f"{specs[0].trainer.batch_size}, epochs: {specs[0].trainer.epochs}. One after another is scaled up from "
        f"{n_alone} trials. Epochs are training and validation; the whole has initial weights and all metrics too.\n"
    )
    heads("rounds", "epochs together, s", "one after another, s", "times as fast", "whole together, s",
          "one after another, s", "times as fast", "aim")  # fmt: skip
    train_cohort(specs[:2], dataset)
    found, took, scale = list[tuple[float, ...]](), 0.0, len(specs) / n_alone
    while not found or (took < machine.left and not machine.dry):
        start, together, alone = time.monotonic(), list[TrialResult](), list[TrialResult]()
        whole = machine.timed(lambda into=together: into.extend(train_cohort(specs, dataset)))
        one_by_one = machine.timed(lambda into=alone: into.extend(train_trial(s, dataset) for s in specs[:n_alone]))
        found.append((in_epochs(together), in_epochs(alone) * scale, whole, one_by_one * scale))
        a, b, c, d = zip(*found, strict=True)
        say(len(found), spread(a), spread(b), spread([y / x for x, y in zip(a, b, strict=True)]),
            spread(c), spread(d), spread([y / x for x, y in zip(c, d, strict=True)]), NETWORKS[name].aim)  # fmt: skip
        took = time.monotonic() - start


def limit(machine: Machine) -> None:
    """A step beside the least time of its operations and bytes."""
    speed = {kind: peak_flops_per_s(machine, kind) for kind in ("float32", "tf32", "bfloat16")}
    moved = peak_bytes_per_s(machine)
    print(f"A copy of 1 GiB moves {moved / 1e9:,.0f} GB/s; a product of 8192 x 8192 makes "
          f"{', '.join(f'{s / 1e12:,.1f} TFLOP/s in {kind}' for kind, s in speed.items())}.\n")  # fmt: skip
    heads("network", "trials", "GFLOP a step", "MB a step", "least time, ms", "step, ms", "share of the limit")
    for name in NETWORKS:
        specs, dataset = loaded(machine, name)
        chunk = new_chunk(machine, specs, dataset)
        epoch(chunk)
        n_batch = chunk.stack.batch_size
        held = 1 if dataset.train.table is not None else 4
        parts = step_work(len(specs), n_batch, sizes(specs[0], dataset), bytes_of_input=held)
        least, step = sum(part.seconds(speed["float32"], moved) for part in parts), step_seconds(machine, chunk)
        gflop, mb = sum(part.flops for part in parts) / 1e9, sum(part.bytes for part in parts) / 1e6
        say(title(specs[0], dataset), len(specs), f"{gflop:.2f}", f"{mb:.0f}", f"{1e3 * least:.3f}",
            f"{1e3 * step:.3f}", f"{least / step:.0%}")  # fmt: skip
    bare_products(machine, speed["float32"], moved)


def bare_products(machine: Machine, flops_per_s: float, bytes_per_s: float) -> None:
    """The products of a step by themselves."""
    print(
        "\nThe products by themselves, where the numbers of a trial lie one behind another, and where each matrix "
        "begins at a multiple of 256 bytes\n"
    )
    heads("network", "product", "least, ms", "in rows, ms", "aligned, ms")
    for name in NETWORKS:
        specs, dataset = loaded(machine, name)
        for product in gpu_profile.timed_products(machine, new_chunk(machine, specs, dataset)):
            work = dict(products(len(specs), specs[0].trainer.batch_size, sizes(specs[0], dataset)))[product.name]
            times = work.seconds(flops_per_s, bytes_per_s), product.in_rows, product.aligned
            say(title(specs[0], dataset), product.name, *(f"{1e3 * seconds:.3f}" for seconds in times))


def on_cpu(machine: Machine) -> None:
    """An epoch on the GPU and one on two cores, by the steps of each."""
    n_steps = 6
    print(
        f"A step with what belongs to it of an epoch. On the CPU of an epoch of {n_steps} steps and 100 validation "
        f"samples, on the GPU of a whole one; {min(2, os.cpu_count() or 1)} threads.\n"
    )
    heads("network", "trials", "step on two cores, ms", "step on the GPU, ms", "times as fast")
    for name in reversed(NETWORKS):  # the shortest first
        specs, dataset = loaded(machine, name, epochs=2)
        few = replace(specs[0].data, n_train=n_steps * specs[0].trainer.batch_size, n_val=100)
        slow = [replace(s, data=few, device=DeviceSpec(kind="cpu", threads=2)) for s in specs]
        on_cores = second_epoch(slow, load_dataset(few), n_steps)
        there = second_epoch(specs, dataset, -(-len(dataset.train) // specs[0].trainer.batch_size))
        say(title(specs[0], dataset), len(specs), f"{on_cores:.2f}", f"{there:.3f}", f"{on_cores / there:.0f}")


def second_epoch(specs: Sequence[TrialSpec], dataset: Dataset, n_steps: int) -> float:
    """Milliseconds a step of the second epoch of a cohort."""
    results = train_cohort(specs, dataset, test=False)
    return 1e3 * sum(result.history[-1].seconds for result in results) / n_steps


def precision(machine: Machine) -> None:
    """The same trials in each precision."""
    specs, dataset = loaded(machine, "medium", None if machine.dry else 64)
    print(
        f"{len(specs)} trials of {title(specs[0], dataset)}, epochs: {specs[0].trainer.epochs}; the difference from "
        "float32 is paired by trial, with its 95 % interval over trials, which differ in seed and learning rate.\n"
    )
    heads("precision", "epochs, s", "step, ms", "test accuracy, %", "difference, points")
    exact: list[float] = []
    for kind in ("float32", *(() if machine.dry else ("tf32",)), "bfloat16"):
        own = [replace(spec, trainer=replace(spec.trainer, precision=kind)) for spec in specs]
        chunk = new_chunk(machine, own, dataset)
        epoch(chunk)
        step, results = 1e3 * step_seconds(machine, chunk), train_cohort(own, dataset)
        found = [100 * (result.metrics.test_accuracy or 0) for result in results]
        off = [a - b for a, b in zip(found, exact or found, strict=True)]
        wide = 1.96 * statistics.stdev(off) / math.sqrt(len(off))
        exact = exact or found
        say(kind, f"{in_epochs(results):.3g}", f"{step:.3f}", f"{statistics.fmean(found):.2f}",
            f"{statistics.fmean(off):+.2f} ± {wide:.2f}")  # fmt: skip


def memory(machine: Machine) -> None:
    """Estimated and used memory of growing cohorts, to the largest that a cohort of this GPU may have."""
    specs, dataset = loaded(machine, "medium", 1)
    n_bytes = 4 * BUFFERS * specs[0].model.layout(dataset.n_features, dataset.n_classes).size
    most = 4 if machine.dry else free_bytes(machine.device) // n_bytes
    print(
        f"{title(specs[0], dataset)}: {n_bytes / 1e6:.1f} MB a trial by the estimate, by which {most:,} trials fit. "
        f"One epoch of {len(dataset.train):,} samples, without the metrics of a result.\n"
    )
    heads("trials", "estimate, GB", "most used, GB", "used / estimate", "first weights, s", "epoch, s")
    took, counts = 0.0, [n for n in (2, 256, 1024, 4096, 16384) if n < most and (n > 2 or machine.dry)]
    for n in [*counts, most]:
        if took > machine.left:
            print(f"\n{n:,} trials were not tried: they would take {took:.0f} s, and {machine.left:.0f} s were left")
            return
        start = time.monotonic()
        say(f"{n:,}", f"{n * n_bytes / 1e9:.2f}", *used_memory(machine, n, dataset, n * n_bytes))
        took = 4 * (time.monotonic() - start)  # of four times as many


def used_memory(machine: Machine, n: int, dataset: Dataset, estimate: int) -> list[str]:
    """The cells of a row of `memory` that are measured."""
    if not machine.dry:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    start = time.monotonic()
    try:
        chunk = new_chunk(machine, machine.trials("medium", n), dataset)
        joined, seconds = time.monotonic() - start, machine.timed(partial(epoch, chunk))
    except torch.OutOfMemoryError as error:
        return ["out of memory", str(error).partition(".")[0], "", ""]
    used = 0 if machine.dry else torch.cuda.max_memory_allocated()
    return [f"{used / 1e9:.2f}", f"{used / estimate:.2f}", f"{joined:.1f}", f"{seconds:.2f}"]


PARTS: dict[str, Callable[[Machine], None]] = {
    **{name: partial(against_alone, name=name) for name in NETWORKS},
    "limit": limit, "graphs": gpu_profile.graphs, "precision": precision, "cpu": on_cpu, "profile": gpu_profile.profile,
    "memory": memory,
}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; all without one")
    parser.add_argument("--data-root", type=Path, default=Path("../shared/data"))
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--dry-run", action="store_true")
    args = parser.parse_args()
    if unknown := set(args.parts) - set(PARTS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; the parts are {', '.join(PARTS)}")
    if not args.dry_run and not torch.cuda.is_available():
        print("there is no CUDA GPU here: nothing was measured; --dry-run tries the parts on the CPU", file=sys.stderr)
        return 2
    device = "the CPU, a dry run" if args.dry_run else torch.cuda.get_device_name()
    print(f"{date.today()}, torch {torch.__version__}, {device}", flush=True)
    failed = []
    for part in args.parts or PARTS:
        print(f"\n### {part}\n", flush=True)
        try:
            PARTS[part](Machine(args.dry_run, args.data_root, args.seconds, time.monotonic()))
        except Exception:
            traceback.print_exc()
            failed.append(part)
    if failed:
        print(f"\nfailed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
