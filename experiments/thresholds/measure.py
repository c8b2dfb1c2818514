"""One number and two thresholds, with gradients zeroed before each step and never zeroed."""

from __future__ import annotations

from lab import Finding, Lab, by, interval, mean_curve, spread, table, values

from phalanx.report.style import BLUE, VERMILLION, label_axes, new_figure

TITLES = {"True": "zeroed before each step", "False": "never zeroed"}


def measure(lab: Lab) -> Finding:
    trials = {key: found for (key,), found in by(lab.sweep(), "trainer.zero_grad").items()}
    rows = [
        [TITLES[key], *(spread(values(found, name)) for name in ("train_accuracy", "test_accuracy", "test_loss"))]
        for key, found in trials.items()
    ]
    parts = [table(("gradients", "training accuracy", "test accuracy", "test loss"), rows)]
    parts.append(lab.figure(draw(trials), "likelihood", "likelihood by epoch, gradients zeroed and never zeroed"))
    for key in trials:
        folder = lab.run(f"trainer.zero_grad={key.lower()}")
        for plot in ("decision", "hidden"):
            name = plot + {"True": "_zeroed", "False": "_never_zeroed"}[key]
            shown = lab.picture(folder / "plots" / f"{plot}.png", name, f"{plot}, gradients {TITLES[key]}")
            parts.append(f"Seed 0, gradients {TITLES[key]}:\n\n{shown}")
    zeroed, never = (values(trials[key], "test_accuracy") for key in ("True", "False"))
    answer = f"test accuracy {interval(zeroed)}; {interval(never)} with gradients never zeroed"
    return Finding("\n\n".join(parts), answer)


def draw(trials: dict[str, list]) -> object:
    figure = new_figure(10, 3.6)
    for axes, (key, found) in zip(figure.subplots(1, 2, sharey=True), trials.items(), strict=True):
        axes.plot(mean_curve(found, "train_likelihood"), "--", color=BLUE, linewidth=1.2, label="training")
        axes.plot(mean_curve(found, "val_likelihood"), color=VERMILLION, linewidth=1.2, label="held out")
        axes.set_ylim(0, 1)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
        label_axes(axes, f"gradients {TITLES[key]}", "epoch = update", "likelihood, mean of 10 seeds")
    return figure
