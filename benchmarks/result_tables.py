"""The result tables of docs/results.md from real runs: loss × optimizer × depth, each with its default learning rate.

    python benchmarks/result_tables.py [--data-root ../shared/data] [--seeds 5] [--write]

Seeds of one combination train together as a cohort. `--write` puts the tables into docs/results.md, between its marks.
"""

from __future__ import annotations

import argparse
import statistics
import time
from datetime import date
from pathlib import Path

import torch
from omegaconf import OmegaConf

from phalanx import LOSSES, MLP, OPTIMIZERS, TrainerSpec, TrialSpec, load_dataset, train_cohort
from phalanx.data.base import DataSpec
from phalanx.data.digits import Digits
from phalanx.data.mnist import Mnist

ROOT = Path(__file__).resolve().parent.parent
DEPTHS = {"2 linear layers": 1, "3 linear layers": 2, "4 linear layers": 3}
MARKS = ("<!-- tables: begin, written by `make tables` -->", "<!-- tables: end -->")


def default_lr(loss: str, optimizer: str) -> float:
    """The learning rate that conf/ gives this pair."""
    return float(OmegaConf.load(ROOT / "conf" / "loss" / f"{loss}.yaml").default_lr[optimizer])


def table(data: DataSpec, width: int, trainer: TrainerSpec, n_seeds: int) -> str:
    """Markdown: a row a loss and optimizer, a column a depth, mean ± standard deviation of test accuracy in percent."""
    dataset, start = load_dataset(data), time.perf_counter()
    lines = ["| loss | optimizer | lr | " + " | ".join(DEPTHS) + " |", "| --- | --- | --- |" + " --- |" * len(DEPTHS)]
    for loss in ("nll", "cross_entropy", "mse"):
        for optimizer in ("sgd", "adam"):
            lr, cells = default_lr(loss, optimizer), []
            for n_hidden in DEPTHS.values():
                specs = [
                    TrialSpec(
                        data=data, loss=LOSSES[loss](), optimizer=OPTIMIZERS[optimizer](lr=lr),
                        model=MLP(hidden=(width,) * n_hidden), trainer=trainer, seed=seed,
                    )
                    for seed in range(n_seeds)
                ]  # fmt: skip
                accuracies = [100 * (r.metrics.test_accuracy or 0.0) for r in train_cohort(specs, dataset)]
                cells.append(f"{statistics.mean(accuracies):.2f} ± {statistics.stdev(accuracies):.2f}")
            lines.append(f"| {loss} | {optimizer} | {lr:g} | " + " | ".join(cells) + " |")
            print(lines[-1], flush=True)
    seconds = time.perf_counter() - start
    head = (
        f"**{dataset.name}** ({len(dataset.train):,} train, {len(dataset.val):,} val, {len(dataset.test):,} test), "
        f"hidden width {width}, batch {trainer.batch_size}, {trainer.epochs} epochs: test accuracy in percent, mean ± "
        f"standard deviation of {n_seeds} seeds on one split. {18 * n_seeds} trainings in {seconds:.0f} s."
    )
    return head + "\n\n" + "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", default="../shared/data")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    parts = [
        f"Measured {date.today()} on {torch.get_num_threads()} CPU cores with torch {torch.__version__}; learning "
        "rates are the defaults, not tuned, so a row says what to expect and not which loss is better."
    ]
    parts.append(table(Digits(), 64, TrainerSpec(), args.seeds))
    if (Path(args.data_root) / "MNIST").is_dir():
        parts.append(table(Mnist(root=args.data_root), 128, TrainerSpec(epochs=5, batch_size=128), args.seeds))
    else:
        print(f"no MNIST table: its files are not in {args.data_root}")
    text = "\n\n".join(parts)
    if args.write:
        page = ROOT / "docs" / "results.md"
        before, rest = page.read_text().split(MARKS[0])
        page.write_text(f"{before}{MARKS[0]}\n\n{text}\n\n{MARKS[1]}{rest.split(MARKS[1])[1]}")


if __name__ == "__main__":
    main()
