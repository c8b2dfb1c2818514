"""The registry of metrics: names, directions, ranges and how they are shown. `nn/metrics` computes them.

With the split before it, `val_` and the name of a metric is an objective.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

SPLITS = ("train", "val", "test")
COSTS = {"n_parameters": "minimize", "train_seconds": "minimize"}  # further objectives of a multi-objective search


@dataclass(frozen=True)
class MetricInfo:
    """What is known of a metric without computing it.

    Attributes:
        name: Its name without a split.
        direction: `maximize` or `minimize`.
        low: The lowest value that it can have.
        high: The highest one.
        title: What a figure calls it; empty for its name.
        in_percent: Whether comparisons show it in percent, and its differences in points.
        counts_samples: Whether it is a share of samples, so that a split of N samples gives multiples of 1 / N.
        source: File and digest of one that a user wrote.
    """

    name: str
    direction: str = "maximize"
    low: float = 0.0
    high: float = 1.0
    title: str = ""
    in_percent: bool = False
    counts_samples: bool = False
    source: str = ""

    @property
    def label(self) -> str:
        """What a figure calls it."""
        return self.title or self.name.replace("_", " ")


BASIC = (
    MetricInfo("loss", "minimize", high=math.inf),
    MetricInfo("accuracy", in_percent=True, counts_samples=True),
    MetricInfo("likelihood", title="likelihood: geometric mean of p(true class)"),
)  # which are always computed
FURTHER = (
    MetricInfo("balanced_accuracy", title="balanced accuracy: mean recall of the classes", in_percent=True),
    MetricInfo("f1_macro", title="F1, mean over classes"),
    MetricInfo("f1_weighted", title="F1, mean over samples"),
    MetricInfo("precision_macro", title="precision, mean over classes"),
    MetricInfo("recall_macro", title="recall, mean over classes"),
    MetricInfo("matthews", low=-1.0, title="Matthews correlation"),
    MetricInfo("top5_accuracy", title="top-5 accuracy", in_percent=True, counts_samples=True),
    MetricInfo("auroc", title="area under the ROC curve, mean over classes"),
    MetricInfo("average_precision", title="average precision, mean over classes"),
    MetricInfo("brier", "minimize", high=2.0, title="Brier score"),
    MetricInfo("ece", "minimize", title="expected calibration error"),
)  # which are computed of the saved weights, and each epoch where that is asked for
METRICS = {info.name: info for info in (*BASIC, *FURTHER)}


def names_of(split: str) -> list[str]:
    """The names of all metrics on one split, such as `val_accuracy`."""
    return [f"{split}_{name}" for name in METRICS]


def objectives() -> dict[str, str]:
    """The direction of each metric that can be an objective: those of the validation split."""
    return {f"val_{name}": info.direction for name, info in METRICS.items()}


def measures_of(names: Iterable[str]) -> list[str]:
    """The metrics, without splits, among the names of numbers, those of the registry first and in its order."""
    there = {metric for split, metric in map(split_name, names) if split}
    return [*(name for name in METRICS if name in there), *sorted(there - METRICS.keys())]


def split_name(name: str) -> tuple[str, str]:
    """The split and the metric of a name such as `val_accuracy`; no split for a name without one."""
    split, _, metric = name.partition("_")
    return (split, metric) if split in SPLITS and metric else ("", name)


def tested(name: str) -> str:
    """The metric of an objective on the test split: `test_f1_macro` for `val_f1_macro`; a cost as it is."""
    split, metric = split_name(name)
    return f"test_{metric}" if split else name


def find_metric(name: str) -> MetricInfo | None:
    """The metric of a name with or without a split; None for costs and for what is not known here."""
    return METRICS.get(split_name(name)[1])


def direction_of(name: str) -> str:
    """`maximize` or `minimize`, by the name of a metric or of a cost."""
    if info := find_metric(name):
        return info.direction
    return "minimize" if name in COSTS or name.endswith("loss") else "maximize"


def limits_of(name: str) -> tuple[float, float]:
    """The possible range of a metric, by its name; 0 to infinity for costs, all numbers for what is not known here."""
    if info := find_metric(name):
        return info.low, info.high
    return (-math.inf if split_name(name)[0] and name not in COSTS else 0.0), math.inf
