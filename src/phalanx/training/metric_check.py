"""Which metrics a data set defines, and which are computed of the saved weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from phalanx.core.errors import Fault, SpecError
from phalanx.core.metrics import split_name
from phalanx.data import Dataset, Split
from phalanx.nn.metrics.compute import Wanted
from phalanx.training.spec import TrialSpec

MAX_PROBABILITIES = 1 << 26  # of one trial on one split, for metrics that nobody asked for: 256 MB
NEEDS_EVERY_CLASS = ("auroc", "average_precision")
TITLES = {"train": "training", "val": "validation", "test": "test"}


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
