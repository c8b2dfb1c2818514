"""Networks of one's own in a cohort, beside a plain loop over the same modules with `torch.optim`, and built-in ones.

    python benchmarks/modules.py [--rounds 5] [--trials 32] [--epochs 2]

Digits, batch 32, Adam, one thread. Figures are CPU milliseconds a trial and step, with validation: what an epoch more
costs, so that neither the beginning nor the metrics of the saved weights count, nor what else the machine does. The
plain loop trains one of the trials. The ways of training take turns; figures are medians with the range.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date

import torch
from torch import Tensor, nn

from phalanx import MLP, OPTIMIZERS, DeviceSpec, TrainerSpec, TrialSpec, load_dataset, train_cohort
from phalanx.data import Dataset
from phalanx.data.digits import Digits
from phalanx.nn.models import ModelSpec
from phalanx.nn.models.module_spec import module_spec

BATCH, RATE = 32, 0.0015
NORMS: dict[str, type[nn.Module]] = {"none": nn.Identity, "layer": nn.LayerNorm, "batch": nn.BatchNorm1d}


class Blocks(nn.Module):
    """Two hidden layers of 64 units, as the built-in network with the same options."""

    def __init__(self, n_features: int, n_classes: int, *, norm: str = "none", residual: bool = False) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(n_features, 64), nn.Linear(64, 64)
        self.norms, self.last = nn.ModuleList(NORMS[norm](64) for _ in range(2)), nn.Linear(64, n_classes)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        x = self.norms[0](self.first(x)).relu()
        y = self.norms[1](self.second(x)).relu()
        return self.last(x + y if self.residual else y)


class Transformer(nn.Module):
    """The eight rows of the image as tokens of 32 numbers, two layers of four heads."""

    def __init__(self, n_features: int, n_classes: int) -> None:
        super().__init__()
        self.up = nn.Linear(n_features // 8, 32)
        layer = nn.TransformerEncoderLayer(32, 4, dim_feedforward=64, dropout=0.0, batch_first=True)
        self.layers, self.last = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Linear(32, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.layers(self.up(x.reshape(len(x), 8, -1))).mean(1))


class Convolutions(nn.Module):
    """Convolutions of 16 and 32 channels on 8 x 8 pixels."""

    def __init__(self, n_features: int, n_classes: int) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 32, 3, padding=1)
        self.last = nn.Linear(32 * n_features // 16, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.max_pool2d(self.one(x.reshape(len(x), 1, 8, 8)).relu(), 2)
        return self.last(nn.functional.max_pool2d(self.two(x).relu(), 2).flatten(1))


OPTIONS = {
    "MLP 64-64-64-10": {},
    "the same with LayerNorm": {"norm": "layer"},
    "the same with BatchNorm": {"norm": "batch"},
    "the same, residual, with LayerNorm": {"norm": "layer", "residual": True},
}
KINDS: dict[str, Callable[[int, int], nn.Module]] = {
    **{name: functools.partial(Blocks, **options) for name, options in OPTIONS.items()},
    "transformer, 8 tokens of 32": Transformer,
    "convolutions 16-32 on 8 x 8": Convolutions,
}


def plain_loop(build: Callable[[int, int], nn.Module], data: Dataset, epochs: int) -> None:
    """Trains one network, and validates it after each epoch."""
    x_ND, y_N, n = data.train.x_ND, data.train.y_N, len(data.train)
    net = build(data.n_features, data.n_classes)
    optimizer, criterion = torch.optim.Adam(net.parameters(), RATE), nn.CrossEntropyLoss()
    for _ in range(epochs):
        net.train()
        order = torch.randperm(n)
        for first in range(0, n, BATCH):
            index = order[first : first + BATCH]
            optimizer.zero_grad()
            criterion(net(x_ND[index]), y_N[index]).backward()
            optimizer.step()
        net.eval()
        with torch.no_grad():
            criterion(net(data.val.x_ND), data.val.y_N).item()


def cohort(model: ModelSpec, data: Dataset, n_trials: int, epochs: int) -> str:
    """Trains all trials; returns how."""
    spec = TrialSpec(
        model=model, optimizer=OPTIMIZERS["adam"](lr=RATE), trainer=TrainerSpec(epochs=epochs, batch_size=BATCH),
        device=DeviceSpec(kind="cpu", threads=1),
    )  # fmt: skip
    return train_cohort([replace(spec, seed=seed) for seed in range(n_trials)], data)[0].way or "built in"


def cpu_of_an_epoch(train: Callable[[int], object], epochs: int) -> float:
    """CPU milliseconds of one more epoch, over so many."""
    seconds = []
    for n in (1, 1 + epochs):
        start = time.process_time()
        train(n)
        seconds.append(time.process_time() - start)
    return 1e3 * (seconds[1] - seconds[0]) / epochs


def row(name: str, data: Dataset, args: argparse.Namespace) -> str:
    """A line of the table."""
    build, n_steps = KINDS[name], -(-len(data.train) // BATCH)
    own = module_spec(Blocks if name in OPTIONS else build)(**OPTIONS.get(name, {}))
    models = {"own": own} | ({"built in": MLP(hidden=(64, 64), **OPTIONS[name])} if name in OPTIONS else {})
    ways = {kind: cohort(model, data, args.trials, 1) for kind, model in models.items()}  # and warms up
    plain_loop(build, data, 1)
    times: dict[str, list[float]] = {"plain": [], "own": [], "built in": []}
    for _ in range(args.rounds):
        times["plain"].append(cpu_of_an_epoch(functools.partial(plain_loop, build, data), 4 * args.epochs) / n_steps)
        for kind, model in models.items():
            train = functools.partial(cohort, model, data, args.trials)
            times[kind].append(cpu_of_an_epoch(train, args.epochs) / n_steps / args.trials)
    cells = [spread(times["plain"])]
    for kind in ("own", "built in"):
        ratios = [plain / ours for plain, ours in zip(times["plain"], times[kind], strict=False)]
        cells += [spread(times[kind]), spread(ratios, 1)] if ratios else ["", ""]
    return f"| {name} | {ways['own'].partition(':')[0]} | {' | '.join(cells)} |"


def spread(values: list[float], digits: int = 2) -> str:
    """The median with the range."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=2)
    args, data = parser.parse_args(), load_dataset(Digits())
    torch.set_num_threads(1)
    print(f"{date.today()}, torch {torch.__version__}, {torch.get_num_threads()} thread, {args.trials} trials\n")
    print("| network | way | plain loop, ms | own, ms | plain / own | built in, ms | plain / built in |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in KINDS:
        print(row(name, data, args), flush=True)


if __name__ == "__main__":
    main()
