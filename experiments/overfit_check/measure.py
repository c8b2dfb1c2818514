"""The network of small_mnist on 64 images, and the verdict of `debug=overfit`."""

from __future__ import annotations

import statistics

import torch
from lab import Agreement, Finding, Lab, by, mean_curve, spread, table, values
from torch import nn

from phalanx.data import load_dataset
from phalanx.data.mnist import Mnist
from phalanx.report.style import BLUE, label_axes, new_figure

REFERENCE = (0.73, 0.84)  # training accuracy after 100 epochs of one batch, the ends of a range
FIRST = {"first": 65, "n_val": 1}  # a validation split has one image at least
DRAWN = {"first": 5120, "n_val": 1024, "n_train": 64}
READINGS: list[tuple[str, dict, dict]] = [
    ("nothing", {}, {}),
    ("64 drawn from the 4,096 of small_mnist, as many of each digit", DRAWN, {}),
    ("64 others drawn", {**DRAWN, "split_seed": 1}, {}),
    ("pixels standardised", {"normalize": "global"}, {}),
    ("pixels / 256", {"scale": 256.0}, {}),
    ("learning rate 0.005", {}, {"lr": 0.005}),
    ("learning rate 0.02", {}, {"lr": 0.02}),
    ("no momentum", {}, {"momentum": 0.0}),
    ("no momentum, learning rate 0.1", {}, {"momentum": 0.0, "lr": 0.1}),
    ("90 updates", {}, {"epochs": 90}),
]


def measure(lab: Lab) -> Finding:
    trials = by(lab.sweep(), "trainer.epochs")
    reached = {int(epochs): values(found, "train_accuracy") for (epochs,), found in trials.items()}
    rows = [[str(epochs), spread(seeds), str(sum(a == 1 for a in seeds))] for epochs, seeds in reached.items()]
    longest = trials[(str(max(reached)),)]
    figure = new_figure(7, 3.4)
    axes = figure.subplots()
    updates = range(1, max(reached) + 1)
    for trial in longest:
        axes.plot(updates, [row.train_accuracy for row in trial.curves], color=BLUE, alpha=0.35, linewidth=1)
    axes.plot(updates, mean_curve(longest, "train_accuracy"), color=BLUE, linewidth=2)
    axes.axvline(100, color="black", linestyle=":")
    axes.grid(alpha=0.3)
    label_axes(axes, "64 images learnt by heart: each seed, and the mean", "epoch = update", "training accuracy")
    shown = lab.figure(figure, "curves", "training accuracy by update")
    text = table(("epochs of one batch", "training accuracy", "seeds at 1.0, of 10"), rows) + "\n\n" + shown
    answer = ", ".join(f"{statistics.fmean(seeds):.3f} after {epochs} updates" for epochs, seeds in reached.items())
    text += "\n\n" + readings(lab)
    first = Mnist(root=str(lab.data_root), **FIRST, normalize="none")
    agreements = [
        Agreement("100 updates", reached[100], REFERENCE),
        Agreement("100 updates, plain loop", reached[100], plain_torch(first)),
    ]
    return Finding(text, f"training accuracy {answer}", agreements)


def readings(lab: Lab) -> str:
    """What else the recipe might mean, each with one thing different from it."""
    found = [
        [what, spread(plain_torch(Mnist(root=str(lab.data_root), **{**FIRST, "normalize": "none", **data}), **options))]
        for what, data, options in READINGS
    ]
    return "A plain loop, ten seeds, with one thing different:\n\n" + table(("", "after 100 updates"), found)


def plain_torch(data: Mnist, lr: float = 0.01, momentum: float = 0.9, epochs: int = 100) -> list[float]:
    """The recipe in a plain loop, ten seeds of its own: training accuracy after its updates."""
    x_ND, y_N = (part := load_dataset(data).train).x_ND, part.y_N
    found = []
    for seed in range(10):
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Linear(784, 50), nn.ReLU(), nn.Linear(50, 20), nn.ReLU(), nn.Linear(20, 10))
        optimizer = torch.optim.SGD(net.parameters(), lr=lr, momentum=momentum)
        for _ in range(epochs):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x_ND), y_N).backward()
            optimizer.step()
        found.append((net(x_ND).argmax(-1) == y_N).double().mean().item())
    return found
