"""The point of a sweep whose seeds predict together: what of it was completed, what was lost, and further seeds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from phalanx.analysis.ensemble.candidates import Candidate, Found, numbered, setting_of
from phalanx.analysis.ensemble.lost import Lost
from phalanx.core.baselines import seedless
from phalanx.core.errors import RunFolderError
from phalanx.core.specs import keys_of
from phalanx.runs.final_folder import chosen_by_final
from phalanx.runs.layout import SweepPaths
from phalanx.runs.sweep_folder import direction_of
from phalanx.training.spec import TrialSpec


def best_setting(sweep: Path, found: Found, notes: list[str]) -> list[Candidate]:
    """The candidates, one for each seed, of the point that the sweep's final chose, or that has the best mean of the
    objective. A point of which a seed diverged or failed comes after the others, as in the sweep's own table.

    Args:
        sweep: The folder of the sweep.
        found: Its candidates.
        notes: Takes what is passed over, and what the chosen point lacks.

    Raises:
        RunFolderError: No point has a value.
    """
    groups: dict[str, list[Candidate]] = {}
    for candidate in found.candidates:
        groups.setdefault(candidate.setting, []).append(candidate)
    chosen = chosen_by_final(SweepPaths(sweep))
    for group in groups.values():
        if chosen is not None and any(chosen in candidate.numbers for candidate in group):
            return group
    sign = -1 if direction_of([candidate.first.trial for candidate in found.candidates]) == "minimize" else 1
    valued = [group for group in groups.values() if all(candidate.value is not None for candidate in group)]
    if not valued:
        raise RunFolderError(f"no trial of {sweep} has a value of its objective")
    order = sorted(valued, key=lambda group: -sign * statistics.fmean(one.value or 0.0 for one in group))
    lossy = {setting_of(one.spec) for one in found.lost if one.spec is not None}
    best = next((group for group in order if group[0].setting not in lossy), order[0])
    if best is not order[0]:
        notes.append(f"passed over, though better in the mean, since a seed of it diverged or failed: "
                     f"{numbered(order[0])}; --how greedy chooses among all")  # fmt: skip
    return best


def lost_of_setting(found: Found, setting: str) -> list[Lost]:
    """What diverged or failed of one setting."""
    return [one for one in found.lost if one.spec is not None and setting_of(one.spec) == setting]


def is_seedless(spec: TrialSpec) -> bool:
    """Whether it is a baseline that is the same at every seed, so that further seeds add nothing."""
    options = {f"model.{field.name}": getattr(spec.model, field.name) for field in keys_of(spec.model)}
    return seedless({"model.name": spec.model.name, **options})


def more_seeds(candidates: Sequence[Candidate], lost: Sequence[Lost], n_more: int) -> list[Candidate]:
    """Candidates of the same setting with seeds that the sweep has not trained.

    Args:
        candidates: Those of the setting.
        lost: What diverged or failed of it.
        n_more: How many, with the seeds that follow those of both.
    """
    last = max([*(one.seed for one in candidates), *(one.spec.seed for one in lost if one.spec is not None)])
    like = candidates[0].networks
    return [
        Candidate(tuple(replace(own, spec=replace(own.spec, seed=last + i), metrics=None, kept=None) for own in like))
        for i in range(1, n_more + 1)
    ]
