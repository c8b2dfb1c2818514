"""What accuracy hides of a rare class, and what class weights do for it with each loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lab import DIFFERENCE, Finding, Lab, Trial, by, interval, table, values

from phalanx.core.reading import read_json
from phalanx.report.style import BLUE, VERMILLION, label_axes, new_figure
from phalanx.runs.layout import RunPaths

RARE = 8  # the class that `thinned_digits` thins out, and its place among the classes
LOSSES = {"cross_entropy": "cross-entropy", "mse": "MSE", "one_vs_all": "one-vs-all"}
WEIGHTS = ("none", "balanced")
OBJECTIVES = ("val_accuracy", "val_balanced_accuracy")
COLUMNS = ("test_accuracy", "test_balanced_accuracy", "test_f1_macro")
SMALLER = ("debug=limit", "data.split_seed=0,3")

Groups = Mapping[tuple[str, ...], Sequence[Trial]]


def measure(lab: Lab) -> Finding:
    found = {name: by(lab.sweep(f"objective={name}"), "loss", "loss.class_weights") for name in OBJECTIVES}
    rows = [
        [
            LOSSES[loss],
            weights,
            objective.removeprefix("val_").replace("_", " "),
            *cells(groups[loss, weights]),
        ]
        for loss in LOSSES
        for weights in WEIGHTS
        for objective, groups in found.items()
    ]
    head = ("loss", "class weights", "epoch chosen by", "accuracy", "balanced accuracy", "F1, mean over classes",
            f"recall of class {RARE}")  # fmt: skip
    groups = found["val_accuracy"]
    gains = [
        [label, *(difference(groups[loss, "balanced"], groups[loss, "none"], of) for of in (accuracies, recalls))]
        for loss, label in LOSSES.items()
    ]
    gained = table(("balanced less none, points", "accuracy", f"recall of class {RARE}"), gains)
    shown = lab.figure(draw(groups), "hidden", f"accuracy, and recall of class {RARE}, without and with class weights")
    (plain, right), (weighted, right_too) = (
        [interval(of(groups["one_vs_all", weights])) for of in (recalls, accuracies)] for weights in WEIGHTS
    )
    answer = (
        "a class with 20 of 1,643 images, over ten splits: with one-vs-all its recall is "
        f"{plain} without class weights and {weighted} with them, at an accuracy of {right} and {right_too}"
    )
    return Finding("\n\n".join([table(head, rows), gained, shown]), answer)


def recalls(trials: Sequence[Trial]) -> list[float]:
    """The recall of the rare class on the test split of each trial."""
    counts = [read_json(RunPaths(trial.folder).result)["classes"] for trial in trials]
    return [found["hit"][RARE] / max(found["true"][RARE], 1) for found in counts]


def accuracies(trials: Sequence[Trial]) -> list[float]:
    return values(trials, "test_accuracy")


def cells(trials: Sequence[Trial]) -> list[str]:
    return [*(interval(values(trials, name)) for name in COLUMNS), interval(recalls(trials))]


def difference(ones: Sequence[Trial], others: Sequence[Trial], of: object) -> str:
    """The mean difference split by split, in points, with its interval."""
    pairs = zip(of(ones), of(others), strict=True)
    return interval([one - other for one, other in pairs], 1, 100, DIFFERENCE)


def draw(groups: Groups) -> object:
    figure = new_figure(9, 3.4)
    both = ((accuracies, "test accuracy"), (recalls, f"recall of class {RARE}"))
    for axes, (of, title) in zip(figure.subplots(1, 2), both, strict=True):
        for shift, weights, colour in ((-0.12, "none", BLUE), (0.12, "balanced", VERMILLION)):
            for place, loss in enumerate(LOSSES):
                numbers = of(groups[loss, weights])
                label = f"class weights {weights}" if place == 0 else None
                axes.plot([place + shift] * len(numbers), numbers, "o", color=colour, alpha=0.4, label=label)
                axes.plot([place + shift], [sum(numbers) / len(numbers)], "_", color=colour, markersize=22)
        axes.set_xticks(range(len(LOSSES)), LOSSES.values())
        axes.set(xlim=(-0.5, len(LOSSES) - 0.5), ylim=(-0.02, 1.02))
        axes.grid(axis="y", alpha=0.3)
        label_axes(axes, f"{title}: a dot a split, a bar the mean", "", title)
    figure.axes[0].legend(frameon=False, loc="lower left")
    return figure
