"""Softmax before cross-entropy and layers without activation, beside the right ways, on two tables."""

from __future__ import annotations

import math
import statistics
from pathlib import Path

import numpy as np
from lab import Finding, Lab, Trial, by, interval, mean_curve, spread, table, values

from phalanx.analysis.statistics import compare
from phalanx.analysis.wording import sentence
from phalanx.report.style import BLUE, TICK, VERMILLION, label_axes, new_figure

OUTPUTS = {"softmax": "softmax, then cross-entropy", "logits": "cross-entropy on logits"}
ACTIVATIONS = {"identity": "none", "relu": "ReLU"}
HEAD = ("loss", "activation", "test accuracy", "training loss", "validation likelihood", "epochs to 95 % of training")
ENOUGH = 0.95  # of the training samples right


def measure(lab: Lab) -> Finding:
    students = write_students(lab.scratch / "students.csv")
    found = {
        "wine (3 classes)": lab.sweep(),
        "1,500 invented students (5 grades)": lab.sweep("data=csv", f"data.path={students}", "data.target=grade"),
    }
    parts, answers = [], []
    for data, trials in found.items():
        groups = by(trials, "loss.output", "model.activation")
        rows = [[OUTPUTS[output], ACTIVATIONS[kind], *cells(group)] for (output, kind), group in groups.items()]
        parts.append(f"**{data}**\n\n{table(HEAD, rows)}\n\n{differences(groups)}")
        wrong, right = (groups[key] for key in (("softmax", "identity"), ("logits", "relu")))
        both, neither = (interval(values(group, "test_accuracy")) for group in (wrong, right))
        answers.append(f"{data}: test accuracy {both} with both mistakes, {neither} without")
    parts.append(lab.figure(draw(found), "loss", "training loss by epoch of the four ways on both tables"))
    parts.append(
        "Cross-entropy on softmax cannot fall below −log(e / (e + C − 1)): "
        f"{lowest(3):.3f} for 3 classes, {lowest(5):.3f} for 5."
    )
    return Finding("\n\n".join(parts), "; ".join(answers))


def cells(trials: list[Trial]) -> list[str]:
    return [*(spread(values(trials, key)) for key in ("test_accuracy", "train_loss", "val_likelihood")), epochs(trials)]


def differences(groups: dict[tuple[str, ...], list[Trial]]) -> str:
    """Each way against the right one, by seed."""
    names = {key: way(*key) for key in groups}
    seeds = {names[key]: dict(enumerate(values(group, "test_accuracy"))) for key, group in groups.items()}
    found = compare(seeds, "maximize", baseline=names["logits", "relu"])
    return "\n".join(f"- {sentence(difference)}" for difference in found)


def way(output: str, activation: str) -> str:
    return f"{OUTPUTS[output]}, " + ("no activation" if activation == "identity" else ACTIVATIONS[activation])


def lowest(n_classes: int) -> float:
    return -math.log(math.e / (math.e + n_classes - 1))


def draw(found: dict[str, list[Trial]]) -> object:
    figure = new_figure(10, 3.8)
    for axes, (data, trials), n_classes in zip(figure.subplots(1, 2), found.items(), (3, 5), strict=True):
        for (output, kind), group in by(trials, "loss.output", "model.activation").items():
            curve, colour = mean_curve(group, "train_loss"), {"softmax": VERMILLION, "logits": BLUE}[output]
            line = {"identity": "--", "relu": "-"}[kind]
            axes.plot(range(1, len(curve) + 1), curve, line, color=colour, label=way(output, kind))
        axes.axhline(lowest(n_classes), color="black", linestyle=":", label="the least of a doubled softmax")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        label_axes(axes, data, "epoch", "training loss, mean of ten seeds")
    handles, names = axes.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=2, fontsize=TICK, frameon=False)
    return figure


def epochs(trials: list[Trial]) -> str:
    """The median epoch in which a seed first had 95 % of the training samples right."""
    first = [next((row.epoch for row in t.curves if row.train_accuracy >= ENOUGH), None) for t in trials]
    reached = [epoch for epoch in first if epoch is not None]
    never = len(first) - len(reached)
    return ((f"{statistics.median(reached):.0f} " if reached else "") + (f"({never} never)" if never else "")).strip()


def write_students(path: Path) -> Path:
    """1,500 rows of 13 numbers whose grade depends on products and maxima, which no linear map can follow."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(1500, 13))
    score = x[:, 0] * x[:, 1] + np.abs(x[:, 2]) + 0.7 * x[:, 3] + np.maximum(x[:, 4], x[:, 5])
    grade = np.digitize(score, np.quantile(score, [0.2, 0.4, 0.6, 0.8]))
    head = ",".join([*(f"f{i}" for i in range(13)), "grade"])
    lines = [",".join([*(f"{v:.4f}" for v in row), "EDCBA"[g]]) for row, g in zip(x, grade, strict=True)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([head, *lines]) + "\n")
    return path
