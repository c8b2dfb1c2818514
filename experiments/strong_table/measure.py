"""What each part of the recipe for tables is worth on the embedded digits: all of it, and all but one part."""

from __future__ import annotations

from lab import DIFFERENCE, Finding, Lab, interval, table, values

from phalanx.report.style import BLUE, VERMILLION, label_axes, new_figure

SPLITS = "data.split_seed=range(5)"
WITHOUT = {
    "all of it": (),
    "20 epochs, 720 updates": ("trainer.min_updates=null", "trainer.epochs=20"),
    "64 units a layer": ("model.width=64",),
    "no dropout": ("model.dropout=0.0",),
    "no label smoothing": ("loss.label_smoothing=0.0",),
    "a constant rate": ("schedule=constant",),
}
SMALLER = ("debug=limit",)


def measure(lab: Lab) -> Finding:
    found = {name: lab.sweep(SPLITS, *overrides) for name, overrides in WITHOUT.items()}
    accuracy = {name: values(trials, "test_accuracy") for name, trials in found.items()}
    whole = accuracy["all of it"]
    changes = {name: [one - all_ for one, all_ in zip(own, whole, strict=True)] for name, own in accuracy.items()}
    rows = [
        [name, trials[0]["epochs"], interval(accuracy[name]), points(changes[name]) if WITHOUT[name] else ""]
        for name, trials in found.items()
    ]
    head = ("recipe with", "epochs", "test accuracy", "points more or less, split by split")
    shown = lab.figure(
        draw(changes), "parts", "change of test accuracy without each part of the recipe, split by split"
    )
    answer = (
        f"digits, five splits: test accuracy {interval(whole)}; with 20 epochs in place of at least 4,000 updates "
        f"{points(changes['20 epochs, 720 updates'])} points"
    )
    return Finding(f"{table(head, rows)}\n\n{shown}", answer)


def points(changes: list[float]) -> str:
    return interval(changes, 1, 100, DIFFERENCE)


def draw(changes: dict[str, list[float]]) -> object:
    names = [name for name in changes if WITHOUT[name]]
    figure = new_figure(7, 3.2)
    axes = figure.subplots()
    axes.axvline(0, color=VERMILLION, linewidth=1)
    for place, name in enumerate(names):
        own = [100 * change for change in changes[name]]
        axes.plot(own, [place] * len(own), "o", color=BLUE, alpha=0.45, markeredgewidth=0)
        axes.plot([sum(own) / len(own)], [place], "|", color=BLUE, markersize=16, markeredgewidth=2)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="x", alpha=0.3)
    label_axes(axes, "a dot a split, a bar the mean; the line is the whole recipe", "points of test accuracy")
    return figure
