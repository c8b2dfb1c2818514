"""Precision, recall and support of each class, from the counts of a result."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from phalanx.analysis.repeats import counted_repeats
from phalanx.core.result import ClassCounts
from phalanx.runs.stored_run import StoredRun

SPLITS = {"test": "test", "val": "validation"}
MOST_SHOWN = 20  # classes in a table: of more, those with the lowest recall


@dataclass(frozen=True)
class ClassScore:
    """What a result says of one class. None: not defined.

    Attributes:
        split: `test`, or `val` where the test split was not read.
        precision: The share of the samples predicted as the class that have it; 0 where none was predicted so.
        recall: The share of the samples of the class that were predicted as it.
        f1: 2 · hits / (true + predicted).
        support: How many samples have the class; a mean over results may be no whole number.
    """

    split: str
    precision: float | None
    recall: float | None
    f1: float | None
    support: float


@dataclass(frozen=True)
class ClassTable:
    """The rows of a report, and what they are of."""

    rows: Mapping[str, ClassScore]
    note: str


def class_table(stored: StoredRun) -> ClassTable:
    """The scores of a result as a report shows them, of one with several seeds or folds the means over them."""
    counts = [seed.classes for seed in stored.repeats] or [stored.classes]
    scores = mean_scores([class_scores(stored, one) for one in counts])
    shown, few = hardest(list(scores), [scores])
    split = next((f"Of the {SPLITS[score.split]} split" for score in scores.values()), "")
    means = f", means over {counted_repeats(stored)}" if len(counts) > 1 else ""
    return ClassTable({name: scores[name] for name in shown}, f"{split}{means}{f': {few}' if few else ''}.")


def class_scores(stored: StoredRun, counts: ClassCounts | None) -> dict[str, ClassScore]:
    """The scores by the name of the class; empty where the result has no counts, or no names for them.

    Args:
        stored: The result, for the names.
        counts: Its counts, or those of one of its seeds.
    """
    return scores_of(stored.data.classes if stored.data else (), counts)


def scores_of(names: Sequence[str], counts: ClassCounts | None) -> dict[str, ClassScore]:
    """The scores by the name of the class; empty where there are no counts, or no names for them.

    Args:
        names: The classes.
        counts: Their counts.
    """
    if counts is None or len(names) != len(counts.true):
        return {}
    rows = zip(names, counts.true, counts.predicted, counts.hit, strict=True)
    return {name: _score(counts.split, *row) for name, *row in rows}


def mean_scores(scores: Sequence[Mapping[str, ClassScore]]) -> dict[str, ClassScore]:
    """The mean of each number over several results, such as seeds, by class; over those in which it is defined."""
    names = dict.fromkeys(name for one in scores for name in one)
    found: dict[str, ClassScore] = {}
    for name in names:
        rows = [one[name] for one in scores if name in one]
        precision, recall, f1 = (_mean([getattr(row, key) for row in rows]) for key in ("precision", "recall", "f1"))
        support = statistics.fmean(row.support for row in rows)
        found[name] = ClassScore(rows[0].split, precision, recall, f1, support)
    return found


def hardest(names: Sequence[str], scores: Sequence[Mapping[str, ClassScore]]) -> tuple[list[str], str]:
    """The classes that a table shows, in their order, and a note on those that it leaves out.

    Args:
        names: All classes.
        scores: The scores of each group of the table.
    """
    if len(names) <= MOST_SHOWN:
        return list(names), ""

    def lowest(name: str) -> float:
        return min((recall for one in scores if name in one and (recall := one[name].recall) is not None), default=1.0)

    kept = set(sorted(names, key=lowest)[:MOST_SHOWN])
    return [name for name in names if name in kept], f"the {len(kept)} of {len(names):,} classes with the lowest recall"


def _score(split: str, true: int, predicted: int, hit: int) -> ClassScore:
    return ClassScore(
        split,
        precision=hit / predicted if predicted else 0.0 if true else None,
        recall=hit / true if true else None,
        f1=2 * hit / (true + predicted) if true or predicted else None,
        support=true,
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None
