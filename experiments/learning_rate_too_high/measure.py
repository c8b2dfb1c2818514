"""Accuracy by learning rate, with and without a limit to the gradient's norm."""

from __future__ import annotations

import statistics

from lab import Finding, Lab, Trial, by, interval, spread, table, values

from phalanx.analysis.inspect import inspect_run
from phalanx.report.style import BLUE, VERMILLION, label_axes, new_figure

TITLES = {"": "gradient as it is", "1": "trainer.clip_norm=1"}


def measure(lab: Lab) -> Finding:
    trials = by(lab.sweep(), "trainer.clip_norm", "optimizer.lr")
    rates = list(dict.fromkeys(rate for _, rate in trials))
    clips = list(dict.fromkeys(clip for clip, _ in trials))
    rows = [[rate, *(cell(trials[clip, rate]) for clip in clips), losses(trials[clips[0], rate])] for rate in rates]
    names = [name(clip) for clip in clips]
    head = ("learning rate", *(f"test accuracy, {title}" for title in names), f"training loss, {names[0]}")
    text = f"{table(head, rows)}\n\n{dead_units(lab)}"
    figure = new_figure(7, 3.6)
    axes = figure.subplots()
    for clip, colour in zip(clips, (BLUE, VERMILLION), strict=True):
        for rate in rates:
            seeds = sound(trials[clip, rate])
            axes.plot([float(rate)] * len(seeds), seeds, "o", color=colour, alpha=0.3, markersize=4, markeredgewidth=0)
        means = [statistics.fmean(sound(trials[clip, rate]) or [float("nan")]) for rate in rates]
        axes.plot([float(rate) for rate in rates], means, color=colour, label=name(clip))
    axes.set_xscale("log")
    axes.set_ylim(0, 1)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    label_axes(axes, "five epochs of 784-50-20-10 on 4,096 images", "learning rate", "test accuracy")
    shown = lab.figure(figure, "by_rate", "test accuracy by learning rate")
    plain = {rate: sound(trials[clips[0], rate]) for rate in rates}
    best = max((rate for rate in rates if plain[rate]), key=lambda rate: statistics.fmean(plain[rate]))
    answer = (
        f"test accuracy {interval(plain[best])} at {best}, "
        f"{statistics.fmean(plain[rates[-1]] or [float('nan')]):.3f} at {rates[-1]}"
    )
    return Finding(f"{text}\n\n{shown}", answer)


def name(clip: str) -> str:
    return "gradient as it is" if clip in ("", "None", "null") else f"clip_norm {clip}"


def losses(trials: list[Trial]) -> str:
    """The training loss of the seeds that did not diverge, at the weights of the last epoch."""
    found = [trial.number("train_loss") for trial in trials if trial["status"] == "completed"]
    return spread(found) if found else ""


def dead_units(lab: Lab) -> str:
    """How many units of seed 0 are dead at a rate that works and at one that does not, as `phalanx inspect` tells."""
    found = []
    for rate in ("0.1", "1"):
        layers = inspect_run(lab.run(f"optimizer.lr={rate}"))[0].hidden
        found.append(f"{' and '.join(f'{layer.dead} of {layer.units}' for layer in layers)} at {rate}")
    return f"Hidden units of seed 0 that give 0 for every validation image: {', '.join(found)}."


def sound(trials: list[Trial]) -> list[float]:
    """Of the seeds that did not diverge."""
    return values([trial for trial in trials if trial["status"] == "completed"], "test_accuracy")


def cell(trials: list[Trial]) -> str:
    seeds = sound(trials)
    diverged = f"{len(trials) - len(seeds)} diverged" if len(seeds) < len(trials) else ""
    return ", ".join(filter(None, [spread(seeds) if seeds else "", diverged]))
