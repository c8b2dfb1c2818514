"""Makes an ensemble of a sweep and writes it as the folder of one run.

The validation rows choose the members; the test split is read once, when they are chosen. Axes: K candidates, N rows,
C classes.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from phalanx.analysis.ensemble.candidates import Candidate, Found, check_rows, numbered, read_candidates
from phalanx.analysis.ensemble.lost import Lost, note, told
from phalanx.analysis.ensemble.networks import Library, Say
from phalanx.analysis.ensemble.points import best_setting, is_seedless, lost_of_setting, more_seeds
from phalanx.analysis.ensemble.predictions import read_predictions
from phalanx.analysis.ensemble.selection import (
    BEST,
    GREEDY,
    SEEDS,
    Choice,
    Measure,
    choose,
    cross_fitted,
    gains,
    mean_of,
)
from phalanx.analysis.ensemble.write import Member, Written, write_ensemble
from phalanx.core.errors import RequestError
from phalanx.core.quantities import counted, number
from phalanx.runs.layout import SweepPaths
from phalanx.runs.sweep_folder import direction_of
from phalanx.runs.whole_folder import check_free

MEMBERS = {SEEDS: 5, GREEDY: 20, BEST: 5}  # how many, if nothing is asked for
POOL = 50  # the best candidates of which those without weights are trained again for a choice among them


@dataclass(frozen=True)
class Ensemble:
    """What was made.

    Attributes:
        folder: Its folder.
        how: In which way the members were chosen.
        measure: By which metric of the validation rows, without the split.
        members: The members, the largest weight first.
        value: The measure of the ensemble on the validation rows.
        best: That of the best candidate alone.
        n_candidates: How many candidates there were.
        cross_fitted: The measure on rows that did not choose; None of too few rows, or where nothing was chosen.
        written: What was written of it, with its test metrics.
        notes: What has to be said.
    """

    folder: Path
    how: str
    measure: str
    members: tuple[Member, ...]
    value: float
    best: float
    n_candidates: int
    cross_fitted: float | None
    written: Written
    notes: tuple[str, ...]


def make_ensemble(
    sweep: Path, how: str, n_members: int | None, folder: Path, say: Say, *, replace: bool = False
) -> Ensemble:  # fmt: skip
    """Makes an ensemble and writes its folder, which appears whole or not at all.

    Args:
        sweep: The folder of the sweep.
        how: `seeds`: all seeds and folds of the best point; `greedy`: members drawn one after another; `best`: the
            best ones.
        n_members: At most so many members, or draws of `greedy`; None for the usual number.
        folder: The folder to write.
        say: Prints a line.
        replace: Whether an ensemble that is there is replaced.

    Raises:
        RequestError: The sweep has no completed trial, its trials have different data, or their networks cannot be
            had any more.
    """
    if not replace:
        check_free(folder, "--into")
    notes: list[str] = []
    library = Library(say, notes)
    found = read_candidates(sweep, notes)
    lost = list(found.lost)
    candidates = list(found.candidates)
    check_rows(candidates, sweep)
    if how == SEEDS:
        candidates, lost = _of_seeds(sweep, found, n_members, notes)
    else:
        library.predicted = read_predictions(SweepPaths(sweep))
        candidates = _pool(candidates, library)
    limit = n_members or MEMBERS[how]
    y_N = np.concatenate([network.dataset.val.y_N.numpy() for network in candidates[0].networks])
    measure = Measure.of(candidates[0].first.spec.objective)
    candidates, p_KNC, choice = _chosen(how, limit, library, candidates, y_N, measure)
    if lost := [*lost, *library.lost.values()]:
        notes.append(note(lost, len(candidates), "seed" if how == SEEDS else "candidate"))
    return _written(sweep, how, limit, folder, library, candidates, p_KNC, y_N, measure, choice, lost, replace=replace)


def _chosen(
    how: str, limit: int, library: Library, candidates: list[Candidate], y_N: np.ndarray, measure: Measure
) -> tuple[list[Candidate], np.ndarray, Choice]:
    """The candidates that can be had, their probabilities (K, N, C), and the choice among them, whose networks are all
    there.

    Of candidates whose predictions the sweep has kept only the chosen ones are trained again. If that gives other
    predictions, as on another machine, it is chosen anew. Raises `RequestError` if all diverge.
    """
    library.obtain([one for one in candidates if how == SEEDS or not library.is_predicted(one)])
    while candidates := [one for one in candidates if library.has(one)]:
        p_KNC = np.stack([library.validated(candidate) for candidate in candidates])
        choice = choose(how, p_KNC, y_N, measure, limit)
        members = [candidates[k] for k in choice.members]
        if all(network in library.models for one in members for network in one.networks):
            return candidates, p_KNC, choice
        library.obtain(members)
    raise RequestError(
        f"no network was left for the ensemble: {told(list(library.lost.values()))}; try a lower optimizer.lr"
    )


def _of_seeds(
    sweep: Path, found: Found, n_members: int | None, notes: list[str]
) -> tuple[list[Candidate], list[Lost]]:  # fmt: skip
    """The seeds of the best point; where there are too few, with some that are still to be trained. And what the sweep
    has lost of the point: a seed that diverged counts as one of those asked for, and no other one takes its place."""
    point = best_setting(sweep, found, notes)
    lost = lost_of_setting(found, point[0].setting)
    if is_seedless(point[0].first.spec):
        name = point[0].first.spec.model.name
        notes.append(f"{name} is the same at every seed, so one is taken; greedy and best average different trials")
        return point[:1], lost
    n_known = len(point) + len({one.spec.seed for one in lost if one.spec is not None})
    wanted = n_members or (n_known if n_known > 1 else MEMBERS[SEEDS])
    n_more = max(wanted - n_known, 0)
    return point[:wanted] + (more_seeds(point, lost, n_more) if n_more else []), lost


def _pool(candidates: Sequence[Candidate], library: Library) -> list[Candidate]:
    """The candidates to choose among: those with weights or predictions, and those among the `POOL` best."""
    sign = -1 if direction_of([candidate.first.trial for candidate in candidates]) == "minimize" else 1
    valued = [candidate for candidate in candidates if candidate.value is not None]
    best = sorted(valued, key=lambda candidate: -sign * (candidate.value or 0.0))[:POOL]
    kept = [
        one for one in candidates
        if one in best or library.is_predicted(one) or all(network.kept for network in one.networks)
    ]  # fmt: skip
    if left := len(candidates) - len(kept):
        library.notes.append(f"left out: {counted(left, 'candidate')} without weights, beyond the {POOL} best")
    if not kept:
        raise RequestError(f"{numbered(candidates)} have no value of the objective, so none can be chosen")
    return kept


def _written(
    sweep: Path, how: str, limit: int, folder: Path, library: Library, candidates: Sequence[Candidate],
    p_KNC: np.ndarray, y_N: np.ndarray, measure: Measure, choice: Choice, lost: Sequence[Lost], *, replace: bool,
) -> Ensemble:  # fmt: skip
    """Measures the chosen ensemble, reads the test split, and writes the folder."""
    p_NC = mean_of(p_KNC, choice.weights_K)
    values = [measure.value(own_NC, y_N) for own_NC in p_KNC]
    added = gains(p_KNC, y_N, measure, choice)
    members = tuple(Member(candidates[k], float(choice.weights_K[k]), values[k], added[k]) for k in choice.members)
    pick = functools.partial(_choose_again, how, measure, limit)
    estimate = cross_fitted(p_KNC, y_N, measure, pick) if how != SEEDS and len(candidates) > 1 else None
    value, best = measure.value(p_NC, y_N), measure.sign * max(measure.sign * own for own in values)
    if how != SEEDS and measure.sign * value < measure.sign * best:
        raise AssertionError(f"the ensemble has {measure.name} {value}, its best candidate {best}")
    if how == SEEDS and measure.sign * value < measure.sign * best:
        library.notes.append(_worse(measure, value, best, candidates[values.index(best)]))
    about = {
        "sweep": sweep.absolute().name, "measure": f"val_{measure.name}", "value": value, "best_candidate": best,
        "n_candidates": len(candidates), "cross_fitted": estimate, "notes": library.notes,
        "left_out": [one.to_json() for one in lost],
    }  # fmt: skip
    written = write_ensemble(folder, how, members, library, p_NC, y_N, about, replace=replace)
    return Ensemble(
        folder, how, measure.name, members, value, best, len(candidates), estimate, written, tuple(library.notes)
    )  # fmt: skip


def _worse(measure: Measure, value: float, best: float, leading: Candidate) -> str:
    """A note on seeds that together are worse on the validation rows than the best of them."""
    return (
        f"val_{measure.name} {number(value)} of the seeds together is worse than {number(best)} of the best one alone, "
        f"{numbered([leading])} with seed {leading.seed}; which seed leads on the rows that chose the point is mostly "
        "luck, so all are kept; an ensemble by greedy or best is never worse on these rows than its best candidate"
    )


def _choose_again(how: str, measure: Measure, limit: int, p_KNC: np.ndarray, y_N: np.ndarray) -> Choice:
    return choose(how, p_KNC, y_N, measure, limit)
