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


def measure(lab: Lab) -> Finding:
    trials = by(lab.sweep(), "trainer.epochs")
    reached = {int(epochs): values(found, "train_accuracy") for (epochs,), found in trials.items()}
    rows = [[str(epochs), spread(seeds), str(sum(a == 1 for a in seeds))] for epochs, seeds in reached.items()]
    longest = trials[(str(max(reached)),)]
    figure = new_figure(7, 3.4)
    axes = figure.subplots()
    for trial in longest:
        axes.plot([row.train_accuracy for row in trial.curves], color=BLUE, alpha=0.35, linewidth=1)
    axes.plot(mean_curve(longest, "train_accuracy"), color=BLUE, linewidth=2)
    axes.axvline(100, color="black", linestyle=":")
    axes.grid(alpha=0.3)
    label_axes(axes, "64 images learnt by heart: each seed, and the mean", "epoch = update", "training accuracy")
    shown = lab.figure(figure, "curves", "training accuracy by update")
    text = table(("epochs of one batch", "training accuracy", "seeds at 1.0, of 10"), rows) + "\n\n" + shown
    answer = ", ".join(f"{statistics.fmean(seeds):.3f} after {epochs} updates" for epochs, seeds in reached.items())
    same = Agreement("100 updates, same images", reached[100], plain_torch(lab))
    others = values(lab.sweep("trainer.epochs=100", "seed=0", "data.split_seed=range(10)"), "train_accuracy")
    noted = Agreement("100 updates, other images", others, REFERENCE)
    return Finding(text, f"training accuracy {answer}", [same, noted])


def plain_torch(lab: Lab) -> list[float]:
    """The recipe in a plain loop, ten seeds of its own: training accuracy after 100 updates."""
    data = Mnist(root=str(lab.data_root), first=5120, n_val=100, n_train=64, normalize="none")
    x_ND, y_N = (part := load_dataset(data).train).x_ND, part.y_N
    found = []
    for seed in range(10):
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Linear(784, 50), nn.ReLU(), nn.Linear(50, 20), nn.ReLU(), nn.Linear(20, 10))
        optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
        for _ in range(100):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x_ND), y_N).backward()
            optimizer.step()
        found.append((net(x_ND).argmax(-1) == y_N).double().mean().item())
    return found
