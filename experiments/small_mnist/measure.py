"""Ten seeds of 784-50-20-10 on 4,096 images."""

from __future__ import annotations

from lab import Agreement, Finding, Lab, interval, spread, table, values

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
    better = interval(
        [b - a for a, b in zip(test, values(standardised, "test_accuracy"), strict=True)], places=1, scale=100
    )
    answer = (
        f"validation accuracy {interval(val)}; standardised pixels are worth {better} points of test accuracy at five "
        "epochs"
    )
    return Finding(text, answer, [Agreement("validation", val, REFERENCE)])
