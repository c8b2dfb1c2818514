"""How much the values of folds and draws of the same rows are correlated, by the rows that they have in common.

A *division* is a set of folds no two of which evaluate the same row, such as one repetition of repeated k-folds; a draw
is a division of its own.
"""

from collections import Counter
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

from phalanx.core.errors import RunFolderError
from phalanx.runs.config_file import flat, read_values
from phalanx.runs.layout import RunPaths
from phalanx.runs.stored_run import StoredRun

DRAWS = "shuffle_split"  # of `data.resampling`: each fold is a draw of its own
PLAIN, REPEATED = "kfold", "repeated_kfold"


def correlation_of_values(evaluated: float, divisions: Sequence[Hashable]) -> float:
    """The correlation of two values of folds or draws, mean over all pairs, for `phalanx.analysis.statistics.paired`.

    Its odds ρ / (1 - ρ) are p / (1 - p) for the training rows that two folds share, where p is the share of the rows
    that are evaluated (Nadeau and Bengio 2003, Machine Learning 52). That is the whole of it between folds of one
    division. Two folds of different divisions have the share p of their evaluated rows in common too, which counts once
    more; without it the test gives false alarms (benchmarks/README.md, "Error rates").

    Args:
        evaluated: The share of the rows that are evaluated, above 0 and below 1.
        divisions: The division of each fold or draw.
    """
    n = len(divisions)
    of_one_division = sum(count * (count - 1) for count in Counter(divisions).values())
    across = 1 - of_one_division / (n * (n - 1)) if n > 1 else 0.0
    odds = evaluated / (1 - evaluated) * (1 + across)
    return odds / (1 + odds)


def division_of(fold: int, resampling: Any, folds: Any) -> int:
    """The number of the division of the rows that a fold or draw belongs to.

    Args:
        fold: Its number, `data.fold`.
        resampling: `data.resampling`.
        folds: `data.folds`, which matters to repeated k-folds.
    """
    if resampling == DRAWS:
        return fold
    return fold // folds if resampling == REPEATED and isinstance(folds, int) and folds > 0 else 0


def divisions_of(trial: StoredRun) -> list[tuple[int | None, int]]:
    """The divisions of the folds on which the repeats of a trial were trained, each fold once.

    Args:
        trial: A trial with repeats on folds. Without its configuration its folds count as those of a `kfold`.
    """
    resampling, folds = _divided(trial)
    places = dict.fromkeys((row.split_seed, row.fold) for row in trial.repeats if row.value is not None)
    return [(split, division_of(fold, resampling, folds)) for split, fold in places if fold is not None]


def _divided(trial: StoredRun) -> tuple[Any, Any]:
    """`data.resampling` and `data.folds` of a trial."""
    if trial.overrides.get("data.resampling") in (PLAIN, DRAWS):
        return trial.overrides["data.resampling"], None
    if trial.folder == Path():  # it was not read from one
        return None, None
    try:
        config = flat(read_values(RunPaths(trial.folder).config_resolved))
    except (OSError, RunFolderError):
        return None, None
    return config.get("data.resampling"), config.get("data.folds")
