"""The networks of all folds of a setting, or of the outer folds of a nested search, as one model, which predicts with
the mean of their probabilities.

Axes: K networks, N rows, C classes.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from phalanx.analysis.compare.run import FOLD, OUTER, REPEATED
from phalanx.analysis.nested import read_nested
from phalanx.analysis.predict import Predictions, predict_rows
from phalanx.core.advice import command
from phalanx.core.errors import RunFolderError, numbered_trials
from phalanx.core.result import Status
from phalanx.runs.layout import NestedPaths, SweepPaths
from phalanx.runs.model_file import load_model
from phalanx.runs.stored_run import StoredRun
from phalanx.runs.sweep_folder import collect, direction_of, is_sweep

EXAMPLE = command("python", "train.py", "-m", "data.resampling=kfold", "data.fold=range(5)", "tracking.keep=5")


def predict_with_folds(sweep: Path, source: Path) -> Predictions:
    """Predicts rows with the mean of the class probabilities of the networks of all folds, and of all their seeds.

    Of several settings it is that with the best mean of the objective over its folds.

    Args:
        sweep: The folder of a sweep over folds.
        source: What to predict, as of `predict_file`.

    Returns:
        The predictions, with float64 probabilities (N, C).

    Raises:
        RunFolderError: The folder is no sweep over folds, or not all networks are kept.
        DataError: The rows do not fit a network.
    """
    paths = SweepPaths(sweep)
    every = collect(paths) if is_sweep(sweep) else []
    trials = _best_setting(sweep, every)
    if lacking := [trial for trial in trials if not paths.trial(trial.number).model.is_file()]:
        raise RunFolderError(
            f"--folds needs the networks of all {len(trials)} trials of a setting, and {_numbered(lacking)} of {sweep} "
            "kept none (tracking.keep is the number of best trials that keep theirs); "
            f"train the sweep in a new folder with tracking.keep={len(every)}"
        )
    found = [predict_rows(load_model(paths.trial(trial.number).root), source) for trial in trials]
    if odd := [trial for trial, one in zip(trials, found, strict=True) if one.classes != found[0].classes]:
        raise RunFolderError(f"{_numbered(odd)} of {sweep} have other classes than trial {trials[0].number}")
    return _mean(found, _said(trials, every))


def is_nested(folder: Path) -> bool:
    """Whether this is the folder of a nested search."""
    return NestedPaths(folder).summary.is_file()


def predict_with_outer_folds(folder: Path, source: Path) -> Predictions:
    """Predicts rows with the mean of the class probabilities of the networks that the outer folds of a nested search
    tested: in each outer fold the point that its search chose, trained on the first fresh seed.

    Args:
        folder: The folder of a nested search.
        source: What to predict, as of `predict_file`.

    Returns:
        The predictions, with float64 probabilities (N, C).

    Raises:
        RunFolderError: No outer fold was tested, or a network is gone.
        DataError: The rows do not fit a network.
    """
    paths = NestedPaths(folder)
    nested = read_nested(paths)
    runs = [paths.outer(fold.number).final(fold.trial.number) for fold in nested.folds]
    if lacking := [run for run in runs if not run.model.is_file()]:
        raise RunFolderError(
            f"{lacking[0].model} does not exist, and {folder} predicts with the networks of all outer folds that were "
            f"tested; for one of them give its folder, such as {next((r.root for r in runs if r.model.is_file()), '…')}"
        )
    found = [predict_rows(load_model(run.root), source) for run in runs]
    if odd := [run for run, one in zip(runs, found, strict=True) if one.classes != found[0].classes]:
        raise RunFolderError(f"{odd[0].root} has other classes than {runs[0].root}; give one of these folders")
    n, of = len(runs), f" of {nested.n_folds}" if len(runs) < nested.n_folds else ""
    return _mean(found, f"the mean of {n}{of} networks predicts, one of each outer fold; the estimate of the nested "
                        "search is of a single one")  # fmt: skip


def _mean(found: Sequence[Predictions], said: str) -> Predictions:
    """The mean of predictions of the same rows, with a note on what predicts before their own."""
    p_KNC = np.stack([one.p_NC.astype(np.float64) for one in found])
    notes = dict.fromkeys(note for one in found for note in one.notes)
    return replace(found[0], p_NC=p_KNC.mean(0), notes=(said, *notes))


def _best_setting(sweep: Path, trials: Sequence[StoredRun]) -> list[StoredRun]:
    """The trials of the setting with the best mean, each of which was completed."""
    groups: dict[tuple[tuple[str, str], ...], list[StoredRun]] = {}
    for trial in trials:
        groups.setdefault(_setting(trial), []).append(trial)
    over_folds = [own for own in groups.values() if _n_folds(own) > 1]
    if not over_folds:
        raise RunFolderError(
            f"--folds needs the folder of a sweep over folds, and {sweep} is none; train one: {EXAMPLE}"
        )
    whole = [own for own in over_folds if all(trial.status is Status.COMPLETED for trial in own)]
    if not whole:
        raise RunFolderError(f"no setting of {sweep} has completed all its folds; type the sweep's command again")
    sign = -1 if direction_of(trials) == "minimize" else 1
    return max(whole, key=lambda own: sign * statistics.fmean(trial.value or 0.0 for trial in own))


def _n_folds(trials: Sequence[StoredRun]) -> int:
    return len({(trial.overrides.get(FOLD), trial.overrides.get(OUTER)) for trial in trials} - {(None, None)})


def _setting(trial: StoredRun) -> tuple[tuple[str, str], ...]:
    """What was asked of a trial besides its fold, split and seed."""
    return tuple((key, value) for key, value in trial.overrides.items() if key not in (*REPEATED, "seed"))


def _said(trials: Sequence[StoredRun], every: Sequence[StoredRun]) -> str:
    """What predicts; of the setting what not all trials of the sweep have."""
    shared = set.intersection(*(set(_setting(trial)) for trial in every))
    own = " ".join(f"{key}={value}" for key, value in _setting(trials[0]) if (key, value) not in shared)
    return f"the mean of {len(trials)} networks predicts, {_numbered(trials)}{f': {own}' if own else ''}"


def _numbered(trials: Sequence[StoredRun]) -> str:
    return numbered_trials([trial.number for trial in trials])
