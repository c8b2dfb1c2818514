"""Four losses at one learning rate; why MSE is slow, and where it catches up. Axes: T seeds, B batch, P parameters."""

from __future__ import annotations

import statistics

import torch
from lab import Agreement, Finding, Lab, Trial, by, interval, mean_curve, spread, table, values

from phalanx import LOSSES, MLP, load_dataset
from phalanx.data.mnist import Mnist
from phalanx.report.style import BLACK, BLUE, GREEN, ORANGE, VERMILLION, label_axes, new_figure

REFERENCE = (0.916, 0.911, 0.914)  # plain PyTorch, test accuracy; the first three losses are equal
REFERENCE_MSE = (0.155, 0.184, 0.116)
TITLES = {
    "handwritten_nll": "−log(1e-7 + p), by hand",
    "nll": "NLL on log-softmax",
    "cross_entropy": "cross-entropy on logits",
    "mse": "MSE of softmax",
}
FORMS = {"handwritten_nll": LOSSES["nll"](output="softmax"), "nll": LOSSES["nll"](),
         "cross_entropy": LOSSES["cross_entropy"](), "mse": LOSSES["mse"]()}  # fmt: skip
RATES = ("0.5", "2", "5", "10")  # beside 0.1, the rate of all


def measure(lab: Lab) -> Finding:
    losses = {key: trials for (key,), trials in by(lab.sweep(), "loss").items()}
    rated = lab.sweep("loss=mse", "optimizer.lr=" + ",".join(RATES), "seed=range(3)")
    rates = {"0.1": values(losses["mse"], "test_accuracy")}
    rates |= {key: values(trials, "test_accuracy") for (key,), trials in by(rated, "optimizer.lr").items()}
    norms = gradient_norms(lab)
    rows = [
        [TITLES[loss], *(spread(values(trials, f"{split}_accuracy")) for split in ("val", "test")), size(norms, loss)]
        for loss, trials in losses.items()
    ]
    head = ("loss, learning rate 0.1", "2,000 held out", "10,000 test images", "L2 norm of the first gradient")
    figure = lab.figure(draw(losses, rates), "curves", "accuracy by epoch, and of MSE by learning rate")
    apart = max(
        abs(a - b) for other in ("handwritten_nll", "nll") for a, b in zip(
            *(values(losses[loss], "test_accuracy") for loss in (other, "cross_entropy")), strict=True)
    )  # fmt: skip
    best = max(rates, key=lambda rate: statistics.fmean(rates[rate]))
    sentence = (
        f"Seed by seed, the first three differ by at most {apart:.4f} of test accuracy. "
        f"MSE's first gradient is {ratio(norms):.0f} times as small as that of cross-entropy."
    )
    by_rate = table(
        ("MSE at learning rate", "10,000 test images"), [[rate, spread(seeds)] for rate, seeds in rates.items()]
    )
    answer = (
        f"NLL by hand, NLL and cross-entropy: {interval(values(losses['cross_entropy'], 'test_accuracy'))}, equal to "
        f"{apart:.4f}; MSE {interval(values(losses['mse'], 'test_accuracy'))} at the same rate 0.1, and "
        f"{statistics.fmean(rates[best]):.3f} at {best}, since its gradient is {ratio(norms):.0f} times as small"
    )
    agreements = [
        Agreement(TITLES[loss], values(trials, "test_accuracy"), REFERENCE_MSE if loss == "mse" else REFERENCE)
        for loss, trials in losses.items()
    ]
    return Finding("\n\n".join([table(head, rows), sentence, by_rate, figure]), answer, agreements)


def gradient_norms(lab: Lab) -> dict[str, list[float]]:
    """For each loss the L2 norm of the gradient of the whole network on 100 images before training, a seed each."""
    dataset = load_dataset(Mnist(root=str(lab.data_root), first=12000, n_val=2000, normalize="none", scale=256.0))
    model = MLP(hidden=(1200, 600, 300))
    layout = model.layout(784, 10)
    params_TP = model.initial(layout, range(10)).requires_grad_()
    x_TBD = dataset.train.x_ND[:100].expand(10, -1, -1)
    y_TB = dataset.train.y_N[:100].expand(10, -1)
    norms = {}
    for name, loss in FORMS.items():
        total = loss(model.forward(layout.views(params_TP), x_TBD), y_TB).mean(1).sum()
        norms[name] = torch.autograd.grad(total, params_TP)[0].norm(dim=1).tolist()
    return norms


def size(norms: dict[str, list[float]], loss: str) -> str:
    return f"{statistics.fmean(norms[loss]):.3g}"


def ratio(norms: dict[str, list[float]]) -> float:
    return statistics.fmean(norms["cross_entropy"]) / statistics.fmean(norms["mse"])


def draw(losses: dict[str, list[Trial]], rates: dict[str, list[float]]) -> object:
    figure = new_figure(10, 3.8)
    left, right = figure.subplots(1, 2)
    looks = dict(zip(TITLES, ((BLACK, "-", 5), (ORANGE, "--", 3), (BLUE, ":", 2), (VERMILLION, "-", 2)), strict=True))
    for loss, trials in losses.items():
        colour, line, width = looks[loss]
        curve = mean_curve(trials, "val_accuracy")
        left.plot(range(1, len(curve) + 1), curve, line, color=colour, linewidth=width, label=TITLES[loss])
    left.set_xticks(range(1, 6))
    label_axes(left, "learning rate 0.1", "epoch", "validation accuracy, mean")
    for rate, seeds in rates.items():
        right.plot([float(rate)] * len(seeds), seeds, "o", color=VERMILLION, alpha=0.5, markeredgewidth=0)
    right.plot([float(rate) for rate in rates], [statistics.fmean(seeds) for seeds in rates.values()], color=VERMILLION)
    level = statistics.fmean(values(losses["cross_entropy"], "test_accuracy"))
    right.axhline(level, color=BLUE, linestyle=":", label="cross-entropy at 0.1")
    right.axvline(5, color=GREEN, linestyle="--", linewidth=1, label="0.1 · C² / 2 for C = 10 classes")
    right.set_xscale("log")
    label_axes(right, "MSE after five epochs", "learning rate", "test accuracy")
    for axes in (left, right):
        axes.set_ylim(0, 1)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, loc="center right" if axes is left else "lower right")
    return figure
