"""Full MNIST in batches of 4,000 with a high learning rate and dropout before the last layer."""

from __future__ import annotations

from lab import Agreement, Finding, Lab, interval, mean_curve, spread, table, values

from phalanx.report.style import BLUE, VERMILLION, label_axes, new_figure

REFERENCE = (0.963, 0.957, 0.953)  # test accuracy, plain PyTorch
PUBLISHED = 0.9637  # one run


def measure(lab: Lab) -> Finding:
    trials = lab.sweep()
    test = values(trials, "test_accuracy")
    best = [max(row.val_accuracy for row in trial.curves) for trial in trials]
    rows = [
        ["test accuracy after the last epoch", spread(test, 4), f"{min(test):.4f} to {max(test):.4f}"],
        ["best validation accuracy of any epoch", spread(best, 4), f"{min(best):.4f} to {max(best):.4f}"],
        ["published, one run", f"{PUBLISHED:.4f}", ""],
    ]
    figure = new_figure(7, 3.6)
    axes = figure.subplots()
    epochs = range(1, len(trials[0].curves) + 1)
    for trial in trials:
        axes.plot(epochs, [row.val_accuracy for row in trial.curves], color=BLUE, alpha=0.3, linewidth=1)
    looks = (("val", BLUE, "-", "validation"), ("train", VERMILLION, "--", "training, with dropout"))
    for split, colour, line, label in looks:
        axes.plot(epochs, mean_curve(trials, f"{split}_accuracy"), line, color=colour, linewidth=2, label=label)
    axes.set_ylim(0.8, 1.0)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="lower right")
    label_axes(axes, f"mean of {len(trials)} seeds, and each seed's validation", "epoch", "accuracy")
    shown = lab.figure(figure, "curves", "accuracy by epoch")
    answer = f"test accuracy {interval(test, 4)}; the published run has {PUBLISHED}"
    text = "\n\n".join([table(("", "mean ± deviation (seeds)", "range"), rows), shown])
    return Finding(text, answer, [Agreement("test", test, REFERENCE)])
