"""A convolutional network of the study's own against the built-in one with a hidden layer, on 2,048 images."""

from __future__ import annotations

from lab import DIFFERENCE, Finding, Lab, Trial, by, interval, mean_curve, table, values

from phalanx.report.style import BLUE, VERMILLION, label_axes, new_figure

NAMES = {"small_conv_net": "convolutions", "mlp2": "one hidden layer of 64"}


def measure(lab: Lab) -> Finding:
    groups = {name: trials for (name,), trials in by(lab.sweep(), "model").items()}
    rows = [
        [label, groups[name][0]["n_parameters"], interval(values(groups[name], "val_accuracy")),
         interval(values(groups[name], "test_accuracy"))]
        for name, label in NAMES.items()
    ]  # fmt: skip
    own, built_in = (values(groups[name], "test_accuracy") for name in NAMES)
    better = interval([a - b for a, b in zip(own, built_in, strict=True)], 1, 100, DIFFERENCE)
    text = table(("network", "parameters", "validation accuracy", "test accuracy (10,000 images)"), rows)
    shown = lab.figure(draw(groups), "curves", "accuracy by epoch of both networks")
    answer = f"the convolutional network is {better} points of test accuracy better than a hidden layer of 64 units"
    return Finding(f"{text}\n\nDifference in test accuracy, seed by seed: {better} points.\n\n{shown}", answer)


def draw(groups: dict[str, list[Trial]]) -> object:
    figure = new_figure(7, 3.4)
    axes = figure.subplots()
    for (name, label), colour in zip(NAMES.items(), (BLUE, VERMILLION), strict=True):
        for trial in groups[name]:
            epochs, seed = zip(*((row.epoch, row.val_accuracy) for row in trial.curves), strict=True)
            axes.plot(epochs, seed, color=colour, alpha=0.3, linewidth=1)
        axes.plot(epochs, mean_curve(groups[name], "val_accuracy"), "o-", color=colour, linewidth=2, label=label)
    axes.set_xticks(epochs)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="lower right")
    label_axes(axes, "each of eight seeds, and the mean", "epoch", "validation accuracy")
    return figure
