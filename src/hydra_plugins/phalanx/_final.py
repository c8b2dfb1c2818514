"""Trains the best points of a search once more: on fresh seeds, and where the data have no official test split, each
seed on a fresh split of its own."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hydra.plugins.launcher import Launcher

from hydra_plugins.phalanx._grammar import Space
from phalanx.core.result import Status
from phalanx.runs.layout import FINAL, RunPaths, SweepPaths
from phalanx.runs.stored_run import StoredRun, find_stored_run

if TYPE_CHECKING:
    from phalanx.analysis.final import FinalSpec

log = logging.getLogger(__name__)

SPLIT_SEED = "data.split_seed"


def train_final(launcher: Launcher, paths: SweepPaths, space: Space, final: FinalSpec, direction: str) -> None:
    """Trains the best points of a search, but for those that an earlier start has completed.

    Args:
        launcher: Any launcher of Hydra.
        paths: The sweep's folder.
        space: What was searched.
        final: The number of points and seeds.
        direction: `minimize` or `maximize`, of the first objective.
    """
    from phalanx.analysis.final import chosen
    from phalanx.runs.sweep_folder import collect, front_first, ranked

    best = chosen(front_first(ranked(collect(paths), direction)), final.top)
    left = [trial for trial in best if not _has_ended(paths.final(trial.number), final.seeds)]
    on_splits = [trial for trial in left if trial.data is not None and trial.data.official_test is False]
    for trial in left:
        if trial not in on_splits:
            log.info("final: trial %d on %d fresh seeds", trial.number, final.seeds)
            overrides = [*_point(trial, space), f"hydra.sweep.subdir={FINAL}/{trial.number}"]
            launcher.launch([overrides], initial_job_idx=trial.number)
    if on_splits:
        numbers = ", ".join(str(trial.number) for trial in on_splits)
        log.info("final: trials %s on %d fresh seeds, each on a fresh split", numbers, final.seeds)
        _train_on_splits(launcher, paths, space, final.seeds, on_splits)


def _has_ended(paths: RunPaths, n_seeds: int = 0) -> bool:
    trained = find_stored_run(paths.root)
    return trained is not None and trained.status is not Status.FAILED and len(trained.repeats) == n_seeds


def _point(trial: StoredRun, space: Space, besides: Collection[str] = ()) -> list[str]:
    """The overrides of the trial's point, without those of some keys."""
    kept = {key: value for key, value in trial.overrides.items() if key not in besides}
    return [*(f"{space.aliases.get(key, key)}={value}" for key, value in kept.items()), *space.deletions]


@dataclass(frozen=True)
class _Fresh:
    """A point on one fresh seed and split."""

    trial: StoredRun
    seed: int
    split_seed: int
    folder: RunPaths

    def overrides(self, space: Space) -> list[str]:
        own = {"seed": self.seed, SPLIT_SEED: self.split_seed}
        subdir = f"hydra.sweep.subdir={FINAL}/{self.trial.number}/{self.folder.root.name}"
        return [*_point(self.trial, space, own), *(f"{key}={value}" for key, value in own.items()), subdir]


def _train_on_splits(
    launcher: Launcher, paths: SweepPaths, space: Space, n_seeds: int, trials: list[StoredRun]
) -> None:
    """Trains all points on all splits in one launch, so that points share cohorts, and combines those of each point."""
    from phalanx.runs.final_folder import combine_splits

    fresh = {trial.number: _fresh(paths, trial, n_seeds) for trial in trials}
    left = [one for some in fresh.values() for one in some if not _has_ended(one.folder)]
    if left:
        launcher.launch([one.overrides(space) for one in left], initial_job_idx=trials[0].number)
    for number, some in fresh.items():
        combine_splits(paths.final(number), {one.split_seed: one.folder for one in some})


def _fresh(paths: SweepPaths, trial: StoredRun, n_seeds: int) -> list[_Fresh]:
    """The seeds that follow those of the search, each with a split seed that follows that of the search."""
    from phalanx.runs.config_file import read_values

    config = read_values(paths.trial(trial.number).config_resolved)
    seed, split_seed = (trial.seed or 0) + max(1, len(trial.repeats)), int(config["data"].get("split_seed", 0)) + 1
    return [_Fresh(trial, seed + i, split_seed + i, paths.final_split(trial.number, split_seed + i))
            for i in range(n_seeds)]  # fmt: skip
