"""A yes or no to each class beside one choice among all: accuracy by rate, and what is said of no digit at all."""

from __future__ import annotations

import statistics

import torch
from lab import Finding, Lab, Trial, by, interval, spread, table, values

from phalanx.analysis.statistics import compare
from phalanx.analysis.wording import sentence
from phalanx.data import load_dataset
from phalanx.data.mnist import Mnist
from phalanx.report.style import BLUE, VERMILLION, label_axes, new_figure
from phalanx.runs.model_file import load_model, saved_logits

TITLES = {"cross_entropy": "softmax, cross-entropy", "one_vs_all": "one-vs-all"}
BEST = {"cross_entropy": torch.softmax, "one_vs_all": lambda logits_NC, _: torch.sigmoid(logits_NC)}


def measure(lab: Lab) -> Finding:
    trials = by(lab.sweep(), "loss", "optimizer.lr")
    rates = list(dict.fromkeys(rate for _, rate in trials))
    rows = [[rate, *(spread(values(trials[loss, rate], "test_accuracy")) for loss in TITLES)] for rate in rates]
    parts = [table(("learning rate", *(f"test accuracy, {title}" for title in TITLES.values())), rows)]
    best = {loss: max(rates, key=lambda r: mean(trials[loss, r], "val_accuracy")) for loss in TITLES}
    tests = {loss: values(trials[loss, best[loss]], "test_accuracy") for loss in TITLES}
    difference = compare({TITLES[loss]: dict(enumerate(seeds)) for loss, seeds in tests.items()}, "maximize")[0]
    parts.append(f"Each at the rate that is best on the validation split: {sentence(difference)}.")
    certain = {loss: certainty(lab, loss, best[loss]) for loss in TITLES}
    head = ("seed 0", "digits: largest answer, median", "no digits: largest answer, median", "no digits: above 0.5")
    parts.append(
        table(head, [[TITLES[loss], *(f"{number:.3f}" for number in found[2:])] for loss, found in certain.items()])
    )
    parts.append(lab.figure(draw(certain), "certainty", "largest answer on digits and on shuffled pixels"))
    answer = (
        ", ".join(f"{TITLES[loss]} {interval(tests[loss])} at {best[loss]}" for loss in TITLES)
        + "; of images with shuffled pixels "
        + ", ".join(f"{100 * found[-1]:.0f} % ({TITLES[loss]})" for loss, found in certain.items())
        + " are taken for some digit with more than 0.5"
    )
    return Finding("\n\n".join(parts), answer)


def mean(trials: list[Trial], key: str) -> float:
    return statistics.fmean(values(trials, key))


def certainty(lab: Lab, loss: str, rate: str) -> tuple:
    """The largest answers on test digits and on the same with shuffled pixels; both medians; the share above 0.5."""
    saved = load_model(lab.run(f"loss={loss}", f"optimizer.lr={rate}"))
    data = load_dataset(Mnist(root=str(lab.data_root), first=5120, n_val=1024))
    x_ND = data.test.x_ND
    shuffled_ND = x_ND[:, torch.randperm(784, generator=torch.Generator().manual_seed(0))]
    largest = [
        BEST[loss](saved_logits(saved.model, saved.weights, rows_ND, 10), -1).amax(-1)
        for rows_ND in (x_ND, shuffled_ND)
    ]
    return *largest, *(part.median().item() for part in largest), (largest[1] > 0.5).double().mean().item()


def draw(certain: dict[str, tuple]) -> object:
    figure = new_figure(9, 3.2)
    for axes, (loss, found) in zip(figure.subplots(1, 2, sharey=True), certain.items(), strict=True):
        for part, colour, label in zip(found[:2], (BLUE, VERMILLION), ("digits", "shuffled pixels"), strict=True):
            axes.hist(part.numpy(), bins=25, range=(0, 1), color=colour, alpha=0.6, label=label)
        axes.legend(frameon=False, loc="upper left")
        label_axes(axes, TITLES[loss], "largest of the ten answers", "images")
    return figure
