"""Which metrics a data set defines, and which are computed of the saved weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from phalanx.core.errors import Fault, SpecError
from phalanx.core.metrics import split_name
from phalanx.core.result import ClassCounts, EpochMetrics, unflat
from phalanx.data import Dataset, Split
from phalanx.nn.metrics.compute import Wanted
from phalanx.training.evaluation import Scores
from phalanx.training.spec import TrialSpec

MAX_PROBABILITIES = 1 << 26  # of one trial on one split, for metrics that nobody asked for: 256 MB
NEEDS_EVERY_CLASS = ("auroc", "average_precision")
MOST_CLASSES = 500  # whose counts a result has
TITLES = {"train": "training", "val": "validation", "test": "test"}
V = TypeVar("V")


def final_metrics(spec: TrialSpec, dataset: Dataset, split: str) -> tuple[Wanted, list[str]]:
    """The metrics of the saved weights on one split, and why some of them have no value.

    Args:
        spec: The trial.
        dataset: Its data.
        split: `train`, `val` or `test`.
    """
    wanted, notes = Wanted.of(spec.final_metrics), []
    n_samples = len(getattr(dataset, split))
    if n_samples * dataset.n_classes > MAX_PROBABILITIES:
        asked = Wanted.of(spec.epoch_metrics)
        fewer = Wanted.of([*wanted.without_probabilities().names, *asked.names])
        if lost := [f"{split}_{name}" for name in wanted.names if name not in fewer.names]:
            notes.append(
                f"{', '.join(lost)} are computed for {n_samples:,} samples of {dataset.n_classes:,} classes only where "
                "trainer.metrics names them"
            )
        wanted = fewer
    lost = [f"{split}_{name}" for name in NEEDS_EVERY_CLASS if name in wanted.names]
    if lost and (absent := absent_classes(getattr(dataset, split), dataset)):
        verb = "is" if len(lost) == 1 else "are"
        notes.append(f"{' and '.join(lost)} {verb} not defined: no {TITLES[split]} sample has the class {absent}")
    return wanted, notes


def by_field(train: Scores, val: Scores) -> dict[str, Any]:
    """The arguments of `EpochMetrics` that are metrics, from those of the training and the validation split."""
    return unflat(EpochMetrics, {**_prefixed("train", train.flat()), **_prefixed("val", val.flat())})


def stored_metrics(split: str, scores: Scores, why: Sequence[str]) -> tuple[dict[str, float | None], list[str]]:
    """The metrics of one split as a result has them, and its notes.

    Args:
        split: `train`, `val` or `test`.
        scores: Of the saved weights on this split.
        why: The notes of `final_metrics`.
    """
    further = {key: value if math.isfinite(value) else None for key, value in scores.further.items()}
    found = _prefixed(split, {**scores.flat(), **further})
    return found, [*why, *not_finite(_prefixed(split, further), why)]


def class_counts(split: str, scores: Scores) -> ClassCounts | None:
    """The counts of the classes on one split; None where they were not counted, or are many."""
    if scores.counts_3C is None or scores.counts_3C.shape[1] > MOST_CLASSES:
        return None
    predicted_C, missed_C, hit_C = scores.counts_3C
    return ClassCounts(split, *(tuple(counts_C.tolist()) for counts_C in (missed_C + hit_C, predicted_C, hit_C)))


def _prefixed(split: str, values: Mapping[str, V]) -> dict[str, V]:
    return {f"{split}_{name}": value for name, value in values.items()}


def not_finite(metrics: Mapping[str, float | None], notes: Sequence[str]) -> list[str]:
    """A note on the metrics without a value of which no other note speaks."""
    lost = [name for name, value in metrics.items() if value is None and not any(name in note for note in notes)]
    ends = "is not a finite number" if len(lost) == 1 else "are not finite numbers"
    return [f"{', '.join(lost)} {ends}"] if lost else []


def absent_classes(split: Split, dataset: Dataset) -> str:
    """The classes without a sample in a split, in words; empty if there are none."""
    counts = split.class_counts(dataset.n_classes)
    absent = [repr(name) for name, count in zip(dataset.classes, counts, strict=True) if not count]
    return ", ".join(absent[:3]) + (f" and {len(absent) - 3} more" if len(absent) > 3 else "")


def check_objective(spec: TrialSpec, dataset: Dataset) -> None:
    """Raises `SpecError` if the objective has no value on these data, whatever is trained."""
    split, name = split_name(spec.objective)
    if name not in NEEDS_EVERY_CLASS or not (absent := absent_classes(getattr(dataset, split), dataset)):
        return
    allowed = f"a metric that is defined, since no {TITLES[split]} sample has the class {absent}"
    raise SpecError([Fault("objective", spec.objective, allowed, f"objective={split}_balanced_accuracy")])
