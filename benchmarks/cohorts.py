"""Trials trained together against the same trials one after another, and against a plain in-memory torch loop.

    python benchmarks/cohorts.py [--data-root ../shared/data] [--rounds 5] [--only digits]

Rounds alternate the ways, so that a busy moment hits all of them; a row shows medians and the range of the ratios.
The plain loop is `nn.Sequential` and `torch.optim` on tensors in memory, validated once an epoch.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

import torch

from phalanx import MLP, TrainerSpec, TrialSpec, load_dataset, train_cohort, train_trial
from phalanx.data import Dataset
from phalanx.data.digits import Digits
from phalanx.data.mnist import Mnist
from phalanx.nn.optimizers.sgd import SGD

MOMENTUM = 0.9


@dataclass(frozen=True)
class Case:
    """One row: so many trials of one network."""

    name: str
    specs: tuple[TrialSpec, ...]
    n_serial: int  # trials really trained one by one; their time is scaled up to all

    @property
    def data(self) -> Dataset:
        return load_dataset(self.specs[0].data)


def specs(data, hidden: tuple[int, ...], batch_size: int, epochs: int, n: int) -> tuple[TrialSpec, ...]:
    """Trials that differ in seed and learning rate."""
    return tuple(
        TrialSpec(
            data=data, model=MLP(hidden=hidden), optimizer=SGD(lr=0.01 * 1.05**seed, momentum=MOMENTUM), seed=seed,
            trainer=TrainerSpec(epochs=epochs, batch_size=batch_size),
        )
        for seed in range(n)
    )  # fmt: skip


def cases(root: str) -> dict[str, Case]:
    images = Mnist(root=root, n_train=10_000, n_val=2_000)
    return {
        "digits": Case("64 trials of digits 64-32-10, batch 32, 20 epochs", specs(Digits(), (32,), 32, 20, 64), 8),
        "mnist": Case(
            "32 trials of 784-50-20-10, 10,000 images, batch 64, 5 epochs",
            specs(images, (50, 20), 64, 5, 32),
            8,
        ),
        "large": Case("8 trials of 784-1200-600-300-10, 10,000 images, batch 100, 3 epochs",
                      specs(images, (1200, 600, 300), 100, 3, 8), 2),
    }  # fmt: skip


def hidden_of(spec: TrialSpec) -> tuple[int, ...]:
    assert isinstance(spec.model, MLP)
    return spec.model.hidden


def plain(spec: TrialSpec, dataset: Dataset) -> None:
    """The loop that anybody would write."""
    torch.manual_seed(spec.seed)
    widths, layers = (dataset.n_features, *hidden_of(spec), dataset.n_classes), []
    for a, b in pairwise(widths):
        layers += [torch.nn.Linear(a, b), torch.nn.ReLU()]
    network = torch.nn.Sequential(*layers[:-1])
    optimizer = torch.optim.SGD(network.parameters(), lr=spec.optimizer.lr, momentum=MOMENTUM)
    loss_of, x, y, size = torch.nn.CrossEntropyLoss(), dataset.train.x_ND, dataset.train.y_N, spec.trainer.batch_size
    for _ in range(spec.trainer.epochs):
        order = torch.randperm(len(x))
        for start in range(0, len(x), size):
            index = order[start : start + size]
            optimizer.zero_grad()
            loss_of(network(x[index]), y[index]).backward()
            optimizer.step()
        with torch.no_grad():
            (network(dataset.val.x_ND).argmax(-1) == dataset.val.y_N).double().mean().item()


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def matmul_rate() -> float:
    """The machine's matrix-product rate in GFLOP/s: 1024 x 1024, best of 5."""
    a = torch.randn(1024, 1024)
    best = min(seconds(lambda: [a @ a for _ in range(10)]) for _ in range(5))
    return 10 * 2 * 1024**3 / best / 1e9


def row(case: Case, rounds: int) -> str:
    dataset, n = case.data, len(case.specs)
    part = case.specs[: case.n_serial]
    train_cohort(case.specs[:2], dataset)
    times: dict[str, list[float]] = {"together": [], "serial": [], "plain": []}
    for _ in range(rounds):
        times["together"].append(seconds(lambda: train_cohort(case.specs, dataset)))
        times["serial"].append(seconds(lambda: [train_trial(s, dataset) for s in part]) * n / len(part))
        times["plain"].append(seconds(lambda: [plain(s, dataset) for s in part]) * n / len(part))
    ratios = {k: [a / b for a, b in zip(times[k], times["together"], strict=True)] for k in ("serial", "plain")}
    middle = {k: statistics.median(v) for k, v in times.items()}
    size = sum(a * b for a, b in zip((dataset.n_features, *hidden_of(case.specs[0])),
                                     (*hidden_of(case.specs[0]), dataset.n_classes), strict=True))  # fmt: skip
    flops = 6 * size * len(dataset.train) * case.specs[0].trainer.epochs * n
    cells = [f"{middle[k]:.2f}" for k in ("together", "serial", "plain")]
    cells += [f"{statistics.median(v):.1f} ({min(v):.1f}-{max(v):.1f})" for v in ratios.values()]
    cells.append(f"{flops / middle['together'] / 1e9 / matmul_rate():.0%}")
    return f"| {case.name} | " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", default="../shared/data")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", default=None)
    args = parser.parse_args()
    print(
        f"{date.today()}, torch {torch.__version__}, {torch.get_num_threads()} threads, {matmul_rate():.0f} GFLOP/s\n"
    )
    print(
        "| work | together, s | one by one, s | plain loop, s | one by one / together | plain / together "
        "| of the rate |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, case in cases(args.data_root).items():
        if args.only is None or name in args.only:
            print(row(case, args.rounds), flush=True)


if __name__ == "__main__":
    main()
