"""Ten seeds of 784-50-20-10 on 4,096 images."""

from __future__ import annotations

from lab import DIFFERENCE, Agreement, Finding, Lab, Trial, interval, mean_curve, spread, table, values

from phalanx.report.style import BLUE, VERMILLION, label_axes, new_figure

REFERENCE = (0.874, 0.860, 0.878)  # validation accuracy, plain PyTorch


def measure(lab: Lab) -> Finding:
    trials = lab.sweep()
    val, test = values(trials, "val_accuracy"), values(trials, "test_accuracy")
    standardised = lab.sweep("data.normalize=global")
    rows = [
        ["pixels / 255, as in the recipe", spread(val), spread(test)],
        [
            "pixels standardised",
            spread(values(standardised, "val_accuracy")),
            spread(values(standardised, "test_accuracy")),
        ],
    ]
    text = table(("", "validation accuracy", "test accuracy (10,000 images)"), rows)
    shown = lab.figure(draw({"pixels / 255": trials, "standardised": standardised}), "curves", "accuracy by epoch")
    better = interval(
        [b - a for a, b in zip(test, values(standardised, "test_accuracy"), strict=True)], 1, 100, DIFFERENCE
    )
    answer = (
        f"validation accuracy {interval(val)}; standardised pixels are worth {better} points of test accuracy at five "
        "epochs"
    )
    return Finding(f"{text}\n\n{shown}", answer, [Agreement("validation", val, REFERENCE)])


def draw(pixels: dict[str, list[Trial]]) -> object:
    figure = new_figure(7, 3.4)
    axes = figure.subplots()
    for (name, trials), colour in zip(pixels.items(), (BLUE, VERMILLION), strict=True):
        for trial in trials:
            epochs, seed = zip(*((row.epoch, row.val_accuracy) for row in trial.curves), strict=True)
            axes.plot(epochs, seed, color=colour, alpha=0.3, linewidth=1)
        axes.plot(epochs, mean_curve(trials, "val_accuracy"), "o-", color=colour, linewidth=2, label=name)
    axes.set_xticks(epochs)
    axes.set_ylim(0, 1)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="lower right")
    label_axes(axes, "each of ten seeds, and the mean", "epoch", "validation accuracy")
    return figure
