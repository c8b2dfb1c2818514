"""What the repeats of one trial count as: its seeds, or the splits or folds on which it was trained."""

from phalanx.analysis.overlap import correlation_of_values, divisions_of
from phalanx.analysis.statistics import FOLDS, SEEDS, SPLITS, Repeat, Values
from phalanx.analysis.student import evaluated_share
from phalanx.core.quantities import counted
from phalanx.runs.metrics_csv import Place as Numbers
from phalanx.runs.stored_run import StoredRun


def repeat_of(place: Numbers) -> Repeat:
    """What a value is a repeat of.

    Args:
        place: Seed, split seed and fold; the last two are None where all values have the same.
    """
    seed, split_seed, fold = place
    if seed is None:
        raise ValueError("a repeat has a seed")
    if split_seed is None:
        return seed
    return (split_seed if fold is None else (split_seed, fold)), seed


def kind_of(trial: StoredRun) -> str:
    """What the repeats of a trial are: seeds on one split, splits, or folds."""
    if any(row.fold is not None for row in trial.repeats):
        return FOLDS
    return SPLITS if any(row.split_seed is not None for row in trial.repeats) else SEEDS


def counted_repeats(trial: StoredRun) -> str:
    """How many repeats a trial has, in words: `5 seeds`, `3 folds`, `3 folds with 5 seeds each`."""
    kind, n = kind_of(trial), len(trial.repeats)
    places = {(row.split_seed, row.fold) for row in trial.repeats}
    if kind == SEEDS or not places:
        return counted(n, "seed")
    each = n // len(places)
    return counted(len(places), kind.removesuffix("s")) + (f" with {counted(each, 'seed')} each" if each > 1 else "")


def values_of(trial: StoredRun) -> tuple[Values, float | None]:
    """The values of the objective by repeat, and the correlation of two of them.

    Args:
        trial: A trial.

    Returns:
        The values that are known, and the correlation as `statistics.paired` takes it: for folds that of
        `overlap.correlation_of_values`, None where the sizes of the splits are not known, else 0.
    """
    values = {repeat_of(row.place): row.value for row in trial.repeats if row.value is not None}
    if kind_of(trial) != FOLDS:
        return values, 0.0
    if (data := trial.data) is None:
        return values, None
    return values, correlation_of_values(evaluated_share(data.n_train, data.n_val), divisions_of(trial))
